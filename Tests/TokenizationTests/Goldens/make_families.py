"""Remakes families.json beside it: small tokenizers built as Llama 3's and SmolLM2's are, by Hugging Face tokenizers and transformers.

    ~/.cache/peers/bin/python Tests/TokenizationTests/Goldens/make_families.py ../shared/data [~/.cache/smollm2]

Llama 3's own tokenizer cannot be had without a licence; this has its parts: pattern, `ignore_merges`, special tokens, post-processor.
Of each: the ids of awkward and random strings, and what `tokenizer(text)` of transformers makes of some, with the tokens it adds. Then
variants that replace keys of a file, with ids in both ways, and the scalars that the step Digits takes for digits. Given SmolLM2's folder, also smollm2.json: digests of its ids on all of GSM8K.
"""

import hashlib
import json
import pathlib
import random
import struct
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

import make

HERE = pathlib.Path(__file__).parent
LLAMA3_TOKENS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
SMOLLM2_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MORE = [
    "<|begin_of_text|>once", "<|begin_of_text|><|begin_of_text|>", "a<|eot_id|>\n\nb <|eot_id|> <|eot_id", "<|start_header_id|>user<|end_header_id|>\n\nhi",
    "1 12 123 1234 12345 a1b22c333d4444", "1,234.5 \u0663\u0664\u0665\u0666 \u0967\u0968\u0969\u096a \U0001d7d8\U0001d7d9\U0001d7da\U0001d7db \u00bd\u00bc\u2167\u3007\u00b2",
    "\U00011de0\U00011de1 a\U00016ff4b \U00011de9\U00011de9", "don'T DON'T it'\u017f'\u017fX I'\u212a you'LL'd we'rE'Ve 'tis 'Twas 's's'S",
    "\r\r\n\n \r \n\t\r\n", " \n \n  x\n\n  \n", "\t1\t\t22 \u00a03\u00a0\u00a044 \u30005", "1 2  3   4    5", "a     b 333 quirky x quirky3333", " 1", "1 ", "  1  ", "1\n2\r\n3",
]
PIECES = [
    " ", "  ", "\n", "\r\n", "\r", "\t", "\u00a0", "\u3000", "\u2028", "\x85", "\x0b", "\x1c", "'", "'s", "'S", "'\u017f", "'ll", "'lL", "'Re", "'d", "\u2019t", "a", "Z", "\u00e9",
    "e\u0301", "\u0301", "\u4eba", "\u0e33", "\u05d0", "\u01c5", "\u02b0", "0", "7", "42", "123456", "\u0663", "\u0967", "\u00bd", "\u2167", "\u00b2", "\u3007", "\U0001d7d8",
    "\U00011de0", "\U00016ff4", ".", "!!", "-", "_", "$", "\u20ac", "\U0001f600", "\u200d", "\ufe0f", "\ufeff", "\x00", "\ue000", "\U0010ffff", "the", " the", "is", "<|eot_id|>", "<|im_end|>", "<|"]


def train(pre_tokenizer, texts, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False))
    return tokenizer


def special(tokenizer, tokens):
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tokens])


def llama3(texts):
    pattern = pre_tokenizers.Split(Regex(make.LLAMA3), "isolated")
    tokenizer = train(pre_tokenizers.Sequence([pattern, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), texts, 600)
    file = json.loads(tokenizer.to_str())
    file["model"]["ignore_merges"] = True
    # Words that no merges lead to: with `ignore_merges` they are tokens all the same.
    for word in ["\u0120\u0120\u0120\u0120\u0120", "333", "\u0120quirky"]:
        assert word not in file["model"]["vocab"]
        file["model"]["vocab"][word] = len(file["model"]["vocab"])
    tokenizer = Tokenizer.from_str(json.dumps(file))
    special(tokenizer, LLAMA3_TOKENS)
    begin = LLAMA3_TOKENS[0]
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single=f"{begin} $A", pair=f"{begin} $A {begin} $B:1", special_tokens=[(begin, tokenizer.token_to_id(begin))])])
    return json.loads(tokenizer.to_str())


def smollm2(texts):
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    tokenizer = train(pre_tokenizers.Sequence(steps), texts, 500)
    special(tokenizer, SMOLLM2_TOKENS)
    return json.loads(tokenizer.to_str())


