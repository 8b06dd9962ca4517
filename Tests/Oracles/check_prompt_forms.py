"""Whether the prompts of `data show` are those of `apply_chat_template` of transformers, for folders with the templates that real models have.

    ~/.cache/peers/bin/python Tests/Oracles/check_prompt_forms.py BINARY [SMOLLM2]

The templates come from the package trl, which ships those of the published models, and from SmolLM2's folder (~/.cache/smollm2 where it is
there). Each stands in a folder of its own, which must choose the form by itself and without a warning; those of Llama 3.1 and others must warn.
"""

import importlib.resources
import json
import pathlib
import subprocess
import sys
import tempfile

from transformers import AutoTokenizer

GOLDENS = pathlib.Path(__file__).parent.parent / "TokenizationTests" / "Goldens"
DIALOGUES = [d for d in json.loads((GOLDENS / "forms.json").read_text())["dialogues"] if d[-1]["content"].strip("\u200b").strip()]
OWN = json.loads((GOLDENS / "forms.json").read_text())["own"]
FAMILIES = {row["name"]: row["file"] for row in json.loads((GOLDENS / "families.json").read_text())["families"]}


def show(binary, folder, more=()):
    rows = pathlib.Path(folder) / "rows.jsonl"
    rows.write_text("".join(json.dumps({"messages": dialogue, "answer": "1"}) + "\n" for dialogue in DIALOGUES))
    result = subprocess.run(
        [binary, "data", "show", "--model", folder, "--data", rows, "--stage", "rl", "--json", "--limit", "100", *more], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"check_prompt_forms.py: data show ended with {result.returncode}: {result.stderr}")
    shown = json.loads(result.stdout)["examples"]
    return [[token["id"] for token in example["tokens"]] for example in shown], result.stderr


def main():
    binary = sys.argv[1]
    smollm2 = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "~/.cache/smollm2").expanduser()
    shipped = importlib.resources.files("trl").joinpath("chat_templates")
    cases = [(f"{form}, exported", OWN[form], "llama3" if form == "llama3" else "smollm2", True) for form in OWN]
    cases += [(name, shipped.joinpath(f"{name}.jinja").read_text(), "llama3" if name.startswith("llama") else "smollm2", equal) for name, equal in [
        ("qwen3", True), ("qwen3_instruct_2507", True), ("llama3", True),
        # Qwen2.5's chooses this program's own form, silently.
        ("qwen2_5", None), ("llama3_1", False), ("llama3_2", False), ("deepseek_r1_distill", False), ("phi3", False), ("gemma3", False)]]
    failed = False
    for name, template, tokenizer, equal in cases:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "tokenizer.json").write_text(json.dumps(FAMILIES[tokenizer]))
            names = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"} if tokenizer == "llama3" else {"eos_token": "<|im_end|>"}
            (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **names}))
            (folder / "chat_template.jinja").write_text(template)
            failed = report(binary, folder, name, equal) or failed
    if (smollm2 / "tokenizer.json").exists():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for file in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json"]:
                (folder / file).write_bytes((smollm2 / file).read_bytes())
            failed = report(binary, folder, "SmolLM2's folder", True) or failed
    else:
        print(f"SmolLM2's folder: skipped, {smollm2} is not there")
    sys.exit(1 if failed else 0)


def report(binary, folder, name, equal):
    prompts, warning = show(binary, folder)
    if equal is None or not equal:
        right = bool(warning) == (equal is False) and prompts == show(binary, folder, ["--prompt-form", "llama3" if name.startswith("llama") else "qwen"])[0]
        print(f"{name}: {warning.strip() or 'no warning'}{'' if right else '  WRONG'}")
        return not right
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = [tokenizer.apply_chat_template(dialogue, add_generation_prompt=True, tokenize=True, return_dict=False) for dialogue in DIALOGUES]
    differing = [i for i, (one, other) in enumerate(zip(prompts, expected)) if one != other]
    wrong = bool(differing) or bool(warning) or len(prompts) != len(expected)
    print(f"{name}: {len(expected)} prompts, {len(differing)} differ {warning.strip()}")
    for i in differing[:3]:
        print(f"  {DIALOGUES[i]}\n    {tokenizer.decode(expected[i])!r}\n    {tokenizer.decode(prompts[i])!r}")
    return wrong


if __name__ == "__main__":
    main()
