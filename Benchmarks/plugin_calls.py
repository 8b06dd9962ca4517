"""What a call of a plugin costs: a library in the run's process and in its own, a loss in Python with NumPy and with torch.

    python3 Benchmarks/plugin_calls.py [--rounds 2] [--steps 14] [--binary PATH]

GRPO steps at the tiny shape of peers/grpo_tiny.py (2048 tokens), one kind of plugin after another, round after round; medians over all steps but the
first three of a run. A step calls the plugin three times: advantages once, the loss in each inner epoch; an isolated one is asked which groups to keep as well. NR_PYTHON names
the interpreter of the losses; one without NumPy or torch leaves their rows out.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from peers import folders, grpo_tiny, ours

NUMPY = """import numpy as np


def loss(batch):
    ratio, A = batch.ratio, batch.advantages
    clipped = np.clip(ratio, 0.8, 1.2)
    moves = (ratio * A <= clipped * A) & (np.abs(batch.current - batch.old) <= 20)
    return -np.minimum(ratio * A, clipped * A).sum() / batch.update_tokens, -(ratio * A * moves) / batch.update_tokens
"""
TORCH = """import torch


def loss(batch):
    ratio, A = batch.ratio, batch.advantages
    return -(ratio * A).minimum(ratio.clamp(0.8, 1.2) * A).sum() / batch.update_tokens
"""
WARM_UP = 3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--binary", default=str(folders.ROOT / ".build/release/nano-reasoner"))
    o = parser.parse_args()
    folder = folders.make("tiny", lambda text: print(text, file=sys.stderr))
    python = os.environ.get("NR_PYTHON", "python3")
    with tempfile.TemporaryDirectory() as out:
        kinds = {"library, in the run's process": ["grpo"], "library, in its own": ["grpo", "--isolate-plugin"]}
        for name, module, source in [("NumPy", "numpy", NUMPY), ("torch", "torch", TORCH)]:
            if subprocess.run([python, "-I", "-c", f"import {module}"], capture_output=True).returncode:
                print(f"{python} has no {module}, its row is left out", file=sys.stderr)
                continue
            pathlib.Path(out, f"{module}_loss.py").write_text(source)
            kinds[f"Python with {name}, in its own"] = [f"{out}/{module}_loss.py"]
        with open(out + "/data.jsonl", "w") as file:
            for question, a, b in folders.sums(grpo_tiny.PROMPTS * o.steps):
                file.write(json.dumps({"question": question, "answer": f"#### {a + b}"}) + "\n")
        seconds = {name: [] for name in kinds}
        for turn in range(o.rounds):
            for name, (algo, *more) in kinds.items():
                run = f"{out}/run-{turn}-{len(seconds[name])}-{algo.replace('/', '_')}{len(more)}"
                command = [
                    o.binary, "rl", "--model", folder, "--data", out + "/data.jsonl", "--algo", algo, "--out", run, "--threads", ours.THREADS, "--quiet", "--trust-plugin",
                    "--prompts-per-step", grpo_tiny.PROMPTS, "--group-size", grpo_tiny.GROUP, "--inner-epochs", grpo_tiny.EPOCHS, "--max-new-tokens", grpo_tiny.NEW,
                    "--prompt-form", "chatml", "--steps", o.steps, *more]
                subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
                lines = pathlib.Path(run, "metrics.jsonl").read_text().splitlines()
                seconds[name] += [(d["seconds/plugin"], d["seconds/step"]) for d in map(json.loads, lines[WARM_UP:])]
        print("| | a call | of a step |\n|---|---|---|")
        for name, steps in seconds.items():
            call = statistics.median(plugin for plugin, _ in steps) / (1 + grpo_tiny.EPOCHS)
            share = statistics.median(plugin / step for plugin, step in steps)
            print(f"| {name} | {1000 * call:.3g} ms | {100 * share:.2g} % |")


main()
