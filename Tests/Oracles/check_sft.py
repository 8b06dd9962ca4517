"""Recomputes a run of `nano-reasoner sft` with peft and torch and compares what the program wrote: weights to 1e-5.

usage: check_sft.py --work DIR --binary PATH [shape and run flags]      makes model, data and adapter in DIR, runs the program, compares
       check_sft.py --work DIR --prepare [flags]                        only makes them and prints the program's command
       check_sft.py --work DIR --written OUT [flags]                    compares a run folder that is there already (same flags as --prepare)
Exit 0 within the tolerance, 1 above it or where files, names, shapes or types differ, 2 where the program itself failed.

The reference is float32, as the program computes. The same steps in float64 say how far rounding alone takes an element; that is printed beside
every result. AdamW divides by the root of the second moment, so where a gradient is nearly noise float32 itself can be off by more than the tolerance
(seen: --full, theta 1e6, rate 1e-3). Such a run is reported as NOT DECISIVE (exit 3) if the program is above the tolerance and so is torch: take another seed.

At the CLI's defaults (rate 2e-5, decay 0.01) three steps without decay, or without clipping, differ by less than 1e-5 from three correct ones. Each run says
which of the two it cannot see; `--lr 1e-3 --weight-decay 1` sees both.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np
import oracle
import tiny_tokenizer
from make_model import SAMPLE
from tokenizers import Tokenizer
from transformers import GenerationConfig, Qwen2ForCausalLM


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--work", type=pathlib.Path, required=True)
    add("--binary")
    add("--prepare", action="store_true")
    add("--written", type=pathlib.Path)
    add("--seed", type=int, default=1)
    add("--hidden", type=int, default=32)
    add("--layers", type=int, default=2)
    add("--heads", type=int, default=4)
    add("--kv-heads", type=int, default=2)
    add("--intermediate", type=int, default=48)
    add("--vocabulary", type=int, default=300)
    add("--theta", type=float, default=1e6)
    add("--untied", action="store_true")
    add("--rank", type=int, default=16)
    add("--alpha", type=float, default=32)
    add("--targets", default=",".join(oracle.ALL_LINEAR))
    add("--zero-b", action="store_true", help="begin where peft begins, with B zero")
    add("--full", action="store_true")
    add("--lr", default="2e-5")
    add("--batch-size", type=int, default=4)
    add("--steps", type=int, default=3)
    add("--epochs", type=int, default=1)
    add("--lines", type=int, help="default: enough for the steps in one epoch, and two more")
    add("--weight-decay", default="0.01")
    add("--clip-grad-norm", default="1")
    add("--tolerance", type=float, default=1e-5)
    return parser.parse_args()


def prepare(o):
    """The model folder, data.jsonl and initial adapter that the flags describe, from the seed alone."""
    random = np.random.Generator(np.random.PCG64(o.seed))
    o.work.mkdir(parents=True, exist_ok=True)
    words = " ".join(SAMPLE[:5]).split()
    texts = []
    for _ in range(o.lines or o.steps * o.batch_size + 2):
        text = " ".join(words[i] for i in random.integers(0, len(words), random.integers(1, 25)))
        if random.random() < 0.2:
            text = f"<|im_start|>user\n{text}<|im_end|>\n"
        texts.append(text + (" = ½ €\n" if random.random() < 0.2 else ""))
    (o.work / "data.jsonl").write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts), encoding="utf-8")
    tokenizer = tiny_tokenizer.make(SAMPLE, o.vocabulary)
    end, pad = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    model = oracle.randomise(Qwen2ForCausalLM(oracle.config(
        o.hidden, o.layers, o.heads, o.kv_heads, o.intermediate, o.vocabulary, not o.untied, o.theta, eos_token_id=end)), o.seed)
    model.generation_config = GenerationConfig(eos_token_id=[end, pad], pad_token_id=pad, do_sample=False)
    model.save_pretrained(o.work / "model")
    tokenizer.save(str(o.work / "model/tokenizer.json"))
    (o.work / "model/tokenizer_config.json").write_text(json.dumps(tiny_tokenizer.tokenizer_config(tokenizer), indent=2) + "\n")
    if not o.full:
        alpha = int(o.alpha) if o.alpha == int(o.alpha) else o.alpha
        oracle.new_adapter(oracle.load(o.work / "model"), o.rank, alpha, o.targets.split(","), o.seed + 1, o.zero_b).save_pretrained(o.work / "initial_adapter")
        oracle.tidy_adapter(o.work / "initial_adapter", base=str((o.work / "model").resolve()))


def command(o, out):
    line = [o.binary or "nano-reasoner", "sft", "--model", o.work / "model", "--data", o.work / "data.jsonl", "--out", out]
    line += ["--full"] if o.full else ["--adapter", o.work / "initial_adapter"]
    line += ["--lr", o.lr, "--batch-size", o.batch_size, "--no-shuffle", "--max-steps", o.steps, "--epochs", o.epochs]
    line += ["--weight-decay", o.weight_decay, "--clip-grad-norm", o.clip_grad_norm, "--precision", "fp32", "--device", "cpu"]
    return [str(x) for x in line]


def recompute(o, dtype, steps, **changed):
    tokenizer = Tokenizer.from_file(str(o.work / "model/tokenizer.json"))
    rows = [tokenizer.encode(line["text"], add_special_tokens=False).ids for line in oracle.read_lines(o.work / "data.jsonl")]
    model = oracle.load(o.work / "model", dtype)
    if not o.full:
        model = oracle.load_adapter(model, o.work / "initial_adapter", trainable=True)
    batches = oracle.batches(rows, o.batch_size, steps, o.epochs)
    settings = {"weight_decay": float(o.weight_decay), "clip": float(o.clip_grad_norm), **changed}
    losses, norms = oracle.sft(model, batches, float(o.lr), **settings)
    state = {n: p.detach().float() for n, p in model.named_parameters()} if o.full else oracle.adapter_state(model)
    return losses, norms, state


def written(o, out):
    """What the program wrote, whole: an adapter, or a model in one file or in shards."""
    folder = out / ("model" if o.full else "adapter")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise SystemExit(f"check_sft.py: {folder}: no safetensors file there")
    tensors = {}
    for file in files:
        tensors.update(oracle.load_file(file))
    if o.full and not o.untied:
        tensors.pop("lm_head.weight", None)  # a tied model may or may not repeat its embedding
    return tensors


def compare(o, out):
    losses, norms, reference = recompute(o, oracle.torch.float32, o.steps)
    _, _, exact = recompute(o, oracle.torch.float64, o.steps)
    _, _, before = recompute(o, oracle.torch.float32, 0)
    found = written(o, out)
    if found.keys() != reference.keys():
        print(f"tensors missing: {sorted(reference.keys() - found.keys())[:5]}, unexpected: {sorted(found.keys() - reference.keys())[:5]}")
        return 1
    for name, x in reference.items():
        if found[name].shape != x.shape or found[name].dtype != oracle.torch.float32 or not oracle.torch.isfinite(found[name]).all():
            print(f"{name}: expected finite float32 {list(x.shape)}, found {found[name].dtype} {list(found[name].shape)}")
            return 1
    moved, off, rounding = (oracle.difference(a, b) for a, b in ((reference, before), (found, reference), (reference, exact)))
    print(f"peft: losses {np.round(losses, 5).tolist()}, gradient norms {np.round(norms, 4).tolist()}")
    print(f"weights moved by up to {moved[0]:.1e}; torch float32 from float64 {rounding[0]:.1e} ({rounding[1]})")
    print(f"the program from peft: {off[0]:.2e} at {off[1]} (allowed {o.tolerance:g})")
    for mistake, changed in (("no weight decay", {"weight_decay": 0.0}), ("no clipping", {"clip": float("inf")})):
        effect = oracle.difference(recompute(o, oracle.torch.float32, o.steps, **changed)[2], reference)[0]
        verdict = "would be seen" if effect > 2 * o.tolerance else "BLIND: this run cannot tell"
        print(f"a program with {mistake} would be {effect:.1e} off: {verdict}")
    if off[0] <= o.tolerance:
        if moved[0] <= 2 * o.tolerance:
            print("NOT DECISIVE: weights hardly moved, so an untrained adapter would pass too; raise --lr or --steps")
            return 3
        return 0
    if rounding[0] > o.tolerance:
        print("NOT DECISIVE: torch's own float32 is above the tolerance here; take another seed")
        return 3
    return 1


def main():
    o = arguments()
    if o.written:
        return compare(o, o.written)
    prepare(o)
    out = o.work / "run"
    print(" ".join(command(o, out)))
    if o.prepare:
        return 0
    if not o.binary:
        raise SystemExit("check_sft.py: give --binary PATH, --prepare or --written OUT")
    done = subprocess.run(command(o, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"the program ended with {done.returncode}: {done.stderr.strip()[-600:]}")
        return 2
    return compare(o, out)


if __name__ == "__main__":
    sys.exit(main())
