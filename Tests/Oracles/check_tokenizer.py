"""Whether `tokenize` gives the ids of Hugging Face tokenizers, and `--decode` their text, on whole files and on random strings.

    ~/.cache/peers/bin/python Tests/Oracles/check_tokenizer.py BINARY FOLDER TEXTS... [--random N] [--seed S]

TEXTS are JSON lines, of which every string is a text, or plain files, each one text. The random strings are of all planes of Unicode and of
what pre-tokenisers tell apart. All go through one process: between them stands an added token, at which a text is cut before anything else.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys

from tokenizers import Tokenizer

PIECES = [
    " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", "\u00a0", "\u3000", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\u200b", "\u180e", "\ufeff", "'", "'s", "'S",
    "'\u017f", "'ll", "'LL", "'lL", "'re", "'Re", "'ve", "'VE", "'d", "'D", "'m", "'T", "'\u212a", "\u2019t", "a", "Z", "the", " the", "ing", "\u00e9", "e\u0301", "\u0301", "\u0323",
    "\u4eba\u5de5", "\u3053\u3093", "\uac00\u11a8", "\u0e33", "\u05e9", "\u0627", "\u0939\u093f", "\u01c5", "\u02b0", "\u17f0", "0", "7", "42", "123", "123456", "\u0663\u0664", "\u0967", "\u00bd", "\u2167",
    "\u00b2", "\u3007", "\U0001d7d8", "\U00011de0", "\U00016ff4", ".", ",", "!!", "-", "_", "$", "\\boxed{", "}", "\u20ac", "\u2211", "\U0001f600", "\U0001f468\u200d\U0001f469", "\U0001f1e9\U0001f1ea", "\ufe0f",
    "\x00", "\x7f", "\ue000", "\U0010ffff", "\ufdd0", "\ufffd"]
PLANES = [(0, 0x80), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000), (0x20000, 0x110000)]


def texts_of(path):
    if path.suffix != ".jsonl":
        return [path.read_bytes().decode()]
    values = [json.loads(line) for line in path.read_text().splitlines()]
    return [text for value in values for text in value.values() if isinstance(text, str)]


def random_text(chosen, tokens):
    parts = []
    for _ in range(chosen.randint(0, 24)):
        kind = chosen.random()
        if kind < 0.6:
            parts.append(chosen.choice(PIECES))
        elif kind < 0.65 and tokens:
            parts.append(chosen.choice(tokens))
        else:
            parts.append(chr(chosen.randrange(*chosen.choice(PLANES))))
    return "".join(parts)


def run(binary, folder, data, *more):
    result = subprocess.run([binary, "tokenize", "--model", folder, *more], input=data, capture_output=True)
    if result.returncode:
        sys.exit(f"check_tokenizer.py: tokenize ended with {result.returncode}: {result.stderr.decode()}")
    return result.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("folder")
    parser.add_argument("texts", nargs="*", type=pathlib.Path)
    parser.add_argument("--random", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    tokenizer = Tokenizer.from_file(f"{o.folder}/tokenizer.json")
    added = tokenizer.get_added_tokens_decoder()
    plain = [t.content for _, t in sorted(added.items()) if not (t.normalized or t.lstrip or t.rstrip or t.single_word)]
    if not plain:
        sys.exit("check_tokenizer.py: the tokenizer has no added token to stand between texts")
    between = plain[0]
    tokens = [t.content for t in added.values() if t.content != between]
    chosen = random.Random(o.seed)
    groups = [(str(path), texts_of(path)) for path in o.texts]
    groups.append((f"random strings of seed {o.seed}", [random_text(chosen, tokens) for _ in range(o.random)]))
    failed = False
    for name, texts in groups:
        texts = [text for text in texts if between not in text]
        expected = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
        ids = json.loads(run(o.binary, o.folder, between.join(texts).encode()))
        found, part = [[]], tokenizer.token_to_id(between)
        for token in ids:
            if token == part:
                found.append([])
            else:
                found[-1].append(token)
        differing = [i for i, text in enumerate(texts) if i >= len(found) or found[i] != expected[i]]
        if len(found) != len(texts):
            differing = differing or [0]
        flat = [token for tokens in expected for token in tokens]
        back = run(o.binary, o.folder, json.dumps(flat).encode(), "--decode").decode()
        same = back == tokenizer.decode(flat, skip_special_tokens=False)
        print(f"{name}: {len(texts)} texts, {len(flat)} tokens, {len(differing)} differ; decoded {'the same' if same else 'DIFFERENTLY'}")
        for i in differing[:5]:
            print(f"  {texts[i]!r}\n    tokenizers {expected[i]}\n    tokenize   {found[i] if i < len(found) else None}")
        failed = failed or bool(differing) or not same
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
