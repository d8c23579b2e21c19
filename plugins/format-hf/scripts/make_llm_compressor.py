"""Compresses a model folder with llm-compressor, as input for tests of reading.

    python make_llm_compressor.py <model folder> <output folder>

Rounds attention to 4 bits in asymmetric groups of 32, the first MLP matrices to 4 bits in symmetric groups of 32, and the down projections to 8 bits per channel. Beside
the folder's files goes `expected.json`: the SHA-256 of each linear layer's float32 weights as compressed-tensors multiplies them out.

Needs: pip install torch transformers llmcompressor
"""
import hashlib
import json
import sys
from importlib.metadata import version

import torch
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import QuantizationModifier
from transformers import AutoModelForCausalLM, CompressedTensorsConfig


def group(targets, **weights):
    return {"targets": targets, "weights": {"type": "int", "dynamic": False, **weights}}


def main(source: str, output: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
    recipe = QuantizationModifier(
        config_groups={
            "attention": group(["re:.*self_attn.*"], num_bits=4, symmetric=False, strategy="group", group_size=32),
            "mlp": group(["re:.*(gate|up)_proj$"], num_bits=4, symmetric=True, strategy="group", group_size=32),
            "down": group(["re:.*down_proj$"], num_bits=8, symmetric=True, strategy="channel"),
        },
        ignore=["lm_head"],
    )
    oneshot(model=model, recipe=recipe)
    model.save_pretrained(output, save_compressed=True)

    loaded = AutoModelForCausalLM.from_pretrained(output, dtype="auto", quantization_config=CompressedTensorsConfig(dequantize=True))
    weights = {
        name: hashlib.sha256(module.weight.detach().float().contiguous().numpy().tobytes()).hexdigest()
        for name, module in loaded.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    libraries = {name: version(name) for name in ("llmcompressor", "compressed-tensors", "transformers", "torch")}
    with open(f"{output}/expected.json", "w") as file:
        json.dump({"libraries": libraries, "sha256": weights}, file, indent=1)


if __name__ == "__main__":
    main(*sys.argv[1:3])
