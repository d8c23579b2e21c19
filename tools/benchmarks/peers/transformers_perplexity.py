"""Perplexity of a model folder with transformers and torch on the CPU, for side-by-side runs.

usage: transformers_perplexity.py MODEL TEXT [WINDOWS=64] [LENGTH=512]
Same protocol as `pare evaluate`: the whole text tokenised without special tokens, non-overlapping windows, tokens 2..L scored.
Prints one JSON line: perplexity, tokens_per_second (windows x length over the seconds of the forward passes), seconds, processor_seconds.
"""
import json, math, os, sys, time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(len(os.sched_getaffinity(0)))
path, text = sys.argv[1:3]
windows = int(sys.argv[3]) if len(sys.argv) > 3 else 64
length = int(sys.argv[4]) if len(sys.argv) > 4 else 512
tokenizer = AutoTokenizer.from_pretrained(path)
ids = tokenizer(open(text, encoding="utf-8").read(), add_special_tokens=False).input_ids[: windows * length]
data = torch.tensor(ids).reshape(windows, length)
model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
total = 0.0
count = 0
started = time.time()
used = time.process_time()
with torch.no_grad():
    for batch in data.split(4):
        logits = model(batch, use_cache=False).logits.float()
        total += torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), batch[:, 1:].reshape(-1), reduction="sum").item()
        count += batch[:, 1:].numel()
seconds = time.time() - started
processor = time.process_time() - used
print(json.dumps(dict(perplexity=math.exp(total / count), tokens_per_second=round(windows * length / seconds, 1), seconds=round(seconds, 1), processor_seconds=round(processor, 1))))
