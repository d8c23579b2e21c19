"""Gradients of small models' next-token loss in double precision, made by torch and transformers.

usage: python make_gradients.py REPOSITORY OUTPUT
writes OUTPUT/gradients-<model>.json for each model: the loss (mean cross-entropy of every position but a window's last) and for each parameter the
norm, the largest magnitude and 12 evenly spaced elements of its gradient, in the stored layout.
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

repository, output = Path(sys.argv[1]), Path(sys.argv[2])
fixtures = repository / 'packages/testkit/fixtures/architectures'
models = {name: fixtures / name for name in sorted(folder.name for folder in fixtures.iterdir())}
models['tales-1m'] = repository / 'examples/models/tales-1m'


def stored_parts(model):
    """Gradients by stored name: transformers holds a mixture's experts in one tensor, files hold each by itself."""
    for parameter, value in model.named_parameters():
        stem, kind = parameter.rpartition('.')[::2]
        if not stem.endswith('.experts'):
            yield 'embed_out.weight' if parameter == 'lm_head.weight' and model.config.model_type == 'gpt_neox' else parameter, value.grad
            continue
        for expert, gradient in enumerate(value.grad):
            if kind == 'down_proj':
                yield f'{stem}.{expert}.down_proj.weight', gradient
            else:
                for part, half in zip(('gate_proj', 'up_proj'), gradient.chunk(2)):
                    yield f'{stem}.{expert}.{part}.weight', half


for name, folder in models.items():
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation='eager', experts_implementation='eager').eval()
    # torch leaves the row of a padding token without gradient; here every token is text.
    model.get_input_embeddings().padding_idx = None
    golden = folder / 'golden.safetensors'
    if golden.exists():
        ids = load_file(golden)['input_ids'].long()
    else:
        ids = torch.randint(0, model.config.vocab_size, (2, 48), generator=torch.Generator().manual_seed(7))
    logits = model(ids).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
    loss.backward()
    gradients = {}
    for parameter, gradient in stored_parts(model):
        flat = gradient.reshape(-1)
        step = max(1, flat.numel() // 12)
        gradients[parameter] = {
            'shape': list(gradient.shape),
            'norm': flat.norm().item(),
            'largest': flat.abs().max().item(),
            'step': step,
            'elements': [float(f'{element:.9g}') for element in flat[::step][:12].tolist()],
        }
    result = {'torch': torch.__version__, 'ids': ids.tolist(), 'loss': loss.item(), 'gradients': gradients}
    (output / f'gradients-{name}.json').write_text(json.dumps(result))
    print(name, loss.item(), len(gradients))
