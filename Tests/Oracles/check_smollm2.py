"""A real pretrained model beside transformers: tokens, log-probabilities and greedy answers of SmolLM2-135M-Instruct on GSM8K.

usage: check_smollm2.py BINARY [--folder ~/.cache/smollm2] [--data GSM8K.jsonl] [--solutions 20] [--questions 5]
The folder is made by shared/tools/smollm2.sh. Weights are bfloat16 in the file; both sides compute in float32. Tokens of whole files
are compared by check_tokenizer.py.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

options = argparse.ArgumentParser()
options.add_argument("binary")
options.add_argument("--folder", default=os.path.expanduser("~/.cache/smollm2"))
options.add_argument("--data", default="/work/shared/data/gsm8k/test.jsonl")
options.add_argument("--solutions", type=int, default=20)
options.add_argument("--questions", type=int, default=5)
options.add_argument("--new-tokens", type=int, default=48)
options = options.parse_args()

rows = [json.loads(line) for line in pathlib.Path(options.data).read_text().splitlines()]
tokenizer = AutoTokenizer.from_pretrained(options.folder)
model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32, attn_implementation="sdpa").eval()
folder = tempfile.mkdtemp()

texts = [row["question"] + "\n" + row["answer"] for row in rows[: options.solutions]]
sequences = [tokenizer(text)["input_ids"] for text in texts]
pathlib.Path(folder, "tokens.json").write_text(json.dumps(sequences))
subprocess.run([options.binary, "score", "--model", options.folder, "--tokens", f"{folder}/tokens.json", "--out", f"{folder}/scores.safetensors"],
               check=True, stdout=subprocess.DEVNULL)
found = load_file(f"{folder}/scores.safetensors")
worst = {"log_prob": 0.0, "entropy": 0.0}
place = 0
for sequence in sequences:
    with torch.no_grad():
        log_p = torch.log_softmax(model(torch.tensor([sequence])).logits[0, :-1].double(), -1)
    expected = {"log_prob": log_p.gather(1, torch.tensor(sequence[1:])[:, None])[:, 0], "entropy": -(log_p.exp() * log_p).sum(-1)}
    for name, values in expected.items():
        worst[name] = max(worst[name], float((found[name][place : place + len(values)].double() - values).abs().max()))
    place += len(sequence) - 1
print(f"{len(sequences)} solutions, {place} tokens: largest difference of log_prob {worst['log_prob']:.1e}, of entropy {worst['entropy']:.1e}")

same = 0
for row in rows[: options.questions]:
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": row["question"]}], tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=options.new_tokens, do_sample=False)[0, ids.shape[1]:]
    ours = json.loads(subprocess.run(
        [options.binary, "generate", "--model", options.folder, "--prompt", row["question"], "--max-new-tokens", str(options.new_tokens), "--json"],
        check=True, capture_output=True, text=True).stdout)["completions"][0]
    equal = ours["tokens"] == made.tolist()
    same += equal
    print(f"{'same' if equal else 'OTHER'}: {ours['completion'][:150]!r}")
print(f"{same} of {options.questions} greedy answers are the same tokens")
raise SystemExit(worst["log_prob"] > 2e-4 or same < options.questions)
