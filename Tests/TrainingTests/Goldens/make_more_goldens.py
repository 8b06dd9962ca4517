"""Makes schedules.json (transformers' learning-rate schedules) and adamw_groups.safetensors (torch's AdamW with two groups and one clipping):
~/.cache/peers/bin/python make_more_goldens.py
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

HERE = pathlib.Path(__file__).resolve().parent


def factors(shape, warmup, total):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    make = {"linear": get_linear_schedule_with_warmup, "cosine": get_cosine_schedule_with_warmup}.get(shape)
    schedule = make(optimiser, warmup, total) if make else get_constant_schedule_with_warmup(optimiser, warmup)
    rates = []
    for _ in range(total):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    return rates


rows = [
    {"shape": shape, "warmup": warmup, "total": total, "factors": factors(shape, warmup, total)}
    for shape in ("constant", "linear", "cosine") for warmup, total in ((0, 1), (0, 7), (3, 10), (5, 5), (8, 20))]
(HERE / "schedules.json").write_text(json.dumps(rows) + "\n")

# A trunk at one rate and a value head at its own, clipped together at norm 1; the first gradient is small (no clipping), the third is zero.
generator = torch.Generator().manual_seed(5)
draw = lambda *shape: torch.randn(*shape, generator=generator)
names = {"trunk": (3, 5), "trunk_bias": (5,), "value_head.weight": (1, 7), "value_head.bias": (1,)}
parameters = {name: torch.nn.Parameter(draw(*shape)) for name, shape in names.items()}
out = {"initial." + name: p.detach().clone() for name, p in parameters.items()}
optimiser = torch.optim.AdamW([
    {"params": [p for n, p in parameters.items() if "trunk" in n], "lr": 1e-3, "weight_decay": 0.1},
    {"params": [p for n, p in parameters.items() if "trunk" not in n], "lr": 1e-2, "weight_decay": 0.5}], betas=(0.9, 0.999), eps=1e-8)
norms = []
for step, scale in enumerate((0.05, 3.0, 0.0, 1.0)):
    for name, p in parameters.items():
        p.grad = scale * draw(*p.shape)
        out[f"gradient.{step}.{name}"] = p.grad.clone()
    norms.append(float(torch.nn.utils.clip_grad_norm_(list(parameters.values()), 1.0)))
    optimiser.step()
for name, p in parameters.items():
    out["final." + name] = p.detach().clone()
out["norms"] = torch.tensor(norms, dtype=torch.float64)
save_file(out, HERE / "adamw_groups.safetensors")
