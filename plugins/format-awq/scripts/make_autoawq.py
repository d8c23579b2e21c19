"""Makes fixtures/autoawq-llama: a tiny Llama whose Linear layers AutoAWQ itself packed, and expected.json with the SHA-256 of every dequantized matrix as float32, computed
from codes, zero points and scales before they were packed.

    pip install torch accelerate transformers; pip install --no-deps autoawq
    python make_autoawq.py <folder of the llama fixture> <folder for the fixture>
"""

import hashlib
import json
import pathlib
import sys

import numpy
import torch
from awq.modules.linear.gemm import WQLinear_GEMM
from safetensors.torch import load_file, save_file

GROUP_SIZE = 32


def main(source, target):
    config = json.loads((source / "config.json").read_text())
    saved, expected = {}, {}
    for tensor, value in load_file(source / "model.safetensors").items():
        if not tensor.startswith("model.layers.") or "norm" in tensor:
            saved[tensor] = value.half().contiguous()
            continue
        module = tensor.removesuffix(".weight")
        out_features, in_features = value.shape
        grouped = value.float().reshape(out_features, -1, GROUP_SIZE)
        low, high = grouped.amin(2).clamp(max=0), grouped.amax(2).clamp(min=0)
        scales = ((high - low) / 15).half().float()
        zeros = torch.round(-low / scales).clamp(0, 15)
        codes = torch.clamp(torch.round(grouped / scales[..., None]) + zeros[..., None], 0, 15)
        exact = (scales[..., None] * (codes - zeros[..., None])).reshape(out_features, in_features)
        linear = torch.nn.Linear(in_features, out_features, bias=False)
        linear.weight.data = exact
        # AutoAWQ wants scales and zeros [groups, out].
        packed = WQLinear_GEMM.from_linear(linear, 4, GROUP_SIZE, scales=scales.t().contiguous(), zeros=zeros.t().contiguous())
        for part in ("qweight", "qzeros", "scales"):
            saved[f"{module}.{part}"] = getattr(packed, part).contiguous()
        expected[module] = hashlib.sha256(exact.numpy().astype(numpy.float32).tobytes()).hexdigest()
    target.mkdir(parents=True, exist_ok=True)
    save_file(saved, target / "model.safetensors", metadata={"format": "pt"})
    account = {"quant_method": "awq", "bits": 4, "group_size": GROUP_SIZE, "zero_point": True, "version": "gemm", "modules_to_not_convert": None}
    (target / "config.json").write_text(json.dumps({**config, "dtype": "float16", "quantization_config": account}, indent=2) + "\n")
    (target / "expected.json").write_text(json.dumps({"sha256": expected}, indent=2) + "\n")


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
