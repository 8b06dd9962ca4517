"""One GRPO step at the tiny shape of PEERS.md: hidden 128, 4 layers, 4/2 heads, intermediate 384, vocabulary 512, LoRA rank 16 on all seven
projections, 4 prompts × 8 completions of 64 tokens (nothing ends early), 2 inner epochs, float32, random weights. Both read
the same questions in ChatML without a system message. Each call is a fresh process, whose first two steps are left out.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from peers import folders, ours

WARM_UP, PROMPTS, GROUP, NEW, EPOCHS = 2, 4, 8, 64, 2


def our_seconds(binary, folder, steps):
    with tempfile.TemporaryDirectory() as out:
        with open(out + "/data.jsonl", "w") as file:
            for question, a, b in folders.sums(PROMPTS * (WARM_UP + steps)):
                file.write(json.dumps({"question": question, "answer": f"#### {a + b}"}) + "\n")
        shape = ["--prompts-per-step", PROMPTS, "--group-size", GROUP, "--inner-epochs", EPOCHS, "--max-new-tokens", NEW, "--prompt-form", "chatml"]
        records = ours.rl(binary, folder, out + "/data.jsonl", out + "/run", *shape, "--steps", WARM_UP + steps)[WARM_UP:]
    assert all(r["length_mean"] == NEW and r["groups"] == PROMPTS for r in records)
    return [r["seconds/step"] for r in records]


def trl(steps):
    """What peers/trl_grpo_step.py says: seconds, and how many rounds had their cores."""
    script = pathlib.Path(__file__).with_name("trl_grpo_step.py")
    run = subprocess.run([sys.executable, str(script), "--steps", str(steps), "--threads", ours.THREADS], capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{script.name}: {run.stderr.strip().splitlines()[-1:]}")
    return json.loads(run.stdout.strip().splitlines()[-1])
