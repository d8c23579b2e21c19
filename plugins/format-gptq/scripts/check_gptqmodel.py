"""Compares a GPTQ or AWQ folder with a dense one (Pare's `hf` folder with `dequantize: true`): every matrix as GPTQModel multiplies it out, and the logits of transformers.

    pip install torch transformers gptqmodel optimum accelerate
    python check_gptqmodel.py <folder> <dense folder>
"""

import json
import pathlib
import sys

import torch
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.nn_modules.qlinear.torch_awq import AwqTorchLinear
from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def matrix(tensors, module, config):
    """One matrix [out, in], by GPTQModel."""
    parts = {part: tensors[f"{module}.{part}"] for part in ("qweight", "qzeros", "scales", "g_idx") if f"{module}.{part}" in tensors}
    bits, out_features = config["bits"], parts["scales"].shape[1]
    gptq = config["quant_method"] == "gptq"
    in_features = parts["g_idx"].shape[0] if gptq else parts["qweight"].shape[0]
    kind = TorchLinear if gptq else AwqTorchLinear
    layer = kind(bits=bits, group_size=config["group_size"] if config["group_size"] != -1 else in_features, sym=config.get("sym", False), desc_act=config.get("desc_act", False), in_features=in_features, out_features=out_features, bias=False, register_buffers=True)
    for part, value in parts.items():
        getattr(layer, part).data = value.float() if part == "scales" else value
    if gptq and config["checkpoint_format"] == "gptq":
        convert_gptq_v1_to_v2_format_module(layer, bits, torch.int32)
    if gptq:
        layer.post_init()
        return layer.dequantize_weight().T.float()
    from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm

    return dequantize_gemm(layer.qweight, layer.qzeros, layer.scales, bits, layer.group_size).T.float()


def main(folder, dense):
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    tensors, expected = load_file(folder / "model.safetensors"), load_file(dense / "model.safetensors")
    modules = [name.removesuffix(".qweight") for name in tensors if name.endswith(".qweight")]
    worst = 0.0
    for module in modules:
        want = expected[f"{module}.weight"].float()
        found = matrix(tensors, module, config)
        if found.shape != want.shape:
            want = want.T
        worst = max(worst, float((found - want).abs().max() / want.abs().max()))
    print(f"{len(modules)} matrices; largest difference {worst:.2e} of the largest weight")
    ids = torch.arange(1, 129)[None] % 160
    logits = []
    for path, dtype in ((dense, torch.float32), (folder, torch.bfloat16), (dense, torch.bfloat16)):
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, device_map="cpu")
        with torch.no_grad():
            logits.append(model(ids).logits.float())
    error = [float((found - logits[0]).norm() / logits[0].norm()) for found in logits[1:]]
    print(f"logits against float32: this folder in bfloat16 {error[0]:.2e}, the dense folder in bfloat16 {error[1]:.2e}")
    print(f"same next token in {float((logits[1].argmax(-1) == logits[0].argmax(-1)).float().mean()):.1%}")


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
