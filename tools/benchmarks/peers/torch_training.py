"""torch_training.py MODEL WINDOWS LENGTH STEPS WARMUP THREADS: steps of training a causal language model with AdamW in torch on the processor; prints medians as JSON."""
import json
import resource
import statistics
import sys
import time

import torch
from transformers import AutoModelForCausalLM

model_path = sys.argv[1]
windows, length, steps, warmup, threads = (int(word) for word in sys.argv[2:7])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
model.train()
ids = torch.tensor([[(window * 977 + position * 31) % 4000 for position in range(length)] for window in range(windows)])
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)


def processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


seconds, processor = [], []
for step in range(steps + warmup):
    started, used = time.perf_counter(), processor_seconds()
    optimizer.zero_grad(set_to_none=True)
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step >= warmup:
        seconds.append(time.perf_counter() - started)
        processor.append(processor_seconds() - used)
print(json.dumps({"seconds": statistics.median(seconds), "processor": statistics.median(processor), "loss": loss.item(), "torch": torch.__version__}))
