"""Remakes the goldens beside it from Hugging Face tokenizers.

    ~/.cache/peers/bin/python Tests/TokenizationTests/Goldens/make.py [../shared/data]

Writes corpus.txt, small/tokenizer.json, cases.json, learned.json, unicode.json, and, given the shared data, gsm8k.json.
"""

import hashlib
import json
import pathlib
import random
import struct
import sys

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CONTRACTIONS + r"\p{N}" + REST
LLAMA3 = CONTRACTIONS + r"\p{N}{1,3}" + REST
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

AWKWARD = [
    "",
    " ",
    "Hello, world!",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family \U0001f44d\U0001f3fd \U0001f1e9\U0001f1ea \u2764\ufe0f",
    "e\u0301 \u00e9 a\u0328\u0301 q\u0307\u0323 \u1e9b\u0323 \u0344 \u0958 \u2126 \u212b \ufb1d \ufb01",
    "\u0f73 a\u0323\u0f73 \u0f75\u0f71 \u0f81\u0301 \u0fb2\u0f81",
    "\u1112\u1161\u11ab\u1100\u116e\u11a8 \uac00\u11a8 \uac01\u11a8 \u1112 \u1161 \u11ab \ud55c\uad6d",
    "\u0301starts with a mark",
    "a\u0301\u0301\u0301\u0323\u0323\u0301",
    "line\r\n\r\n\r\nline\r\rline\n\n\n  line\n \n\t\nline \r\n",
    "\ttab\t\ttabs \t mixed\t \n\t",
    "many          spaces   before words    ",
    "   ",
    " \n ",
    "\n",
    "x \u00a0 y\u00a0z \u3000\u3000wide\u2028line\u2029para\u0085next \u200bzero\u200cwidth \ufeffbom \u180e",
    "it's IT'S I'll I'LL we've WE'VE don't DON'T I'm I'M he'd HE'D they're THEY'RE 'sup 'Sx 'lL 'rE ' s '",
    "it'\u017f '\u017fx '\u212a K\u212a \u017f",
    "'l 'v 'r 're' ''s '''",
    "\u2019s \u2019t don\u2019t",
    "0123456789 1,234.50 3x 12a34 $5.00 50%",
    "\u0663\u0664\u0665 \u0e53\u0e54 \u0967\u0968\u0969 \U0001d7d8\U0001d7d9 \u00bd \u2167 \u00b2\u00b3 \u2460 \u3007 \U0001f100",
    "\x00 nul \x00\x00 \x01\x1f\x7f control",
    "\ue000 \uf8ff private \U000f0000 \U0010ffff \ufffd \uffff \ufdd0",
    "\u05e9\u05dc\u05d5\u05dd \u0627\u0628\u062c\u062f \u202bRTL\u202c \u064b\u064e",
    "\u0e44\u0e17\u0e22\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0939\u093f\u0928\u094d\u0926\u0940 \u0ba4\u0bae\u0bbf\u0bb4\u0bcd",
    "\u4eba\u5de5\u667a\u80fd\u3002\u3053\u3093\u306b\u3061\u306f\u30fc \U00020000\U0002f800",
    "_under_score-dash/slash\\back {brace} [x] (y) <z> a+b=c; \u2200x\u2208\u211d \u00ac\u221e",
    "!!!\n\n??\r\n ...\n",
    "\u088f \u0c5c \U000323b0 \U00011935\U00011930 \U000105d2\u0307 \U00016d67\U00016d67 \u0897\u0301",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n",
    "<|im_start|><|im_start|>|im_end|><|im_end <|im_en<|im_end|>d|>",
    "a<|endoftext|>b <|endoftext|> c\n<|endoftext|>\n",
    "<think>reason</think> answer <thin k>",
    ">\u0338 <|im_end|>\u0338",
    "stripleft  LEFT  x\tLEFT",
    "RIGHT  x \n RIGHT\u3000RIGHT ",
    "  BOTH  BOTH  BOTH",
    "WORD aWORD WORDb WORD. _WORD \u0301WORD WORD\u0301 WORD",
    "caf\u00e9 cafe\u0301 caf\u00e9s CAFE\u0301",
    "raw\u212b raw\u00c5 rawA\u030a",
    "LEFTRIGHT  LEFTLEFT RIGHT LEFT",
    "A" * 70 + " " + "ab" * 40 + " " + "-" * 65,
    "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n#### 72",
    "Let $x^2 + \\frac{1}{2}x = \\boxed{\\text{done}}$.\n\n\\begin{align*}\n  a &= b\\\\\n\\end{align*}",
]


