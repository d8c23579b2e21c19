"""A straightforward GPTQ in torch of one decoder block of Llama-3-8B's shape on a GPU: bfloat16 forward passes, Gram matrices in float32 (and in tf32, for comparison), one factor for each Gram
matrix, a loop over columns in blocks of 128, 4 bits, groups of 128; factors and sweeps in float32. The argument is the number of windows of 2,048 tokens. Prints seconds as JSON."""

import json
import sys
import time

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

torch.manual_seed(0)
HIDDEN, WINDOWS, LENGTH, BATCH, GROUP = 4096, int(sys.argv[1]), 2048, 8, 128
config = LlamaConfig(hidden_size=HIDDEN, intermediate_size=14336, num_attention_heads=32, num_key_value_heads=8, num_hidden_layers=32, max_position_embeddings=8192)
config._attn_implementation = "sdpa"
block = LlamaDecoderLayer(config, 0).to("cuda", torch.bfloat16).eval()
rotary = LlamaRotaryEmbedding(config).to("cuda")
states = torch.randn(WINDOWS, LENGTH, HIDDEN, dtype=torch.bfloat16, device="cuda")
positions = torch.arange(LENGTH, device="cuda")[None]
linears = {name: module for name, module in block.named_modules() if isinstance(module, torch.nn.Linear)}
# Layers that read the same input share a Gram matrix, and its factor.
source = {name: name.replace("k_proj", "q_proj").replace("v_proj", "q_proj").replace("up_proj", "gate_proj") for name in linears}


def seconds(work):
    torch.cuda.synchronize()
    start = time.perf_counter()
    result = work()
    torch.cuda.synchronize()
    return result, time.perf_counter() - start


@torch.no_grad()
def forward(collect=False):
    grams = {}

    def hook(name):
        def add(_module, inputs, _output):
            x = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
            grams[name] = grams.get(name, 0) + x.T @ x

        return add

    hooks = [linears[name].register_forward_hook(hook(name)) for name in set(source.values())] if collect else []
    for start in range(0, WINDOWS, BATCH):
        x = states[start : start + BATCH]
        block(x, position_embeddings=rotary(x, positions), attention_mask=None, position_ids=positions)
    for handle in hooks:
        handle.remove()
    return grams


def factorize(gram):
    gram = gram.clone()
    diagonal = torch.arange(gram.shape[0], device="cuda")
    gram[diagonal, diagonal] += 0.01 * gram.diag().mean()
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(gram)), upper=True)


@torch.no_grad()
def sweep(weight, upper):
    weight = weight.float().clone()
    columns = weight.shape[1]
    result = torch.zeros_like(weight)
    for start in range(0, columns, 128):
        part = weight[:, start : start + 128].clone()
        factor = upper[start : start + 128, start : start + 128]
        errors = torch.zeros_like(part)
        for i in range(128):
            if (start + i) % GROUP == 0:
                scale = weight[:, start + i : start + i + GROUP].abs().amax(1) * 2 / 15
                scale[scale == 0] = 1
            column = part[:, i]
            settled = torch.clamp(torch.round(column / scale), -8, 7) * scale
            error = (column - settled) / factor[i, i]
            part[:, i:] -= error[:, None] * factor[i, i:][None]
            errors[:, i] = error
            result[:, start + i] = settled
        weight[:, start + 128 :] -= errors @ upper[start : start + 128, start + 128 :]
    return result


# Libraries and kernels load when they are first used.
forward(True)
sweep(torch.randn(128, 256, device="cuda"), factorize(torch.eye(256, device="cuda")))
_, plain = seconds(forward)
collected = {}
# float32 comes last: its Gram matrices go on, and factors and sweeps multiply in float32, too.
for tf32 in (True, False):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    grams, collected["tf32" if tf32 else "float32"] = seconds(lambda: forward(True))
cholesky = swept = 0.0
for shared, gram in grams.items():
    upper, took = seconds(lambda: factorize(gram))
    cholesky += took
    for name, module in linears.items():
        if source[name] == shared:
            _, took = seconds(lambda: sweep(module.weight.data, upper))
            swept += took
parts = {"forward": 2 * plain, "gram": collected["float32"] - plain, "gramTf32": collected["tf32"] - plain, "cholesky": cholesky, "sweep": swept}
total = parts["forward"] + parts["gram"] + cholesky + swept
print(json.dumps({"windows": WINDOWS, "secondsPerBlock": total, "secondsPerBlockTf32": total - parts["gram"] + parts["gramTf32"], **parts, "peakBytes": torch.cuda.max_memory_allocated(), "torch": torch.__version__}))
