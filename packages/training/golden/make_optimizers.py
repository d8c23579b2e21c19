"""Parameters after some steps of torch's optimizers in float32, for made-up gradients.

usage: python make_optimizers.py OUTPUT.json
"""
import json
import sys

import torch

steps, rates = 8, [0.1, 0.05, 0.02, 0.1, 0.01, 0.1, 0.3, 0.05]
start = [[0.5, -1.25, 2.0], [0.0, 0.75, -0.1]]
gradients = [[[((7 * s + 3 * r + 5 * c) % 11 - 5) / (4 + r) for c in range(3)] for r in range(2)] for s in range(steps)]
makers = {
    'adamw': lambda p: torch.optim.AdamW([p], lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
    'adamw without decay': lambda p: torch.optim.AdamW([p], lr=0.1, weight_decay=0.0),
    'sgd': lambda p: torch.optim.SGD([p], lr=0.1),
    'momentum': lambda p: torch.optim.SGD([p], lr=0.1, momentum=0.9, weight_decay=0.05),
    'nesterov': lambda p: torch.optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True),
    'clipped adamw': lambda p: torch.optim.AdamW([p], lr=0.1),
}
results = {}
for name, make in makers.items():
    parameter = torch.nn.Parameter(torch.tensor(start))
    optimizer = make(parameter)
    trace, norms = [], []
    for step in range(steps):
        for group in optimizer.param_groups:
            group['lr'] = rates[step]
        parameter.grad = torch.tensor(gradients[step])
        if name.startswith('clipped'):
            norms.append(torch.nn.utils.clip_grad_norm_([parameter], 0.7).item())
        optimizer.step()
        trace.append(parameter.detach().reshape(-1).tolist())
    results[name] = {'trace': trace, 'norms': norms}
json.dump({'torch': torch.__version__, 'start': start, 'rates': rates, 'gradients': gradients, 'results': results}, open(sys.argv[1], 'w'))
