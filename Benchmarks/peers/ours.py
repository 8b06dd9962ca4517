"""Runs this program and reads what it says of its own time: metrics.jsonl of a run, `--json` of `generate`. Each call is a new process."""

import json
import os
import subprocess
import tempfile
import time

THREADS = str(len(os.sched_getaffinity(0)))


def program(binary, *words, **more):
    done = subprocess.run([str(binary), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if done.returncode:
        raise RuntimeError(f"{binary} {words[0]}: ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


def isa(binary):
    """The kernels that `doctor` names, as in "avx512"."""
    line = next(text for text in program(binary, "doctor").splitlines() if " cpu " in text)
    return line.split("(")[1].split(",")[0]


def sft(binary, folder, texts, length, steps, *more):
    """metrics.jsonl of `steps` steps, each over all texts, cut to `length` tokens."""
    with tempfile.TemporaryDirectory() as out:
        with open(f"{out}/data.jsonl", "w") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
        program(binary, "sft", "--model", folder, "--data", f"{out}/data.jsonl", "--out", f"{out}/run", "--batch-size", len(texts),
                "--max-length", length, "--epochs", steps, "--max-steps", steps, "--checkpoint-every", steps, "--threads", THREADS,
                "--quiet", "--no-tensorboard", *more)
        return [json.loads(line) for line in open(f"{out}/run/metrics.jsonl")]


def generate(binary, folder, prompts, samples, new, *more):
    """The result of `generate --json`: its seconds are those of prompts and completions, not of loading."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)
        file.flush()
        result = json.loads(program(
            binary, "generate", "--model", folder, "--prompts", file.name, "--raw", "--samples", samples, "--temperature", 0.8,
            "--max-new-tokens", new, "--threads", THREADS, "--json", *more))
    assert result["tokens"] == len(prompts) * samples * new, result["tokens"]
    return result


def rl(binary, folder, data, out, *more):
    program(binary, "rl", "--model", folder, "--data", data, "--algo", "grpo", "--out", out, "--threads", THREADS, "--quiet", *more)
    return [json.loads(line) for line in open(f"{out}/metrics.jsonl")]


def tokenize(binary, folder, path, processor):
    """Seconds of the whole process on one processor."""
    start = time.perf_counter()
    program(binary, "tokenize", "--model", folder, stdin=open(path, "rb"), preexec_fn=lambda: os.sched_setaffinity(0, {processor}))
    return time.perf_counter() - start
