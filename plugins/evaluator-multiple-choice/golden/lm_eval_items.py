"""Writes lm-eval.json: log-probabilities that lm-evaluation-harness gives every choice of a few items, and its accuracies.

Model and items are this repository's: examples/models/tales-7m, the first COUNT items of examples/data/reasoning-evaluation.jsonl. Needs lm_eval with its hf extra
(torch, transformers); run from anywhere: python lm_eval_items.py
"""

import json
import pathlib
import tempfile

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

COUNT = 24
ROOT = pathlib.Path(__file__).resolve().parents[3]

TASK = """
task: pare_items
dataset_path: json
dataset_kwargs:
  data_files:
    test: {items}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
metric_list:
  - metric: acc
  - metric: acc_norm
"""

with tempfile.TemporaryDirectory() as scratch:
    folder = pathlib.Path(scratch)
    lines = (ROOT / "examples/data/reasoning-evaluation.jsonl").read_text(encoding="utf-8").splitlines()[:COUNT]
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "pare_items.yaml").write_text(TASK.format(items=folder / "items.jsonl"), encoding="utf-8")
    model = HFLM(pretrained=str(ROOT / "examples/models/tales-7m"), dtype="float32", device="cpu", batch_size=1)
    results = lm_eval.simple_evaluate(model=model, tasks=["pare_items"], task_manager=TaskManager(include_path=str(folder), include_defaults=False), log_samples=True, bootstrap_iters=0)

scores = results["results"]["pare_items"]
samples = sorted(results["samples"]["pare_items"], key=lambda sample: sample["doc_id"])
document = {
    "made with": f"lm_eval {lm_eval.__version__}",
    "acc": scores["acc,none"],
    "acc_norm": scores["acc_norm,none"],
    "logProbabilities": [[response[0][0] for response in sample["resps"]] for sample in samples],
}
path = pathlib.Path(__file__).with_name("lm-eval.json")
rows = ",\n  ".join(json.dumps(row) for row in document.pop("logProbabilities"))
head = json.dumps(document, indent=1)[:-2]
path.write_text(f'{head},\n "logProbabilities": [\n  {rows}\n ]\n}}\n', encoding="utf-8")
print(path.read_text(encoding="utf-8"))
