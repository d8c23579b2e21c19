"""Makes fixtures/gptqmodel-*: a tiny Llama whose Linear layers GPTQModel itself packed and saved (safetensors), and expected.json with the SHA-256 of every dequantized
matrix as float32, computed from codes, zero points and scales before they were packed.

    pip install torch gptqmodel accelerate
    python make_gptqmodel.py <folder of the llama fixture> <folder for fixtures>
"""

import hashlib
import json
import pathlib
import sys

import numpy
import torch
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.quantization import QuantizeConfig
from gptqmodel.quantization.config import FORMAT
from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module
from safetensors.torch import load_file, save_file

VARIANTS = {
    "v1-w4-asymmetric": dict(bits=4, group_size=16, sym=False, desc_act=False, format="gptq"),
    "v1-w3-act-order": dict(bits=3, group_size=32, sym=True, desc_act=True, format="gptq"),
    "v2-w8-channel": dict(bits=8, group_size=-1, sym=False, desc_act=False, format="gptq_v2"),
}


def quantize(weight, bits, group_size, sym, index):
    """Grids [out, G] and codes [out, in] of one matrix; any grid serves, the layout is what counts."""
    top = 2**bits - 1
    groups = int(index.max()) + 1
    scales, zeros = torch.empty(weight.shape[0], groups), torch.empty(weight.shape[0], groups)
    for group in range(groups):
        part = weight[:, index == group]
        low, high = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
        if sym:
            scales[:, group] = 2 * torch.maximum(-low, high) / top
            zeros[:, group] = 2 ** (bits - 1)
        else:
            scales[:, group] = (high - low) / top
            zeros[:, group] = torch.round(-low / scales[:, group])
    # A group without negative numbers has a zero point of 0: version 1 borrows from the neighbouring field there.
    if not sym:
        zeros[3, 0] = 0
    scales = scales.half().float()
    codes = torch.clamp(torch.round(weight / scales[:, index]) + zeros[:, index], 0, top)
    return scales, zeros, codes


def main(source, target):
    tensors = load_file(source / "model.safetensors")
    config = json.loads((source / "config.json").read_text())
    for name, settings in VARIANTS.items():
        bits, group_size, sym, desc_act = (settings[key] for key in ("bits", "group_size", "sym", "desc_act"))
        quantize_config = QuantizeConfig(**settings)
        saved, expected = {}, {}
        for tensor, value in tensors.items():
            if not tensor.startswith("model.layers.") or "norm" in tensor:
                saved[tensor] = value.half().contiguous()
                continue
            module = tensor.removesuffix(".weight")
            out_features, in_features = value.shape
            width = in_features if group_size == -1 else group_size
            index = torch.arange(in_features) // width
            if desc_act:
                index = index[torch.randperm(in_features, generator=torch.Generator().manual_seed(len(module)))]
            scales, zeros, codes = quantize(value.float(), bits, group_size, sym, index)
            exact = scales[:, index] * (codes - zeros[:, index])
            linear = torch.nn.Linear(in_features, out_features, bias=False)
            linear.weight.data = exact
            packed = TorchLinear(bits=bits, group_size=width, sym=sym, desc_act=desc_act, in_features=in_features, out_features=out_features, bias=False, register_buffers=True, format=FORMAT.GPTQ_V2)
            packed.pack_original(linear=linear, scales=scales, zeros=zeros, g_idx=index.to(torch.int32))
            if settings["format"] == "gptq":
                convert_gptq_v2_to_v1_format_module(packed, quantize_config)
            for part in ("qweight", "qzeros", "scales", "g_idx"):
                saved[f"{module}.{part}"] = getattr(packed, part).contiguous()
            expected[module] = hashlib.sha256(exact.numpy().astype(numpy.float32).tobytes()).hexdigest()
        folder = target / f"gptqmodel-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        save_file(saved, folder / "model.safetensors", metadata={"format": "pt"})
        account = {key: value for key, value in quantize_config.to_dict().items() if key in ("bits", "group_size", "desc_act", "sym", "lm_head", "quant_method", "method", "checkpoint_format", "format", "pack_dtype")}
        (folder / "config.json").write_text(json.dumps({**config, "dtype": "float16", "quantization_config": account}, indent=2) + "\n")
        (folder / "expected.json").write_text(json.dumps({"sha256": expected}, indent=2) + "\n")
        print(name, account)


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
