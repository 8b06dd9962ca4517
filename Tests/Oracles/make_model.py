"""Makes a complete Hugging Face folder of a random-weight Qwen2, as a user would download it.

usage: make_model.py OUT [--shape tiny|2.5m|135m|0.5b|1.5b] [--layers N] [--hidden D] [--tokenizer tokenizer.json] [--vocabulary V]
                     [--dtype float32|bfloat16|float16] [--untied] [--shard 200MB] [--seed N] [--lively] [--old-config]
Without --tokenizer a tiny one of --vocabulary ids (default 512) is made. With one, the vocabulary defaults to what it needs (Qwen2.5's own
151936 for the published shapes). --lively draws weights large enough for far from uniform logits; otherwise they are as transformers
initialises them. Weights are random: use it for shapes, speed and exactness, not for sense.
"""

import argparse
import json
import pathlib

import torch
import oracle
import tiny_tokenizer
from tokenizers import Tokenizer
from transformers import GenerationConfig, Qwen2ForCausalLM

SHAPES = {
    "tiny": dict(hidden=128, layers=4, heads=4, kv_heads=2, intermediate=384, tied=True, max_position_embeddings=2048),
    "2.5m": dict(hidden=192, layers=6, heads=6, kv_heads=2, intermediate=512, tied=True, max_position_embeddings=8192),
    "135m": dict(hidden=576, layers=30, heads=9, kv_heads=3, intermediate=1536, tied=True, max_position_embeddings=8192),
    "0.5b": dict(hidden=896, layers=24, heads=14, kv_heads=2, intermediate=4864, tied=True, max_position_embeddings=32768),
    "1.5b": dict(hidden=1536, layers=28, heads=12, kv_heads=2, intermediate=8960, tied=True, max_position_embeddings=32768),
}
SAMPLE = [
    "Tom has 3 apples and buys 4 more. How many apples has Tom now? Tom has 3 + 4 = 7 apples. The answer is \\boxed{7}.",
    "Please reason step by step and put your final answer within \\boxed{}. system user assistant <think> </think>",
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips altogether?",
    "Each box costs $12 and holds 6 pens. She paid 2 * 12 = 24 dollars for 12 pens, so each pen cost 24 / 12 = 2 dollars.",
    "The train runs for three hours at 60 miles per hour, then for two more hours at half that speed; total distance in miles?",
    # syllables, so that there are merges enough for a vocabulary of a few thousand
    *(" ".join(f"{first}{vowel}{last}" for vowel in "aeiou" for last in ("n", "s", "t", "l", "r", "nd", "ck")) for first in
      ("b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "w", "br", "cl", "dr", "st", "th", "tr")),
]


def old_layout(path):
    """`rope_theta` and `torch_dtype` at the top level, as every Qwen2.5 folder on the hub has them."""
    settings = json.loads(path.read_text())
    settings["rope_theta"] = settings.pop("rope_parameters")["rope_theta"]
    settings["torch_dtype"] = settings.pop("dtype")
    settings.pop("layer_types")
    path.write_text(json.dumps(settings, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--hidden", type=int, help="with the shape's heads, so a multiple of twice their number")
    parser.add_argument("--tokenizer", type=pathlib.Path)
    parser.add_argument("--vocabulary", type=int)
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--untied", action="store_true")
    parser.add_argument("--shard")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lively", action="store_true")
    parser.add_argument("--old-config", action="store_true")
    options = parser.parse_args()

    tokenizer = Tokenizer.from_file(str(options.tokenizer)) if options.tokenizer else tiny_tokenizer.make(SAMPLE, options.vocabulary or 512)
    needed = max(tokenizer.get_vocab().values()) + 1
    vocabulary = options.vocabulary or (151936 if options.shape != "tiny" and options.tokenizer else needed)
    if vocabulary < needed:
        raise SystemExit(f"make_model.py: --vocabulary {vocabulary} is less than the tokeniser's {needed}")
    end, pad = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    if end is None or pad is None:
        raise SystemExit("make_model.py: the tokeniser has no <|im_end|> or no <|endoftext|>")

    shape = dict(SHAPES[options.shape])
    shape["layers"] = options.layers or shape["layers"]
    shape["hidden"] = options.hidden or shape["hidden"]
    shape["tied"] = not options.untied
    torch.manual_seed(options.seed)
    torch.set_default_dtype(getattr(torch, options.dtype))
    model = Qwen2ForCausalLM(oracle.config(
        **shape, vocabulary=vocabulary, theta=1e6, bos_token_id=pad, eos_token_id=end, dtype=options.dtype))
    if options.lively:
        oracle.randomise(model, options.seed)
    model.generation_config = GenerationConfig(
        bos_token_id=pad, pad_token_id=pad, eos_token_id=[end, pad], do_sample=True, temperature=0.7, top_p=0.8, top_k=20,
        repetition_penalty=1.05)
    model.save_pretrained(options.out, **({"max_shard_size": options.shard} if options.shard else {}))
    if options.old_config:
        old_layout(options.out / "config.json")
    if options.tokenizer:
        (options.out / "tokenizer.json").write_bytes(options.tokenizer.read_bytes())
    else:
        tokenizer.save(str(options.out / "tokenizer.json"))
    (options.out / "tokenizer_config.json").write_text(
        json.dumps(tiny_tokenizer.tokenizer_config(tokenizer), indent=2, ensure_ascii=False) + "\n")
    print(f"{options.out}: {sum(p.numel() for p in model.parameters()):,} parameters, {options.dtype}, vocabulary {vocabulary}")


if __name__ == "__main__":
    main()
