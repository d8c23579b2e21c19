"""Makes fixtures/compressed-tensors-{float8,int8}: a tiny Llama whose Linear layers compressed-tensors itself quantized, with one scale an output, and expected.json with the
SHA-256 of every matrix as compressed-tensors multiplies it out (float32).

    pip install torch compressed-tensors
    python make_compressed_tensors.py <folder of the llama fixture> <folder for fixtures>
"""

import hashlib
import json
import pathlib
import sys

import compressed_tensors
import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import load_file, save_file

VARIANTS = {
    "float8": ("float-quantized", QuantizationArgs(num_bits=8, type="float", symmetric=True, strategy="channel"), torch.float8_e4m3fn),
    "int8": ("int-quantized", QuantizationArgs(num_bits=8, type="int", symmetric=False, strategy="channel"), torch.int8),
}


def main(source, target):
    config = json.loads((source / "config.json").read_text())
    for name, (layout, args, dtype) in VARIANTS.items():
        saved, expected = {}, {}
        for tensor, value in load_file(source / "model.safetensors").items():
            if not tensor.startswith("model.layers.") or "norm" in tensor:
                saved[tensor] = value
                continue
            value = value.float()
            scale, zero = calculate_qparams(value.amin(1, keepdim=True), value.amax(1, keepdim=True), args)
            codes = quantize(value, scale, zero, args, dtype=dtype)
            module = tensor.removesuffix(".weight")
            saved[tensor] = codes.contiguous()
            saved[f"{module}.weight_scale"] = scale.contiguous()
            if not args.symmetric:
                saved[f"{module}.weight_zero_point"] = zero.to(torch.int8).contiguous()
            exact = dequantize(codes, scale, zero, args, dtype=torch.float32)
            expected[module] = hashlib.sha256(exact.numpy().tobytes()).hexdigest()
        folder = target / f"compressed-tensors-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        save_file(saved, folder / "model.safetensors", metadata={"format": "pt"})
        group = {"targets": ["Linear"], "format": layout, "weights": args.model_dump(mode="json"), "input_activations": None, "output_activations": None}
        account = {"quant_method": "compressed-tensors", "format": layout, "quantization_status": "compressed", "ignore": ["lm_head"], "config_groups": {"group_0": group}}
        (folder / "config.json").write_text(json.dumps({**config, "quantization_config": account}, indent=2) + "\n")
        (folder / "expected.json").write_text(json.dumps({"compressed_tensors": compressed_tensors.__version__, "sha256": expected}, indent=2) + "\n")


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
