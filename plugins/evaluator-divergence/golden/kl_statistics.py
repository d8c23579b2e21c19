"""Writes kl-statistics.json: what llama.cpp's `llama-perplexity --kl-divergence` prints about two models, computed in float64.

P is examples/models/tales-7m, Q the same with every mlp.down_proj weight w replaced by floor(32 w + 1/2) / 32, which is exact in binary. Both run in float64 in
transformers, over the first WINDOWS windows of LENGTH tokens of examples/data/tales-evaluation.txt. llama.cpp scores the second half of each of its
chunks and keeps P in 16 bits; here every token but a window's first counts, and nothing is rounded: the definitions of the figures are checked, not their noise.

Needs torch, transformers and numpy; run from anywhere: python kl_statistics.py
"""

import json
import math
import pathlib

import numpy
import torch
import transformers

WINDOWS, LENGTH = 3, 96
ROOT = pathlib.Path(__file__).resolve().parents[3]


def mean_and_uncertainty(values):
    """Mean, and sqrt(variance / (n - 1)) with the variance over n."""
    n = len(values)
    mean = values.sum() / n
    variance = (values * values).sum() / n - mean * mean
    return mean, math.sqrt(max(0.0, variance) / (n - 1))


def percentile(ordered, fraction):
    position = fraction * (len(ordered) - 1)
    below = int(position)
    share = position - below
    return (1 - share) * ordered[below] + share * ordered[min(below + 1, len(ordered) - 1)]


def median(ordered):
    n = len(ordered)
    return 0.5 * (ordered[n // 2] + ordered[n // 2 - 1]) if n % 2 == 0 else ordered[n // 2]


folder = ROOT / "examples/models/tales-7m"
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
text = (ROOT / "examples/data/tales-evaluation.txt").read_text(encoding="utf-8")
ids = torch.tensor(tokenizer(text[:40000], add_special_tokens=False)["input_ids"][: WINDOWS * LENGTH]).view(WINDOWS, LENGTH)


def log_probabilities(change):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if change and name.endswith("mlp.down_proj.weight"):
                weight.copy_(torch.floor(weight * 32 + 0.5) / 32)
        logits = model(ids).logits[:, :-1]
    return torch.log_softmax(logits, dim=-1).reshape(-1, logits.shape[-1]).numpy()


base, other = log_probabilities(False), log_probabilities(True)
targets = ids[:, 1:].reshape(-1).numpy()
tokens = numpy.arange(len(targets))

nll_base, nll = -base[tokens, targets], -other[tokens, targets]
kld = (numpy.exp(base) * (base - other)).sum(axis=1)
change = numpy.exp(-nll) - numpy.exp(-nll_base)
same_top = (base.argmax(axis=1) == other.argmax(axis=1)).mean()

n = len(targets)
mean, unc = mean_and_uncertainty(nll)
mean_base, unc_base = mean_and_uncertainty(nll_base)
covariance = ((nll * nll_base).sum() / n - mean * mean_base) / (n - 1)
ppl, ppl_base = math.exp(mean), math.exp(mean_base)
ratio_unc = math.sqrt(unc**2 + unc_base**2 - 2 * covariance)
square, square_unc = mean_and_uncertainty(change * change)
rms = math.sqrt(square)
sorted_kld, sorted_change = numpy.sort(kld), numpy.sort(change)

document = {
    "made with": f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}",
    "windows": WINDOWS,
    "sequenceLength": LENGTH,
    "tokens": n,
    "Mean PPL(Q)": [ppl, ppl * unc],
    "Mean PPL(base)": [ppl_base, ppl_base * unc_base],
    "Cor(ln(PPL(Q)), ln(PPL(base)))": covariance / (unc * unc_base),
    "Mean ln(PPL(Q)/PPL(base))": [mean - mean_base, ratio_unc],
    "Mean PPL(Q)/PPL(base)": [math.exp(mean - mean_base), math.exp(mean - mean_base) * ratio_unc],
    "Mean PPL(Q)-PPL(base)": [ppl - ppl_base, math.sqrt((ppl * unc) ** 2 + (ppl_base * unc_base) ** 2 - 2 * ppl * ppl_base * covariance)],
    "Mean KLD": list(mean_and_uncertainty(kld)),
    "Maximum KLD": sorted_kld[-1],
    "Median KLD": median(sorted_kld),
    "Minimum KLD": sorted_kld[0],
    "KLD percentiles": {name: percentile(sorted_kld, float(name) / 100) for name in ["99.9", "99", "95", "90", "10", "5", "1", "0.1"]},
    "Mean Δp": list(mean_and_uncertainty(change)),
    "Maximum Δp": sorted_change[-1],
    "Median Δp": median(sorted_change),
    "Minimum Δp": sorted_change[0],
    "Δp percentiles": {name: percentile(sorted_change, float(name) / 100) for name in ["99.9", "99", "95", "90", "75", "25", "10", "5", "1", "0.1"]},
    "RMS Δp": [rms, 0.5 / rms * square_unc],
    "Same top p": [same_top, math.sqrt(same_top * (1 - same_top) / (n - 1))],
    "divergence of the first tokens": kld[:8].tolist(),
}
path = pathlib.Path(__file__).with_name("kl-statistics.json")
path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
print(path.read_text(encoding="utf-8"))