def corpus():
    """Sums in words, and one line of each script above."""
    chosen = random.Random(7)
    names = ["Anna", "Ben", "Carla", "David", "Emil", "Fatima"]
    things = ["apples", "pencils", "marbles", "tickets", "cookies"]
    lines = []
    for _ in range(60):
        a, b = chosen.randint(2, 99), chosen.randint(2, 99)
        name, thing = chosen.choice(names), chosen.choice(things)
        lines.append(
            f"{name} has {a} {thing} and buys {b} more. How many {thing} does {name} have now?\n"
            f"<think>\nThere are {a} + {b} = {a + b} {thing}.\n</think>\nThe answer is \\boxed{{{a + b}}}."
        )
    return "\n\n".join(lines + [text for text in AWKWARD if len(text) < 100]) + "\n"


def split(pattern):
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def qwen2_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = split(QWEN2)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def small(text):
    tokenizer = qwen2_tokenizer()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False, special_tokens=[])
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    plain = {"normalized": False, "special": False}
    tokenizer.add_tokens([AddedToken("<think>", **plain), AddedToken("</think>", **plain)])
    return tokenizer


def variants(base):
    """Tokenisers that differ from the small one in top-level keys of the file, or in keys of its model."""
    added = base["added_tokens"]
    words = base["model"]["vocab"]
    free = iter(range(max(token["id"] for token in added) + 1, 10_000))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    awkward = [
        {"content": "LEFT", "lstrip": True},
        {"content": "RIGHT", "rstrip": True},
        {"content": "BOTH", "lstrip": True, "rstrip": True, "special": True},
        {"content": "WORD", "single_word": True},
        {"content": "cafe\u0301", "normalized": True},
        {"content": "raw\u212b"},
        {"content": "LEFTRIGHT", "normalized": True, "special": True},
        {"content": "  "},
    ]
    # A token the model has too keeps its id.
    awkward = [{**flags, **token, "id": words[token["content"]] if token["content"] in words else next(free)} for token in awkward]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    llama = json.loads(json.dumps(base["pre_tokenizer"]))
    llama["pretokenizers"][0]["pattern"]["Regex"] = LLAMA3
    gpt2 = json.loads(json.dumps(base["pre_tokenizer"]))
    gpt2["pretokenizers"][0]["pattern"]["Regex"] = GPT2
    merges = base["model"]["merges"]
    holes = {token: id for token, id in words.items() if token not in ("!", "\u00c3", "q")}
    kept = [pair for pair in merges if pair[0] in holes and pair[1] in holes and not any(c in "".join(pair) for c in "!\u00c3q")]
    return [
        ("as it is", {}, {}),
        ("without a normaliser", {"normalizer": None}, {}),
        ("with an empty sequence of normalisers", {"normalizer": {"type": "Sequence", "normalizers": []}}, {}),
        ("with Llama 3's numbers", {"pre_tokenizer": llama, "normalizer": None}, {}),
        ("with whole words before merges", {"pre_tokenizer": llama}, {"ignore_merges": True, "merges": merges[:150]}),
        ("with GPT-2's pattern", {"pre_tokenizer": level}, {}),
        ("with GPT-2's pattern and a space in front", {"pre_tokenizer": {**level, "add_prefix_space": True}}, {}),
        ("with GPT-2's pattern in a Split", {"pre_tokenizer": gpt2}, {}),
        ("with merges as strings", {}, {"merges": [" ".join(pair) for pair in merges]}),
        ("with added tokens that strip and match words", {"added_tokens": added + awkward}, {}),
        ("with added tokens of every flag and GPT-2's pattern", {"added_tokens": added + awkward, "pre_tokenizer": {**level, "add_prefix_space": True}}, {}),
        ("without some bytes", {"added_tokens": []}, {"vocab": {**holes}, "merges": kept}),
    ]


