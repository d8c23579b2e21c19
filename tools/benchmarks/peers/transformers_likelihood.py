"""Negative log-likelihood of windows of 512 random tokens with transformers (bfloat16, sdpa) on a GPU: transformers_likelihood.py <model folder> <windows>. Takes the best of
several batch sizes, each after a round that compiles and allocates, and prints tokens per second as JSON."""

import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM

folder, windows = sys.argv[1], int(sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="sdpa").cuda().eval()
ids = torch.randint(0, model.config.vocab_size, (windows, 512), device="cuda")


def run(batch):
    total = torch.zeros((), device="cuda", dtype=torch.float64)
    for start in range(0, windows, batch):
        part = ids[start : start + batch]
        logits = model(part, use_cache=False).logits[:, :-1].float()
        total += torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), part[:, 1:].reshape(-1), reduction="sum")
    return total.item() / (windows * 511)


results = {}
with torch.inference_mode():
    for batch in (4, 16, 32):
        run(batch)
        torch.cuda.synchronize()
        start = time.perf_counter()
        mean = run(batch)
        torch.cuda.synchronize()
        results[batch] = windows * 512 / (time.perf_counter() - start)
print(json.dumps({"tokensPerSecond": max(results.values()), "byBatch": results, "meanNegativeLogLikelihood": mean, "torch": torch.__version__}))
