"""Loads an adapter that Nano-Reasoner wrote into peft, checks that peft took every tensor of it, and compares log-probs.

usage: check_adapter_loads.py MODEL ADAPTER TOKENS.json SCORE.safetensors [--tolerance 1e-4]
SCORE is `nano-reasoner score --model MODEL --adapter ADAPTER --tokens TOKENS.json`. Exit 0 if all is well, 1 if not.
"""

import argparse
import json
import pathlib
import sys
import warnings

import torch
import oracle
from check_score import compare


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "adapter", "tokens", "score"):
        parser.add_argument(name)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()
    with warnings.catch_warnings(record=True) as said:  # peft only warns of tensors that are missing or too many
        warnings.simplefilter("always")
        model = oracle.load_adapter(oracle.load(options.model, torch.float64), options.adapter)
    missing = [str(w.message) for w in said if "adapter" in str(w.message).lower() and "key" in str(w.message).lower()]
    for message in missing:
        print(f"peft: {message}")
    written = oracle.load_file(pathlib.Path(options.adapter) / "adapter_model.safetensors")
    try:
        worst, name = oracle.difference({n: x.float() for n, x in written.items()}, oracle.adapter_state(model))
    except (AssertionError, RuntimeError) as problem:
        print(f"adapter_model.safetensors: {problem}")
        return 1
    used = [float(x.abs().max()) for n, x in written.items() if "lora_B" in n]
    print(f"adapter: {len(written)} tensors, {sum(1 for x in used if x > 0)} of {len(used)} B not zero,"
          f" what peft holds differs by {worst:g}")
    with open(options.tokens) as file:
        failed = compare(model, json.load(file), options.score, options.tolerance)
    return int(bool(failed or missing or worst > 0))


if __name__ == "__main__":
    sys.exit(main())
