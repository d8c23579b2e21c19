"""Checks a packed folder against a dense one with transformers and compressed-tensors.

    python check_transformers.py <packed folder> <dense folder>

Both hold the same result of one recipe, the second written with the option `dequantize: true`. transformers loads each; the weights that
compressed-tensors multiplies out must equal the dense ones exactly, and the logits of a few tokens must agree.

Needs: pip install torch transformers compressed-tensors
"""
import sys

import compressed_tensors
import torch
import transformers
from transformers import AutoModelForCausalLM, CompressedTensorsConfig


def main(packed_folder: str, dense_folder: str) -> int:
    print(f"transformers {transformers.__version__}, compressed-tensors {compressed_tensors.__version__}")
    dense = AutoModelForCausalLM.from_pretrained(dense_folder, dtype="auto").eval()
    packed = AutoModelForCausalLM.from_pretrained(packed_folder, dtype="auto", quantization_config=CompressedTensorsConfig(dequantize=True)).eval()
    expected = dict(dense.named_parameters())
    found = {name: parameter for name, parameter in packed.named_parameters() if name in expected}
    missing = sorted(set(expected) - set(found))
    differing = [name for name in found if not torch.equal(found[name].to(expected[name].dtype), expected[name])]
    print(f"{len(expected)} parameters: {len(missing)} missing, {len(differing)} differ", *missing[:3], *differing[:3])
    ids = torch.arange(3, 35).unsqueeze(0)
    with torch.no_grad():
        difference = (packed(ids).logits.float() - dense(ids).logits.float()).abs().max().item()
        # Once more as it is served: weights stay packed until the first forward pass.
        running = AutoModelForCausalLM.from_pretrained(packed_folder, dtype="auto").eval()
        served = (running(ids).logits.float() - dense(ids).logits.float()).abs().max().item()
    print(f"largest logit difference: {difference}, run compressed: {served}")
    return 0 if not missing and not differing and difference == 0 and served == 0 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
