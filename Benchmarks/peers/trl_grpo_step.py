"""Wall time of one GRPO step of TRL's GRPOTrainer at the tiny shape of PEERS.md, on a CPU, offline, random weights.

One step = one rollout of PROMPTS × GROUP completions and INNER epochs (optimiser updates) on it: TRL's `num_iterations`. TRL counts each update as
a step, so here the time between the ends of every INNER-th update is taken. Prints one JSON object on standard output.

usage: trl_grpo_step.py [--steps 7] [--warm-up 2] [--threads 2] [--prompts 4] [--group 8] [--new-tokens 64] [--inner 2] [--allow-eos]
"""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TRL_EXPERIMENTAL_SILENCE="1", CUDA_VISIBLE_DEVICES="")
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=7)
parser.add_argument("--warm-up", type=int, default=2)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--prompts", type=int, default=4)
parser.add_argument("--group", type=int, default=8)
parser.add_argument("--new-tokens", type=int, default=64)
parser.add_argument("--inner", type=int, default=2)
parser.add_argument("--allow-eos", action="store_true", help="let completions end early (random weights: about 1 token in 512 ends)")
options = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(options.threads)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Oracles"))
os.environ["ORACLE_THREADS"] = str(options.threads)

import torch
import transformers
import trl
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from transformers import AutoTokenizer, Qwen2ForCausalLM, TrainerCallback

import make_model
import oracle
import tiny_tokenizer

disable_progress_bars()
VOCABULARY = 512


def base(folder):
    """The tiny random model and its tokeniser, saved, so that TRL takes both as it takes any folder."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer.make(make_model.SAMPLE, VOCABULARY)
    end, pad = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    model = Qwen2ForCausalLM(oracle.config(**make_model.SHAPES["tiny"], vocabulary=VOCABULARY, theta=1e6, eos_token_id=end))
    model.generation_config = transformers.GenerationConfig(eos_token_id=end, pad_token_id=pad)
    model.save_pretrained(folder)
    tokenizer.save(folder + "/tokenizer.json")
    with open(folder + "/tokenizer_config.json", "w") as file:
        json.dump(tiny_tokenizer.tokenizer_config(tokenizer), file)
    return end


class Clock(TrainerCallback):
    """(wall, processor) seconds at the end of every round: processor time tells a busy machine from slow code."""

    def __init__(self):
        self.ends = []

    def tick(self):
        self.ends.append((time.perf_counter(), time.process_time()))

    def on_train_begin(self, *_, **__):
        self.tick()

    def on_step_end(self, arguments, state, control, **_):
        if state.global_step % options.inner == 0:
            self.tick()


def main():
    lengths = []

    def reward(completion_ids, **_):
        """Some number that differs within a group, so that no advantage is zero."""
        lengths.extend(len(ids) for ids in completion_ids)
        return [float(sum(ids) % 97) / 97 for ids in completion_ids]

    with tempfile.TemporaryDirectory() as folder:
        end = base(folder)
        batch = options.prompts * options.group
        rounds = options.warm_up + options.steps
        words = ["apples", "pens", "coins", "books", "miles", "boxes", "cards", "eggs"]
        questions = [f"Tom has {3 + i % 7} {words[i % 8]} and buys {2 + i % 5} more. How many {words[i % 8]} has Tom now?" for i in range(batch * rounds)]
        prompts = [f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n" for question in questions]
        clock = Clock()
        trainer = trl.GRPOTrainer(
            model=folder, reward_funcs=reward, train_dataset=Dataset.from_dict({"prompt": prompts}), callbacks=[clock],
            processing_class=AutoTokenizer.from_pretrained(folder),
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules=oracle.ALL_LINEAR, lora_dropout=0.0, task_type="CAUSAL_LM"),
            args=trl.GRPOConfig(
                output_dir=folder + "/out", use_cpu=True, bf16=False, per_device_train_batch_size=batch, num_generations=options.group,
                gradient_accumulation_steps=1, num_iterations=options.inner, max_completion_length=options.new_tokens, temperature=0.8,
                beta=0.0, learning_rate=1e-5, max_grad_norm=1.0, max_steps=rounds * options.inner, save_strategy="no", report_to=[],
                logging_strategy="no", disable_tqdm=True, gradient_checkpointing=False, dataloader_num_workers=0, seed=42,
                model_init_kwargs={"dtype": "float32"},
                generation_kwargs=None if options.allow_eos else {"suppress_tokens": [end]}))
        torch.set_num_threads(options.threads)
        with contextlib.redirect_stdout(sys.stderr):  # TRL prints a summary; standard output is for the one JSON object
            trainer.train()
        example = trainer.processing_class(prompts[:64])["input_ids"]
    rounds_taken = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(clock.ends, clock.ends[1:])]
    warm_up, measured = rounds_taken[: options.warm_up], rounds_taken[options.warm_up :]
    seconds = [wall for wall, _ in measured]
    # A round is undisturbed if it had nearly all of its cores. Chosen by share of processor, never by how long it took.
    undisturbed = [wall for wall, processor in measured if processor >= 0.9 * options.threads * wall]
    print(json.dumps({
        "what": "GRPO step, TRL", "median_seconds_undisturbed": round(statistics.median(undisturbed), 4) if undisturbed else None,
        "undisturbed_rounds": len(undisturbed), "median_seconds_all": round(statistics.median(seconds), 4), "seconds": [round(s, 4) for s in seconds],
        "processor_seconds": [round(s, 4) for _, s in measured], "warm_up_seconds": [round(s, 4) for s, _ in warm_up],
        "rollouts": len(lengths) // batch, "completions_per_step": batch, "mean_completion_tokens": round(statistics.mean(lengths), 1),
        "mean_prompt_tokens": round(statistics.mean(map(len, example)), 1), "inner_epochs": options.inner, "threads": torch.get_num_threads(),
        "load_average": [round(x, 2) for x in os.getloadavg()],
        "dtype": str(next(trainer.model.parameters()).dtype), "trained_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__}}))


main()
