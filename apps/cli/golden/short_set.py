"""Writes short-set.json: perplexity and choices of the example models on a short set, by transformers in float32.

Perplexity: the first WINDOWS windows of LENGTH tokens of examples/data/tales-evaluation.txt. Choices: the first ITEMS items of
examples/data/reasoning-evaluation.jsonl, the sum of ln p of " {choice}" behind "Question: {question}\\nAnswer:". Needs torch and transformers; run from anywhere: python short_set.py
"""

import json
import math
import pathlib

import torch
import transformers

WINDOWS, LENGTH, ITEMS = 2, 48, 6
ROOT = pathlib.Path(__file__).resolve().parents[3]
text = (ROOT / "examples/data/tales-evaluation.txt").read_text(encoding="utf-8")
items = [json.loads(line) for line in (ROOT / "examples/data/reasoning-evaluation.jsonl").read_text(encoding="utf-8").splitlines()[:ITEMS]]

document = {"made with": f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}", "windows": WINDOWS, "sequenceLength": LENGTH, "items": ITEMS}
for name in ["tales-7m", "tales-1m"]:
    folder = ROOT / "examples/models" / name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def log_probabilities(ids):
        """ln p of each token but the first, given those before it."""
        with torch.no_grad():
            scores = torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1].double(), dim=-1)
        return [scores[position, token].item() for position, token in enumerate(ids[1:])]

    tokens = tokenizer(text[:20000], add_special_tokens=False)["input_ids"]
    losses = [-value for window in range(WINDOWS) for value in log_probabilities(tokens[window * LENGTH : (window + 1) * LENGTH])]
    choices = []
    for item in items:
        prompt = tokenizer(f"Question: {item['question']}\nAnswer:", add_special_tokens=False)["input_ids"]
        row = []
        for choice in item["choices"]:
            whole = tokenizer(f"Question: {item['question']}\nAnswer: {choice}", add_special_tokens=False)["input_ids"]
            row.append(sum(log_probabilities(whole)[len(prompt) - 1 :]))
        choices.append(row)
    right = [max(range(len(row)), key=row.__getitem__) == item["label"] for row, item in zip(choices, items)]
    document[name] = {"perplexity": math.exp(sum(losses) / len(losses)), "accuracy": sum(right) / len(right), "logProbabilities": choices}
path = pathlib.Path(__file__).with_name("short-set.json")
path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
print(path.read_text(encoding="utf-8")[:1500])
