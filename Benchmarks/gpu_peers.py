"""What others do on the same card, beside `nano-reasoner gpu-check`: transformers with peft, and vLLM and Unsloth where they are installed (those parts have run
nowhere yet).

usage: gpu_peers.py OUT.json [--device cuda] [--small]

A model of Qwen2.5-Math-1.5B's shape with random weights in bfloat16 and a LoRA adapter of rank 16 on all seven linear layers, as in gpu-check: drawing 96 tokens after prompts
of 128 at 16, 64, 128 and 256 sequences, and an update (forward and backward of 32 prompts with 8 completions of 96, each completion with its prompt, as these programs read them).
The record is written anew after each part. --small --device cpu tries the script without a card.
"""

import argparse
import importlib.util
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Qwen2Config

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--unsloth", action="store_true", help=argparse.SUPPRESS)
    o = parser.parse_args()
    record = {"torch": torch.__version__, "device": torch.cuda.get_device_name() if o.device.startswith("cuda") else o.device, "small": o.small}

    def keep(part, found):
        record[part] = found
        o.out.write_text(json.dumps(record, indent=2) + "\n")
        print(part, json.dumps(found), flush=True)

    shape = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=300) if o.small else dict(
        hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12, num_key_value_heads=2, vocab_size=151_936)
    config = Qwen2Config(tie_word_embeddings=True, max_position_embeddings=4096, **shape)
    torch.manual_seed(5)
    prompt, fresh, counts = (5, 11, [16]) if o.small else (128, 96, [16, 64, 128, 256])
    if o.unsloth:
        return unsloth(config, prompt, fresh, counts[-1], o.device)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).to(o.device)

    def wait():
        if o.device.startswith("cuda"):
            torch.cuda.synchronize()

    def seconds(body, calls=3):
        body()
        times = []
        for _ in range(calls):
            wait()
            start = time.perf_counter()
            body()
            wait()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    adapted = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=LINEAR, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM"))
    for count in counts:
        ids = torch.randint(0, config.vocab_size, (count // 8, prompt), device=o.device).repeat_interleave(8, 0)
        with torch.no_grad():
            took = seconds(lambda: adapted.generate(ids, do_sample=True, temperature=0.8, min_new_tokens=fresh, max_new_tokens=fresh, pad_token_id=0))
        keep(f"transformers_decoding_{count}", {"tokens_per_second": count * fresh / took, "seconds": took})

    ids = torch.randint(0, config.vocab_size, (counts[-1], prompt + fresh), device=o.device)
    adapted.train()

    def update():
        adapted.zero_grad()
        for part in ids.split(8):
            hidden = adapted.base_model.model.model(input_ids=part).last_hidden_state[:, prompt - 1 : -1]
            logits = adapted.base_model.model.lm_head(hidden).float() / 0.8
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), part[:, prompt:].flatten(), reduction="sum").backward()

    took = seconds(update)
    # gpu-check counts a prompt once for its completions; so does this, whatever was computed.
    rows = counts[-1] // 8 * prompt + counts[-1] * (fresh - 1)
    found = {"seconds": took, "rows_as_gpu_check_counts": rows, "rows_per_second": rows / took, "rows_computed": ids.numel()}
    if o.device.startswith("cuda"):
        found["peak_mib"] = torch.cuda.max_memory_allocated() >> 20
    keep("transformers_update", found)

    if importlib.util.find_spec("vllm") is None:
        keep("vllm", "not installed")
    else:
        from vllm import LLM, SamplingParams

        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            del adapted, model
            torch.cuda.empty_cache()
            engine = LLM(model=folder, skip_tokenizer_init=True, dtype="bfloat16", gpu_memory_utilization=0.5)
            sampling = SamplingParams(temperature=0.8, max_tokens=fresh, ignore_eos=True, detokenize=False, n=8)
            for count in counts:
                prompts = [{"prompt_token_ids": torch.randint(0, config.vocab_size, (prompt,)).tolist()} for _ in range(count // 8)]
                took = seconds(lambda: engine.generate(prompts, sampling, use_tqdm=False))
                keep(f"vllm_decoding_{count}", {"tokens_per_second": count * fresh / took, "seconds": took})

    if importlib.util.find_spec("unsloth") is None:
        keep("unsloth", "not installed")
    else:
        # It changes transformers when it is imported: a process of its own, which prints what it found.
        program = [sys.executable, __file__, str(o.out), "--device", o.device, "--unsloth"] + (["--small"] if o.small else [])
        done = subprocess.run(program, stdout=subprocess.PIPE, text=True)
        keep("unsloth_update", json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else f"failed with {done.returncode}")


def unsloth(config, prompt, fresh, count, device):
    """The update of transformers_update by Unsloth, on the same shape."""
    from unsloth import FastLanguageModel
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    with tempfile.TemporaryDirectory() as folder:
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
        words = {f"w{i}": i for i in range(config.vocab_size)}
        PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), eos_token="w0", pad_token="w0").save_pretrained(folder)
        model, _ = FastLanguageModel.from_pretrained(folder, max_seq_length=prompt + fresh, dtype=torch.bfloat16, load_in_4bit=False)
        model = FastLanguageModel.get_peft_model(model, r=16, lora_alpha=32, target_modules=LINEAR, lora_dropout=0, bias="none")
    ids = torch.randint(0, config.vocab_size, (count, prompt + fresh), device=device)
    labels = ids.clone()
    labels[:, :prompt] = -100

    def update():
        model.zero_grad()
        for part, wanted in zip(ids.split(8), labels.split(8)):
            model(input_ids=part, labels=wanted).loss.backward()

    update()
    times = []
    for _ in range(3):
        torch.cuda.synchronize()
        start = time.perf_counter()
        update()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    took = statistics.median(times)
    rows = count // 8 * prompt + count * (fresh - 1)
    print(json.dumps({"seconds": took, "rows_per_second": rows / took, "peak_mib": torch.cuda.max_memory_allocated() >> 20}))


if __name__ == "__main__":
    main()
