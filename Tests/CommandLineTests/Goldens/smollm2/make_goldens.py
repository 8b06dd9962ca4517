"""What transformers computes of a real pretrained model, SmolLM2-135M-Instruct, for SmolLM2Tests: log-probabilities and entropies of
twenty GSM8K solutions in float64 over float32 logits, and greedy answers to five questions.

usage: make_goldens.py [--folder ~/.cache/smollm2] [--data GSM8K.jsonl]      (the folder is made by shared/tools/smollm2.sh)
"""

import argparse
import json
import os
import pathlib

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

options = argparse.ArgumentParser()
options.add_argument("--folder", default=os.path.expanduser("~/.cache/smollm2"))
options.add_argument("--data", default="/work/shared/data/gsm8k/test.jsonl")
options = options.parse_args()
here = pathlib.Path(__file__).parent

rows = [json.loads(line) for line in pathlib.Path(options.data).read_text().splitlines()]
tokenizer = AutoTokenizer.from_pretrained(options.folder)
model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32, attn_implementation="sdpa").eval()

sequences = [tokenizer(row["question"] + "\n" + row["answer"])["input_ids"] for row in rows[:20]]
log_probs, entropies = [], []
for sequence in sequences:
    with torch.no_grad():
        log_p = torch.log_softmax(model(torch.tensor([sequence])).logits[0, :-1].double(), -1)
    log_probs.append(log_p.gather(1, torch.tensor(sequence[1:])[:, None])[:, 0])
    entropies.append(-(log_p.exp() * log_p).sum(-1))
lengths = torch.tensor([0] + [len(sequence) for sequence in sequences])
save_file({
    "tokens": torch.tensor([token for sequence in sequences for token in sequence], dtype=torch.int64),
    "token_offsets": lengths.cumsum(0),
    "offsets": torch.cat([lengths[:1], lengths[1:] - 1]).cumsum(0),
    "log_prob": torch.cat(log_probs).float(), "entropy": torch.cat(entropies).float(),
}, here / "scores.safetensors")

answers = []
for row in rows[:5]:
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": row["question"]}], tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=48, do_sample=False)[0, ids.shape[1]:]
    answers.append({"question": row["question"], "tokens": made.tolist()})
(here / "answers.json").write_text(json.dumps(answers, indent=1))