def framed(file, texts, configuration):
    """What `tokenizer(text)` of transformers gives for a folder with these files."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "tokenizer.json").write_text(json.dumps(file))
        (folder / "tokenizer_config.json").write_text(json.dumps(configuration))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return [tokenizer(text).input_ids for text in texts]


def ids(file, texts):
    tokenizer = Tokenizer.from_str(json.dumps(file))
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def variants(llama, smol):
    """Names, files and the keys they replace of the file they are made from."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    def digits(individual):
        return {"type": "Digits", "individual_digits": individual}
    def split(pattern):
        return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    def steps(*parts):
        return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(parts)}}
    def token(name):
        return {"SpecialToken": {"id": name, "type_id": 0}}
    text, second = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    def template(single, *names):
        known = {name: {"id": name, "ids": [SMOL[n] for n in name.split("+")], "tokens": name.split("+")} for name in names}
        return {"type": "TemplateProcessing", "single": single, "pair": [text, second], "special_tokens": known}
    SMOL = {token["content"]: token["id"] for token in smol["added_tokens"]}
    end, start = "<|endoftext|>", "<|im_start|>"
    offsets = {**level, "use_regex": False}
    return [
        ("runs of digits", "smollm2", steps(digits(False), level)),
        ("digits and a space in front of each piece", "smollm2", steps(digits(True), {**level, "add_prefix_space": True})),
        ("digits without a pattern", "smollm2", steps(digits(True), {**level, "use_regex": False})),
        ("no pattern at all", "smollm2", {"pre_tokenizer": {**level, "use_regex": False}}),
        ("Llama 3's pattern on pieces", "smollm2", steps(digits(False), split(make.LLAMA3), {**level, "use_regex": False})),
        ("two patterns", "smollm2", steps(split(make.QWEN2), level)),
        ("a space in front of what a pattern left", "smollm2", steps(split(make.QWEN2), {**level, "add_prefix_space": True, "use_regex": False})),
        ("a sequence in a sequence", "smollm2", steps(steps(digits(True), split(make.GPT2))["pre_tokenizer"], {**level, "use_regex": False})),
        ("words without ignore_merges", "llama3", {"model": {**llama["model"], "ignore_merges": False}}),
        ("GPT-2's post-processor", "smollm2", {"post_processor": level}),
        ("a token behind", "smollm2", {"post_processor": template([text, token(end)], end)}),
        ("tokens on both sides", "smollm2", {"post_processor": template([token(start), token(end), text, token(end)], end, start)}),
        ("a special token of two ids", "smollm2", {"post_processor": template([token(f"{start}+{end}"), text], f"{start}+{end}")}),
        ("a template that adds nothing", "smollm2", {"post_processor": template([text])}),
        ("a template before ByteLevel", "smollm2", {"post_processor": {"type": "Sequence", "processors": [template([token(start), text], start), offsets]}}),
        ("two templates of which one adds nothing", "smollm2", {"post_processor": {"type": "Sequence", "processors": [template([text]), template([token(start), text], start)]}}),
    ]


def gsm8k(data, folder):
    """Digests of the ids of SmolLM2's tokenizer on every question and answer."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    result = {}
    for split in ["test", "train"]:
        lines = [json.loads(line) for line in (data / f"gsm8k/{split}.jsonl").read_text().splitlines()]
        found = [i for line in lines for key in ("question", "answer") for i in tokenizer.encode(line[key], add_special_tokens=False).ids]
        result[split] = {"tokens": len(found), "sha256": hashlib.sha256(struct.pack(f"<{len(found)}i", *found)).hexdigest()}
    return result


def main():
    data = pathlib.Path(sys.argv[1])
    lines = [json.loads(line) for line in (data / "gsm8k/train.jsonl").read_text().splitlines()[:400]]
    texts = [line[key] for line in lines for key in ("question", "answer")] + [(HERE / "corpus.txt").read_text()]
    files = {"llama3": llama3(texts), "smollm2": smollm2(texts)}
    chosen = random.Random(20)
    awkward = make.AWKWARD + MORE
    cases = awkward + ["".join(chosen.choice(PIECES) for _ in range(chosen.randint(1, 14))) for _ in range(150)]
    some = ["", "Hello 12", "<|begin_of_text|>Hello", " x<|im_end|>"]
    rows = []
    for name, file in files.items():
        begin, end = file["added_tokens"][0]["content"], file["added_tokens"][1]["content"]
        plain = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": begin, "eos_token": end}
        expected = framed(file, some, plain)
        # Beside a tokenizer.json these change nothing, whatever they say.
        for key in ["add_bos_token", "add_eos_token"]:
            for value in [True, False]:
                assert framed(file, some, {**plain, key: value}) == expected, (name, key, value)
        rows.append({"name": name, "file": file, "ids": ids(file, cases), "framed": expected})
    changed = []
    for name, of, replace in variants(files["llama3"], files["smollm2"]):
        file = {**files[of], **replace}
        if "model" in replace:
            replace = {"model": {"ignore_merges": False}}
        texts = cases[::3] if "pre_tokenizer" in replace or "model" in replace else []
        changed.append({"name": name, "of": of, "replace": replace, "ids": ids(file, texts),
            "framed": framed(file, some, {"tokenizer_class": "PreTrainedTokenizerFast"})})
    digits = pre_tokenizers.Digits(individual_digits=True)
    numeric = bytes(len(digits.pre_tokenize_str(f"a{scalar}a")) > 1 for scalar in make.scalars())
    document = {"texts": cases, "framed_texts": some, "families": rows, "variants": changed, "digits": hashlib.sha256(numeric).hexdigest()}
    (HERE / "families.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")
    if len(sys.argv) > 2:
        (HERE / "smollm2.json").write_text(json.dumps(gsm8k(data, pathlib.Path(sys.argv[2]))) + "\n")


if __name__ == "__main__":
    main()
