"""Compares what `nano-reasoner score` wrote with transformers in float64 on the same folder and tokens.

usage: check_score.py MODEL TOKENS.json SCORE.safetensors [--adapter DIR] [--tolerance 1e-4]
Exit 0 within the tolerance (nats, log-prob and entropy), 1 above it, or where names, types, shapes or offsets are not the contract's.
"""

import argparse
import json
import sys

import torch
import oracle


def compare(model, sequences, path, tolerance):
    """Prints one line per difference found and returns 0 or 1."""
    written = oracle.load_file(path)
    with torch.no_grad():
        log_prob, entropy = oracle.score(model, [s for s in sequences if len(s) > 1])
    expected = {"offsets": oracle.offsets(sequences), "log_prob": log_prob, "entropy": entropy}
    failed = False
    for name, x in expected.items():
        found = written.get(name)
        kind = torch.int64 if name == "offsets" else torch.float32
        if found is None or found.dtype != kind or found.shape != x.shape:
            what = "nothing" if found is None else f"{found.dtype} {list(found.shape)}"
            print(f"{name}: expected {kind} {list(x.shape)}, found {what}")
            failed = True
            continue
        if not torch.isfinite(found.double()).all():
            print(f"{name}: not finite at {int((~torch.isfinite(found.double())).nonzero()[0])}")
            failed = True
            continue
        worst = float((found.double() - x.double()).abs().max()) if x.numel() else 0.0
        limit = 0 if name == "offsets" else tolerance
        print(f"{name}: {x.numel()} numbers, largest difference {worst:.2e} (allowed {limit:g}) {'ok' if worst <= limit else 'TOO LARGE'}")
        failed |= not worst <= limit
    return int(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("tokens")
    parser.add_argument("score")
    parser.add_argument("--adapter")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()
    model = oracle.load(options.model, torch.float64)
    if options.adapter:
        model = oracle.load_adapter(model, options.adapter)
    with open(options.tokens) as file:
        sequences = json.load(file)
    return compare(model, sequences, options.score, options.tolerance)


if __name__ == "__main__":
    sys.exit(main())
