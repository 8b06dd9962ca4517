"""Makes every file beside this one with peft and torch: ~/.cache/peers/bin/python make_goldens.py  (20 s). See README.md."""

import json
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "Oracles"))

import numpy as np
import torch
import oracle
import tiny_tokenizer
from tokenizers import Tokenizer
from transformers import GenerationConfig, Qwen2ForCausalLM

STEPS, BATCH = 3, 4
# Fourteen lines: three batches of four and two lines that three steps never reach. Lengths differ much, one text is a single token
# (it has nothing to predict), one holds chat tokens, some are not ASCII.
TEXTS = [
    "Tom has 3 apples and buys 4 more. How many apples has Tom? Tom has 3 + 4 = 7 apples.",
    "<|im_start|>user\nWhat is 12 - 5?<|im_end|>\n<|im_start|>assistant\n<think>\n12 - 5 = 7\n</think>\n\\boxed{7}<|im_end|>\n",
    "A box holds 6 pens.",
    "Äpfel kosten 2 € das Stück; drei kosten 6 €.",
    "x",
    "Mia reads 10 pages a day. In 5 days she reads 10 × 5 = 50 pages.",
    "How many?",
    "7",
    "If 2 pens cost $8, one pen costs 8 / 2 = 4.   So the answer is \\boxed{4}.<|endoftext|>",
    "数学：三加四等于七。",
    "no",
    "Sam had 20 coins, gave away 5 and lost 3.\n20 - 5 = 15\n15 - 3 = 12\n#### 12",
    "This line is never reached: three steps of four lines come before it.",
    "Nor is this one.",
]


def tokenised(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [tokenizer.encode(line["text"], add_special_tokens=False).ids for line in oracle.read_lines(HERE / "data.jsonl")]


def make_model():
    folder = HERE / "tied"
    shutil.rmtree(folder, ignore_errors=True)
    model = oracle.randomise(Qwen2ForCausalLM(oracle.config(
        hidden=32, layers=2, heads=4, kv_heads=2, intermediate=48, vocabulary=300, tied=True, theta=1e4, eos_token_id=299)), seed=52)
    model.generation_config = GenerationConfig(eos_token_id=[299, 297], pad_token_id=297, do_sample=False)
    model.save_pretrained(folder)
    tokenizer = tiny_tokenizer.make(TEXTS, 300)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(tiny_tokenizer.tokenizer_config(tokenizer), indent=2, ensure_ascii=False) + "\n")
    return folder


def run(base, rows, lr, adapter, dtype, clip=1.0, decay=0.01):
    """(losses, norms, {name: trained tensor in float32})"""
    model = oracle.load(base, dtype)
    if adapter is not None:
        model = oracle.load_adapter(model, adapter, trainable=True)
    losses, norms = oracle.sft(model, oracle.batches(rows, BATCH, STEPS), lr, weight_decay=decay, clip=clip)
    state = oracle.adapter_state(model) if adapter is not None else {n: p.detach().float() for n, p in model.named_parameters()}
    return losses, norms, state


def expect(base, rows, out, lr, adapter=None, clip=1.0, decay=0.01):
    losses, norms, state = run(base, rows, lr, adapter, torch.float32, clip, decay)
    losses64, norms64, state64 = run(base, rows, lr, adapter, torch.float64, clip, decay)
    before = run(base, rows[:0], lr, adapter, torch.float32)[2]
    worst, moved = oracle.difference(state, state64), oracle.difference(state, before)
    oracle.save({
        "losses": torch.tensor(losses64, dtype=torch.float64), "grad_norms": torch.tensor(norms64, dtype=torch.float64),
        "losses_float32": torch.tensor(losses), "grad_norms_float32": torch.tensor(norms),
        "lr": torch.tensor([lr], dtype=torch.float64), **{"final." + n: x for n, x in state.items()},
    }, out)
    print(f"{out.relative_to(HERE)}: losses {np.round(losses64, 4).tolist()}, norms {np.round(norms64, 3).tolist()}, weights move by up to"
          f" {moved[0]:.1e}; float32 against float64: losses {np.abs(np.array(losses) - losses64).max():.1e}, norms"
          f" {np.abs(np.array(norms) - norms64).max():.1e}, weights {worst[0]:.1e} ({worst[1]})")


def main():
    (HERE / "data.jsonl").write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in TEXTS), encoding="utf-8")
    base = make_model()
    rows = tokenised(base)
    oracle.save(oracle.packed(rows), HERE / "tokens.safetensors")
    for name in ("lora_steps", "full_steps"):
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / name).mkdir()
    for name, zero_b in (("initial_adapter", False), ("fresh_adapter", True)):
        folder = HERE / "lora_steps" / name
        oracle.new_adapter(oracle.load(base), 8, 16, oracle.ALL_LINEAR, seed=61, zero_b=zero_b).save_pretrained(folder)
        oracle.tidy_adapter(folder, base="tied")
        for lr in ("2e-5", "1e-3"):
            expect(base, rows, HERE / "lora_steps" / f"expected_{name.removesuffix('_adapter')}_lr{lr}.safetensors", float(lr), folder)
    expect(base, rows, HERE / "lora_steps/expected_initial_lr1e-3_clip100.safetensors", 1e-3, HERE / "lora_steps/initial_adapter", clip=100)
    # Decay of 0.01 moves weights by less than 1e-5 in three steps: only a large one shows that it is applied at all, and to what.
    expect(base, rows, HERE / "lora_steps/expected_initial_lr1e-3_decay1.safetensors", 1e-3, HERE / "lora_steps/initial_adapter", decay=1.0)
    expect(base, rows, HERE / "full_steps/expected_lr1e-3_decay1.safetensors", 1e-3, decay=1.0)
    for lr in ("2e-5", "1e-3"):
        expect(base, rows, HERE / "full_steps" / f"expected_lr{lr}.safetensors", float(lr))


main()
