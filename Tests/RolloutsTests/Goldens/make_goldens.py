"""Makes greedy.json with transformers' `generate`: ~/.cache/peers/bin/python make_goldens.py

Greedy continuations (float64, so that no rounding decides) of random prompts by the folders of Tests/TransformerTests/Goldens; `margin` is the
smallest distance of the largest logit from the next over all steps: far above what float32 rounding moves.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "Oracles"))

import numpy as np
import torch
import oracle

FOLDERS = HERE.parents[1] / "TransformerTests/Goldens"
NEW_TOKENS = 24

goldens = {}
for name in ("tied", "untied", "bf16", "f16"):
    model = oracle.load(FOLDERS / name, torch.float64)
    random = np.random.Generator(np.random.PCG64(7))
    rows = []
    for length in (1, 2, 5, 15, 16, 17, 33, 3, 4, 6, 7, 8):
        prompt = random.integers(0, model.config.vocab_size, length).tolist()
        with torch.no_grad():
            made = model.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, length, dtype=torch.long), max_new_tokens=NEW_TOKENS, do_sample=False,
                return_dict_in_generate=True, output_logits=True)
        tokens = made.sequences[0, length:].tolist()
        logits = [x[0] for x in made.logits]
        log_probs = [float(torch.log_softmax(x, -1)[t]) for x, t in zip(logits, tokens)]
        margin = min(float(x.topk(2).values[0] - x.topk(2).values[1]) for x in logits)
        assert margin > 1e-3, "a near tie: rounding could decide; change the seed"
        rows.append({"prompt": prompt, "tokens": tokens, "log_probs": [round(x, 9) for x in log_probs], "margin": round(margin, 6)})
    goldens[name] = {"stop": model.generation_config.eos_token_id, "rows": rows}
    print(name, "stopped early:", sum(len(r["tokens"]) < NEW_TOKENS for r in rows), "of", len(rows))
(HERE / "greedy.json").write_text(json.dumps({"new_tokens": NEW_TOKENS, "models": goldens}) + "\n")
