"""Whether the gradients of a LoRA adapter on a whole model are those of transformers and peft in float64.

usage: check_gradients.py BINARY MODEL [--work DIR] [--text TEXT] [--tolerance 2e-3] [-- more options of sft, such as --quantize nf4 …]

Makes an adapter whose B is not zero, has the program take one step of `sft` on one text, reads the first moment that its checkpoint holds (a tenth of
the gradient), and compares every tensor with torch's, relative to the tensor's largest gradient; torch's own float32 is held against it beside. Weights of the folder are widened, so a model of 1.5 B parameters takes 13 GB.
Exit 0 within the tolerance, 1 above it, 2 where the program failed.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import oracle
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--text", default="Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. 48 / 2 = 24. 48 + 24 = 72.")
    parser.add_argument("--tolerance", type=float, default=2e-3)
    parser.add_argument("rest", nargs="*")
    return parser.parse_args()


def main():
    o = arguments()
    work = o.work or pathlib.Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    (work / "data.jsonl").write_text(json.dumps({"text": o.text}) + "\n")
    model = oracle.load(o.model, torch.float64)
    model.requires_grad_(False)
    model = oracle.new_adapter(model, 16, 32, oracle.ALL_LINEAR, seed=5)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float().double()
    model.save_pretrained(work / "adapter")
    file = work / "adapter/adapter_model.safetensors"
    save_file({name: x.float() for name, x in load_file(file).items()}, file)
    oracle.tidy_adapter(work / "adapter", base=str(o.model.resolve()))

    shutil.rmtree(work / "run", ignore_errors=True)
    command = [o.binary, "sft", "--model", o.model, "--adapter", work / "adapter", "--data", work / "data.jsonl", "--out", work / "run", "--max-steps", "1",
               "--batch-size", "1", "--lr", "1e-9", "--clip-grad-norm", "0", "--checkpoint-every", "1", "--no-shuffle", "--quiet", *o.rest]
    done = subprocess.run([str(x) for x in command], capture_output=True, text=True)
    if done.returncode:
        print(f"the program ended with {done.returncode}: {done.stderr.strip()[-600:]}")
        return 2
    moments = load_file(work / "run/checkpoints/step-1/state.safetensors")
    found = {name[2:]: x.double() / (1 - 0.9) for name, x in moments.items() if name.startswith("m.")}

    ids = torch.tensor([Tokenizer.from_file(str(o.model / "tokenizer.json")).encode(o.text, add_special_tokens=False).ids])
    loss, expected = gradients(model, ids)
    del model
    plain = oracle.load_adapter(oracle.load(o.model, torch.float32), work / "adapter", trainable=True)
    _, float32 = gradients(plain, ids)
    if expected.keys() != found.keys():
        print(f"tensors missing: {sorted(expected.keys() - found.keys())[:5]}, unexpected: {sorted(found.keys() - expected.keys())[:5]}")
        return 1
    print(f"{len(expected)} tensors, {sum(x.numel() for x in expected.values())} gradients, {ids.shape[1]} tokens; loss {loss:.6f}, norm {norm(expected):.6f}")
    off = {}
    for who, them in (("torch in float32", float32), ("the program", found)):
        off = {name: float((them[name].double() - x).abs().max() / x.abs().max()) for name, x in expected.items()}
        worst = max(off, key=off.get)
        print(f"{who}: norm {norm(them):.6f}; worst tensor {off[worst]:.1e} of its largest ({worst}), median {np.median(list(off.values())):.1e}")
    return 0 if max(off.values()) <= o.tolerance else 1


def norm(tensors):
    return float(torch.sqrt(sum((x.double() ** 2).sum() for x in tensors.values())))


def gradients(model, ids):
    loss = torch.nn.functional.cross_entropy(model(input_ids=ids).logits[0, :-1], ids[0, 1:])
    loss.backward()
    found = {name.replace(".default", "").removeprefix("base_model.model."): p.grad for name, p in model.named_parameters() if p.requires_grad}
    return float(loss.detach()), found


if __name__ == "__main__":
    sys.exit(main())
