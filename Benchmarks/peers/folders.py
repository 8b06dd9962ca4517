"""What the measurements read: folders of models with random weights, made once in ~/.cache/nano-reasoner-bench, GSM8K and Qwen2.5's
tokeniser.

No completion of these models ends before it has the length that is asked for. Weights are random; speed does not depend on them.
"""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("NR_BENCH_CACHE", "~/.cache/nano-reasoner-bench")).expanduser()
# As Tests/Oracles/make_model.py has them; "2.5m" is Models/base's shape, "135m" SmolLM2-135M's.
NAMES = ["tiny", "2.5m", "135m", "0.5b", "1.5b"]


def shared():
    """The folder with gsm8k/ and qwen2.5-tokenizer/, or None: $NR_SHARED (or its data/), else shared/data beside the repository."""
    named = os.environ.get("NR_SHARED")
    places = [pathlib.Path(named) / "data", pathlib.Path(named)] if named else [p / "shared/data" for p in list(ROOT.parents)[:2]]
    return next((p for p in places if (p / "gsm8k").is_dir()), None)


def make(name, say=lambda text: None):
    """The folder of that shape: in bfloat16, the tiny one in float32. Made where it is not there yet."""
    folder = CACHE / name
    if (folder / "complete").exists():
        return folder
    say(f"writing {folder}")
    command = [sys.executable, str(ROOT / "Tests/Oracles/make_model.py"), str(folder), "--shape", name]
    if name != "tiny":
        vocabulary = {"2.5m": 960, "135m": 49152}.get(name, 151936)
        command += ["--dtype", "bfloat16", "--tokenizer", str(tokenizer_of(name)), "--vocabulary", str(vocabulary)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for file, key in ("config.json", "eos_token_id"), ("generation_config.json", "eos_token_id"), ("tokenizer_config.json", "eos_token"):
        settings = json.loads((folder / file).read_text())
        settings[key] = None
        (folder / file).write_text(json.dumps(settings, indent=2) + "\n")
    forbid_end(folder)
    (folder / "complete").touch()
    return folder


def forbid_end(folder):
    """Makes <|im_end|>, which ends a turn of the chat form whatever the settings say, too unlikely to be drawn: channel 0 of every token's
    embedding is 1, of that token's -1. The embedding is the head too, and channel 0 outweighs the others in the rows that go into it."""
    import numpy as np
    from tokenizers import Tokenizer

    end = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("<|im_end|>")
    path = folder / "model.safetensors"
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(size))["model.embed_tokens.weight"]
    kind, one, minus = ("<u2", 0x3F80, 0xBF80) if entry["dtype"] == "BF16" else ("<f4", 1, -1)
    rows = np.memmap(path, kind, "r+", 8 + size + entry["data_offsets"][0], tuple(entry["shape"]))
    rows[:, 0], rows[end, 0] = one, minus
    rows.flush()


def tokenizer_of(name):
    """Qwen2.5's tokeniser for models with its vocabulary, where it is here; the tiny one otherwise."""
    if name in ("0.5b", "1.5b") and shared():
        return shared() / "qwen2.5-tokenizer/tokenizer.json"
    return make("tiny") / "tokenizer.json"


def problems(split):
    """Questions and answers of GSM8K; questions of our own where it is not here."""
    if shared():
        return [(r["question"], r["answer"]) for r in map(json.loads, (shared() / f"gsm8k/{split}.jsonl").open())]
    return [(question, f"{a} + {b} = {a + b}.\n#### {a + b}") for question, a, b in sums(2000)]


def sums(count):
    """Short questions and their two numbers."""
    words = ["apples", "pens", "coins", "books", "miles", "boxes", "cards", "eggs"]
    for i in range(count):
        word, a, b = words[i % 8], 3 + i % 7, 2 + i % 5
        yield f"Tom has {a} {word} and buys {b} more. How many {word} has Tom now?", a, b


def texts(folder, count, tokens):
    """`count` texts of exactly `tokens` tokens each, and their ids."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found, at, all_problems = [], 0, problems("train")
    while len(found) < count:
        text = ""
        while len(tokenizer.encode(text, add_special_tokens=False).ids) < tokens:
            text += " ".join(all_problems[at % len(all_problems)]) + "\n"
            at += 1
        # A cut within a word may be read otherwise: shorter by a token or so, until it is read as it was cut.
        for start in range(40):
            ids = tokenizer.encode(text[start:], add_special_tokens=False).ids[:tokens]
            cut = tokenizer.decode(ids, skip_special_tokens=False)
            if tokenizer.encode(cut, add_special_tokens=False).ids == ids:
                found.append((cut, ids))
                break
    return found
