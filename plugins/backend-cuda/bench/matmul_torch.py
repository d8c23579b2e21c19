"""The products of matmul.mjs through torch: python matmul_torch.py '[[m, n, k], ...]'. Prints TFLOP/s of each as a JSON list."""

import json
import sys

import torch


def rate(m, n, k, dtype, tf32):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    x = torch.rand(m, k, device="cuda", dtype=torch.float32).sub_(0.5).to(dtype)
    w = torch.rand(n, k, device="cuda", dtype=torch.float32).sub_(0.5).to(dtype)
    rounds = max(5, min(200, int(2e13 / (2 * m * n * k)) + 1))
    for _ in range(3):
        x @ w.T
    best = float("inf")
    for _ in range(2):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(rounds):
            x @ w.T
        end.record()
        torch.cuda.synchronize()
        best = min(best, start.elapsed_time(end) / 1000 / rounds)
    return 2 * m * n * k / best / 1e12


print(
    json.dumps(
        [
            {
                "float32": rate(m, n, k, torch.float32, False),
                "tf32": rate(m, n, k, torch.float32, True),
                "bfloat16": rate(m, n, k, torch.bfloat16, False),
            }
            for m, n, k in json.loads(sys.argv[1])
        ]
    )
)