def apply(base, replace, model):
    return {**base, **replace, "model": {**base["model"], **model}}


def cases(base):
    result = []
    for name, replace, model in variants(base):
        tokenizer = Tokenizer.from_str(json.dumps(apply(base, replace, model)))
        rows = []
        for text in AWKWARD:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            rows.append({"text": text, "ids": ids, "back": tokenizer.decode(ids, skip_special_tokens=False), "skipped": tokenizer.decode(ids)})
        result.append({"name": name, "replace": replace, "model": model, "cases": rows})
    return result


def learned(text):
    """The merges Hugging Face learns from the corpus, with the added tokens cut out."""
    tokenizer = qwen2_tokenizer()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    trainer = trainers.BpeTrainer(vocab_size=512, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=special, min_frequency=2, show_progress=False)
    parts = [text]
    for token in special:
        parts = [piece for part in parts for piece in part.split(token)]
    tokenizer.train_from_iterator(parts, trainer)
    return {"size": tokenizer.get_vocab_size(), "merges": json.loads(tokenizer.to_str())["model"]["merges"]}


def scalars():
    return (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)


def unicode_sweep():
    """Digests over all scalars: the class each has in the patterns, and what NFC makes of it between marks."""
    text = list(scalars())
    classes = {}
    for number, pattern in [(0, r"\p{L}"), (1, r"\p{N}"), (2, r"[\r\n]"), (3, r"[^\S\r\n]"), (4, r"[^\s\p{L}\p{N}]")]:
        cut = pre_tokenizers.Split(Regex(pattern), "removed")
        for start in range(0, len(text), 4096):
            block = text[start : start + 4096]
            kept = {scalar for piece, _ in cut.pre_tokenize_str("".join(block)) for scalar in piece}
            classes.update({scalar: number for scalar in block if scalar not in kept})
    nfc = normalizers.NFC()
    normal = hashlib.sha256()
    for scalar in text:
        normal.update(nfc.normalize_str(f"q\u0307{scalar}\u0323\u0301").encode() + b"\n")
    return {"classes": hashlib.sha256(bytes(classes[scalar] for scalar in text)).hexdigest(), "nfc": normal.hexdigest()}


def gsm8k(data):
    tokenizer = Tokenizer.from_file(str(data / "qwen2.5-tokenizer/tokenizer.json"))
    result = {}
    for name in ["test", "train"]:
        raw = (data / f"gsm8k/{name}.jsonl").read_bytes().decode()
        lines = [json.loads(line) for line in raw.splitlines()]
        texts = [line[key] for line in lines for key in ("question", "answer")]
        digests = {}
        for form, parts in [("fields", texts), ("file", [raw])]:
            hash, count = hashlib.sha256(), 0
            for encoding in tokenizer.encode_batch(parts, add_special_tokens=False):
                hash.update(struct.pack(f"<{len(encoding.ids)}i", *encoding.ids))
                count += len(encoding.ids)
            digests[form] = {"tokens": count, "sha256": hash.hexdigest()}
        result[name] = digests
    awkward = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in AWKWARD]
    return {"gsm8k": result, "awkward": awkward}


def write(name, value):
    (HERE / name).write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


def main():
    text = corpus()
    (HERE / "corpus.txt").write_bytes(text.encode())
    (HERE / "small").mkdir(exist_ok=True)
    base = json.loads(small(text).to_str())
    (HERE / "small/tokenizer.json").write_text(json.dumps(base, ensure_ascii=False, separators=(",", ":")) + "\n")
    configuration = {"eos_token": "<|im_end|>", "pad_token": {"content": "<|endoftext|>"}, "tokenizer_class": "Qwen2Tokenizer"}
    (HERE / "small/tokenizer_config.json").write_text(json.dumps(configuration, indent=2) + "\n")
    write("cases.json", {"made_by": f"tokenizers {tokenizers.__version__}", "variants": cases(base)})
    write("learned.json", learned(text))
    write("unicode.json", unicode_sweep())
    if len(sys.argv) > 1:
        write("gsm8k.json", gsm8k(pathlib.Path(sys.argv[1])))


if __name__ == "__main__":
    main()
