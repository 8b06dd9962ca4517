"""Remakes added.json beside it: added tokens with random flags, several at a time, in random texts, by Hugging Face tokenizers.

    ~/.cache/peers/bin/python Tests/TokenizationTests/Goldens/make_added.py [SEEDS] [TEXTS] [OUT]

A text at which `tokenizers` itself stops ("begin > end": a token that strips to the left, whose place an earlier one has
taken) has null for its ids.
"""

import json
import pathlib
import random
import sys
import unicodedata

from tokenizers import AddedToken, Tokenizer

HERE = pathlib.Path(__file__).parent
# Tokens that begin, end or consist of white space, that begin with one another, and that normalise to one another.
CONTENTS = [
    "L", "R", "B", "LR", "ab", "a", "  ", " ", "\n", "\u3000x", "<e>", "<e", "e\u0301", "\u00e9", "_w", "w", "R L", " R", "L ", "\t",
    "A\u030a", "\u212b", "x x", "==", "=", "\u0301"]
BETWEEN = [" ", "  ", "\n", "\t", "a", "b", "w", "_", "\u00e9", "e", "\u0301", "\u00a0", "\u3000", "L", "R", "\x85", "1", "."]


def case(base, seed, texts):
    chosen = random.Random(seed)
    tokenizer = Tokenizer.from_str(json.dumps({**base, "added_tokens": []}))
    # Which of two tokens with one normal form counts, changes in tokenizers from run to run.
    contents = list({unicodedata.normalize("NFC", c): c for c in chosen.sample(CONTENTS, chosen.randint(2, 7))}.values())
    for content in contents:
        token = AddedToken(
            content, lstrip=chosen.random() < 0.5, rstrip=chosen.random() < 0.5, single_word=chosen.random() < 0.3,
            normalized=chosen.random() < 0.4)
        add = tokenizer.add_special_tokens if chosen.random() < 0.4 else tokenizer.add_tokens
        add([token])
    rows = []
    for _ in range(texts):
        text = "".join(chosen.choice(contents * 2 + BETWEEN) for _ in range(chosen.randint(0, 12)))
        try:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
        except BaseException:  # pyo3 raises its panics past Exception
            ids = None
        rows.append({"text": text, "ids": ids})
    return {"added_tokens": json.loads(tokenizer.to_str())["added_tokens"], "cases": rows}


def main():
    seeds, texts = (int(word) for word in (sys.argv[1:3] + ["40", "25"][len(sys.argv[1:3]):]))
    out = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else HERE / "added.json"
    base = json.loads((HERE / "small" / "tokenizer.json").read_text())
    out.write_text(json.dumps([case(base, seed, texts) for seed in range(seeds)], ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
