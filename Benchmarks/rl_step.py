"""Wall time of one GRPO step, this program beside TRL, interleaved in one run on the same machine.

The tiny shape of PEERS.md: hidden 128, 4 layers, 4/2 heads, intermediate 384, vocabulary 512, LoRA rank 16 on all seven projections, 4 prompts × 8
completions of 64 tokens (nothing ends early), 2 inner epochs, float32, random weights. Each turn starts a fresh process; each process's first two steps
are left out. Prints one line per turn and the ratio of the medians.

Install the peers first (Benchmarks/peers/README.md), build this program (./nr --help), then:

    ~/.cache/peers/bin/python Benchmarks/rl_step.py [--turns 3] [--steps 8]

This program's prompts are the same questions in its chat form with a system message, so they are longer than TRL's (both counts are printed).
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests" / "Oracles"))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--turns", type=int, default=3)
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--binary", default=str(ROOT / ".build/release/nano-reasoner"))
options = parser.parse_args()
WARM_UP, PROMPTS, VOCABULARY = 2, 4, 512


def make_folder(folder):
    import torch
    import make_model
    import oracle
    import tiny_tokenizer
    from transformers import Qwen2ForCausalLM

    torch.manual_seed(0)
    tokenizer = tiny_tokenizer.make(make_model.SAMPLE, VOCABULARY)
    model = Qwen2ForCausalLM(oracle.config(**make_model.SHAPES["tiny"], vocabulary=VOCABULARY, theta=1e6))
    model.config.eos_token_id = None
    model.generation_config.eos_token_id = None
    model.save_pretrained(folder)
    tokenizer.save(folder + "/tokenizer.json")
    (pathlib.Path(folder) / "tokenizer_config.json").write_text(json.dumps(tiny_tokenizer.tokenizer_config(tokenizer)))
    words = ["apples", "pens", "coins", "books", "miles", "boxes", "cards", "eggs"]
    with open(folder + "/data.jsonl", "w") as file:
        for i in range(PROMPTS * (WARM_UP + options.steps)):
            word = words[i % 8]
            question = f"Tom has {3 + i % 7} {word} and buys {2 + i % 5} more. How many {word} has Tom now?"
            file.write(json.dumps({"question": question, "answer": f"#### {5 + i % 7 + i % 5}"}) + "\n")


def ours(folder, turn):
    out = f"{folder}/run{turn}"
    subprocess.run([
        options.binary, "rl", "--model", folder, "--data", folder + "/data.jsonl", "--algo", "grpo", "--out", out, "--prompts-per-step", str(PROMPTS),
        "--max-new-tokens", "64", "--steps", str(WARM_UP + options.steps), "--quiet"], check=True, stdout=subprocess.DEVNULL)
    records = [json.loads(line) for line in open(out + "/metrics.jsonl")][WARM_UP:]
    assert all(r["length_mean"] == 64 and r["groups"] == PROMPTS for r in records)
    return [r["seconds/step"] for r in records]


def theirs():
    run = subprocess.run(
        [sys.executable, str(ROOT / "Benchmarks/peers/trl_grpo_step.py"), "--steps", str(options.steps)], check=True, capture_output=True, text=True)
    return json.loads(run.stdout.strip().splitlines()[-1])


with tempfile.TemporaryDirectory() as folder:
    make_folder(folder)
    mine, peer = [], []
    for turn in range(options.turns):
        seconds = ours(folder, turn)
        mine += seconds
        result = theirs()
        peer += result["seconds"]
        print(f"turn {turn + 1}: nano-reasoner {statistics.median(seconds):.3f} s, TRL {statistics.median(result['seconds']):.3f} s"
              f" (undisturbed rounds: {result['undisturbed_rounds']} of {len(result['seconds'])})", flush=True)
    a, b = statistics.median(mine), statistics.median(peer)
    print(f"median of {len(mine)} steps: nano-reasoner {a:.3f} s (fastest {min(mine):.3f}); of {len(peer)}: TRL {b:.3f} s (fastest {min(peer):.3f});"
          f" ratio {b / a:.2f}, of the fastest {min(peer) / min(mine):.2f}; TRL's prompts have {result['mean_prompt_tokens']} tokens")
