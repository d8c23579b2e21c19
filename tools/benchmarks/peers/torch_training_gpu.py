"""torch_training_gpu.py MODEL WINDOWS LENGTH STEPS WARMUP: steps of training a causal language model with AdamW in torch on a GPU: float32, tf32, and bfloat16 by autocast, each eager and compiled; prints the
medians in seconds as JSON."""
import json
import statistics
import sys
import time

import torch
from transformers import AutoModelForCausalLM

path = sys.argv[1]
windows, length, steps, warmup = (int(word) for word in sys.argv[2:6])
ids = torch.tensor([[(window * 977 + position * 31) % 4000 for position in range(length)] for window in range(windows)], device="cuda")


def measure(precision, compiled):
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa").to("cuda")
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    called = torch.compile(model) if compiled else model
    seconds = []
    for step in range(steps + warmup):
        torch.cuda.synchronize()
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = called(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        torch.cuda.synchronize()
        if step >= warmup:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


report = {"torch": torch.__version__}
for precision in ("float32", "tf32", "bfloat16"):
    for compiled in (False, True):
        report[f"{precision}{', compiled' if compiled else ''}"] = measure(precision, compiled)
print(json.dumps(report))
