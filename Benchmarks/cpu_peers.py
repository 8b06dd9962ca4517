"""This program beside what a user would pick instead, on the CPU, in turns: ours, the peer, ours, the peer, ... Medians, ratio, limit.

    ~/.cache/peers/bin/python Benchmarks/cpu_peers.py [--only NAME,...] [--turns 3] [--out DIR] [--binary PATH] [--growth]

rows (--only takes these names; "machine" is always measured):
  grpo-tiny            a GRPO step at a tiny shape, float32; beside TRL                                     s a step
  lora-0.5b            a LoRA step of 2 x 256 tokens, 0.5B in bfloat16; beside transformers + peft          tokens/s
  sample-0.5b-8        8 completions of one prompt, 120 + 64 tokens; beside llama.cpp and transformers      new tokens/s, prompt included
  sample-0.5b-8-own    8 prompts with a completion each                                                     "
  sample-0.5b-1        one completion                                                                       "
  product              y = x W' in bfloat16 and float32, 1 thread and all; beside torch (oneDNN, MKL)       GFLOP/s
  tokenize             GSM8K on one core; beside tokenizers                                                 s/MB

--growth measures this program alone: decoding by sequences, by context, by model; a LoRA step by model; each beside its cost on paper.

A turn of this program is a fresh process, whose loading and first steps do not count. A peer with a model is a process that sleeps while
another has its turn; TRL is a fresh process each time. Before and after each row the machine's peak (multiply-adds of float32 and bfloat16
on independent accumulators) and its read bandwidth (1 GiB) are measured again: the best peak and the median bandwidth are kept. Costs on paper: peers/costs.py; the
formulas stand below the table.

Writes DIR/cpu_peers.json and DIR/cpu_peers.md, or DIR/growth.json and DIR/growth.md, after each row. Install the peers first
(peers/README.md); one that is not installed is named, and the rest runs. Models with random weights are made once in
~/.cache/nano-reasoner-bench (2 GB; 5 GB with --growth). GSM8K and Qwen2.5's tokeniser are read from $NR_SHARED or ../shared/data; without
them questions and tokeniser are small ones made here.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

from peers import costs, folders, grpo_tiny, growth, ours, table
from peers.machine import Machine, waited
from peers.worker import Failed, Worker

ROOT = folders.ROOT
ROWS = ["grpo-tiny", "lora-0.5b", "sample-0.5b-8", "sample-0.5b-8-own", "sample-0.5b-1", "product", "tokenize"]
# Seconds of one turn and of what is done once, on two quiet cores: only for the time that remains.
EXPECTED = {"grpo-tiny": (22, 2), "lora-0.5b": (75, 40), "sample-0.5b-8": (42, 15), "sample-0.5b-8-own": (50, 15),
            "sample-0.5b-1": (14, 10), "product": (15, 5), "tokenize": (8, 3)}
INSTALL = {"llama_cpp": "llama-cpp-python (compiles llama.cpp, about ten minutes) gguf", "trl": "trl datasets", "peft": "peft"}
# What the ratio is to be: the peer's time over ours.
WANTED = {
    "grpo-tiny": {"TRL": 8}, "lora-0.5b": {"transformers + peft": 2}, "sample-0.5b-8": {"llama.cpp": 2.5, "transformers": 5},
    "sample-0.5b-8-own": {"llama.cpp": 2.5, "transformers": 5}, "sample-0.5b-1": {"llama.cpp": 1.2}, "product-bf16-1": {"torch": 0.9},
    "product-bf16-2": {"torch": 0.9}, "tokenize": {"tokenizers, line by line": 3}}
PROMPT, NEW, LENGTH = 120, 64, 257


def say(text):
    print(text, file=sys.stderr, flush=True)


def missing(*modules):
    """Says which of the modules are not installed, and how to install them."""
    absent = [m for m in modules if importlib.util.find_spec(m) is None]
    for module in absent:
        say(f"{module} is not installed, its figures are left out: {sys.prefix}/bin/pip install {INSTALL.get(module, module)}")
    return bool(absent)


class Progress:
    """Lines on standard error with the time that remains, from the turns taken so far and what was expected of the rest."""

    def __init__(self, rows, turns):
        self.left = {name: EXPECTED[name][0] * turns + EXPECTED[name][1] for name in rows}
        self.turns, self.start = turns, time.monotonic()

    def turn(self, row, done, seconds):
        self.left[row] = (self.turns - done) * seconds
        minutes = sum(self.left.values()) / 60
        say(f"{row}: turn {done} of {self.turns}, {seconds:.0f} s; about {minutes:.0f} min remain")


def in_turns(row, contestants, turns, progress):
    """The values of each contestant, a list a turn. One that fails is named and left out."""
    values, failed = {name: [] for name in contestants}, {}
    for turn in range(turns):
        begin = time.monotonic()
        for name, run in contestants.items():
            if name in failed:
                continue
            try:
                values[name].append(run())
            except (Failed, RuntimeError, AssertionError) as error:
                failed[name] = str(error)
                say(f"{row}: {name} is left out: {error}")
            time.sleep(0.3)  # threads that spin for a while after their work are asleep by now
        progress.turn(row, turn + 1, time.monotonic() - begin)
    return {name: of for name, of in values.items() if of and name not in failed}, failed


def finished(row, title, unit, values, failed, limit, limited_by, left_out, lower=False):
    """A row of the record. Figures are medians over all turns; `limit` is a function: the machine is measured until the end."""
    figures = {name: statistics.median(v for turn in turns for v in turn) for name, turns in values.items()}
    mine = figures.pop("ours", None)
    peers = {name: {"figure": figure, "ratio": mine and (figure / mine if lower else mine / figure), "wanted": WANTED.get(row, {}).get(name)}
             for name, figure in figures.items()}
    return {
        "row": row, "title": title, "unit": unit, "lower_is_better": lower, "ours": mine, "peers": peers,
        "limit": limit, "limited_by": limited_by, "left_out": left_out, "failed": failed,
        "values": values}


def grpo_row(o, machine, progress):
    folder, prompts = folders.make("tiny", say), []

    def peer():
        result = grpo_tiny.trl(o.steps)
        prompts.append(result["mean_prompt_tokens"])
        return result["seconds"]

    contestants = {"ours": lambda: grpo_tiny.our_seconds(o.binary, folder, o.steps)}
    if not missing("trl", "datasets"):
        contestants["TRL"] = peer
    values, failed = in_turns("grpo-tiny", contestants, o.turns, progress)
    length = round(statistics.mean(prompts)) if prompts else 34

    def limit():
        return costs.grpo_seconds(costs.shape(folder), machine, grpo_tiny.PROMPTS, length, grpo_tiny.GROUP, grpo_tiny.NEW, grpo_tiny.EPOCHS)

    return [finished(
        "grpo-tiny", "GRPO step, tiny shape, 4 prompts x 8 completions of 64 tokens, 2 inner epochs, LoRA r16, float32", "s", values,
        failed, limit, f"arithmetic, prompts of {length} tokens",
        f"the first {grpo_tiny.WARM_UP} steps of each process",
        lower=True)]


def lora_row(o, machine, progress):
    folder = folders.make("0.5b", say)
    texts = folders.texts(folder, 2, LENGTH)
    ids = [i for _, i in texts]

    def mine():
        records = ours.sft(o.binary, folder, [t for t, _ in texts], LENGTH, 1 + o.lora_steps, "--precision", "bf16")[1:]
        return [r["tokens"] / r["seconds/step"] for r in records]

    contestants, worker, warm = {"ours": mine}, None, set()
    if not missing("torch", "transformers", "peft"):
        worker = Worker("torch_worker.py", folder, ours.THREADS, threads=ours.THREADS)

        def peer(checkpointing):
            if checkpointing not in warm:  # the first step of each is slower
                worker.ask(do="lora", ids=ids, steps=1, checkpointing=checkpointing)
                warm.add(checkpointing)
            result = worker.ask(do="lora", ids=ids, steps=o.lora_steps, checkpointing=checkpointing)
            return [result["tokens"] / s for s in result["seconds"]]

        contestants |= {"transformers + peft": lambda: peer(False), "transformers + peft, gradient checkpointing": lambda: peer(True)}
    values, failed = in_turns("lora-0.5b", contestants, o.turns, progress)
    if worker:
        worker.close()
    tokens = 2 * (LENGTH - 1)
    return [finished(
        "lora-0.5b", "LoRA step, 0.5B shape, 2 x 256 predicted tokens, r16 on all linears, bfloat16 weights", "tokens/s", values, failed,
        lambda: tokens / costs.lora_seconds(costs.shape(folder), machine, 2, LENGTH - 1), "arithmetic",
        "loading and the first step of each process")]


def sample_row(row, title, prompts, samples):
    def measure(o, machine, progress):
        folder = folders.make("0.5b", say)
        texts = folders.texts(folder, prompts, PROMPT)
        ids, total = [i for _, i in texts], prompts * samples * NEW

        def mine():
            return [total / ours.generate(o.binary, folder, [t for t, _ in texts], samples, NEW, "--precision", "bf16")["seconds"]]

        def peer(worker):
            def run():
                if worker not in warm:  # the first call of each is slower
                    worker.ask(do="generate", ids=ids, samples=samples, new=4)
                    warm.add(worker)
                return [total / worker.ask(do="generate", ids=ids, samples=samples, new=NEW)["seconds"]]

            return run

        contestants, workers, warm = {"ours": mine}, [], set()
        if not missing("llama_cpp", "gguf"):
            workers.append(Worker("llama_worker.py", gguf(folder), ours.THREADS, threads=ours.THREADS))
            contestants["llama.cpp"] = peer(workers[-1])
        if not missing("torch", "transformers"):
            workers.append(Worker("torch_worker.py", folder, ours.THREADS, threads=ours.THREADS))
            contestants["transformers"] = peer(workers[-1])
        values, failed = in_turns(row, contestants, o.turns, progress)
        for worker in workers:
            worker.close()

        def limit():
            s = costs.shape(folder)
            return total / (costs.prompt_seconds(s, machine, prompts, PROMPT)
                            + costs.decoding_seconds(s, machine, prompts, PROMPT, prompts * samples, NEW - 1))

        return [finished(
            row, title, "tokens/s", values, failed, limit, "arithmetic for the prompt, memory for each step",
            "loading; llama.cpp copies the prompt's cache to all completions" if samples > 1 else "loading")]

    return measure


def gguf(folder):
    """The folder as a GGUF file, written beside it where it is not there yet."""
    out = folder / "model.gguf"
    if not out.exists() or out.stat().st_mtime < (folder / "complete").stat().st_mtime:
        say(f"writing {out}")
        part = out.with_suffix(".part")
        script = ROOT / "Benchmarks/peers/gguf_file.py"
        subprocess.run([sys.executable, str(script), str(folder), str(part)], check=True, stderr=subprocess.DEVNULL)
        part.rename(out)
    return out


SHAPES = [(896, 896), (4864, 896), (896, 4864)]


def product_row(o, machine, progress):
    """One row for each type and count of threads: the operations of all shapes over the sum of their times. By shape too."""
    rows, T = [], 512
    if missing("torch"):
        return rows
    worker = Worker("product_worker.py", threads=ours.THREADS)
    threads = sorted({1, int(ours.THREADS)})
    cases = [(kind, count) for kind in ("bf16", "fp32") for count in threads]
    begin = time.monotonic()
    for case, (kind, count) in enumerate(cases):
        how = {"kind": kind, "threads": count, "turns": max(3, o.turns * 3), "seconds": o.seconds}
        found = [worker.ask(do="product", T=T, N=N, K=K, **how) for N, K in SHAPES]
        work = [2.0 * T * N * K for N, K in SHAPES]
        values = {
            name: [[sum(work) / sum(w / f[key][turn] for w, f in zip(work, found)) / 1e9] for turn in range(len(found[0][key]))]
            for name, key in (("ours", "ours"), ("torch", "peer"))}
        name = "bfloat16" if kind == "bf16" else "float32"
        row = finished(
            f"product-{kind}-{count}",
            f"products of 512 rows, {' '.join(f'{N}x{K}' for N, K in SHAPES)}, {name}, {count} thread{'s' * (count > 1)}",
            "GFLOP/s", values, {}, lambda kind=kind, count=count: machine.peak(kind, count) / 1e9, "arithmetic", "packing of weights")
        row["by_shape"] = {
            f"{N}x{K}": {key: statistics.median(f[key]) / 1e9 for key in ("ours", "peer")} for (N, K), f in zip(SHAPES, found)}
        row["kernels"] = found[0]["isa"]
        rows.append(row)
        each = (time.monotonic() - begin) / (case + 1)
        progress.left["product"] = (len(cases) - case - 1) * each
        say(f"product: {name}, {count} threads; about {sum(progress.left.values()) / 60:.0f} min remain")
    worker.close()
    return rows


def tokenize_row(o, machine, progress):
    folder, processor = folders.make("0.5b", say), max(os.sched_getaffinity(0))
    text = "\n".join(f"{question}\n{answer}" for split in ("train", "test") for question, answer in folders.problems(split))
    whole, short = folders.CACHE / "gsm8k.txt", folders.CACHE / "short.txt"
    whole.write_text(text)
    short.write_text("a")
    size = len(text.encode()) / 1e6

    def mine():
        return [(ours.tokenize(o.binary, folder, whole, processor) - ours.tokenize(o.binary, folder, short, processor)) / size]

    contestants, worker = {"ours": mine}, None
    if not missing("tokenizers"):
        worker = Worker("tokenizers_worker.py", folder / "tokenizer.json", threads=1, processor=processor)

        def peer(is_whole):
            return [worker.ask(do="tokenize", path=str(whole), whole=is_whole)["seconds"] / size]

        contestants |= {"tokenizers, line by line": lambda: peer(False), "tokenizers, the text whole": lambda: peer(True)}
    values, failed = in_turns("tokenize", contestants, o.turns, progress)
    if worker:
        worker.close()
    return [finished(
        "tokenize", f"tokenizing GSM8K ({size:.1f} MB), Qwen2.5's vocabulary, one core", "s/MB", values, failed, lambda: None, "",
        "loading the vocabulary (ours: a process less one with a text of one letter; reading and writing the ids are in it)", lower=True)]


MEASURE = {
    "grpo-tiny": grpo_row, "lora-0.5b": lora_row, "product": product_row, "tokenize": tokenize_row,
    "sample-0.5b-8": sample_row("sample-0.5b-8", "8 completions of one prompt, 120 + 64 tokens, 0.5B shape, bfloat16", 1, 8),
    "sample-0.5b-8-own": sample_row("sample-0.5b-8-own", "8 prompts, a completion each, 120 + 64 tokens, 0.5B shape, bfloat16", 8, 1),
    "sample-0.5b-1": sample_row("sample-0.5b-1", "one completion, 120 + 64 tokens, 0.5B shape, bfloat16", 1, 1)}


def versions():
    import importlib.metadata

    names = ["torch", "transformers", "peft", "trl", "llama-cpp-python", "tokenizers"]
    found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    return {name: found[name] for name in names if name in found}


def about(o):
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    return {
        "processor": model, "threads": int(ours.THREADS), "kernels": ours.isa(o.binary), "binary": str(o.binary), "turns": o.turns,
        "time": time.strftime("%Y-%m-%d %H:%M"), "load_before": [round(x, 2) for x in os.getloadavg()], "versions": versions()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(ROWS), help="names of rows, separated by commas")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="GRPO steps of a turn that count")
    parser.add_argument("--lora-steps", type=int, default=2, help="LoRA steps of a turn that count")
    parser.add_argument("--seconds", type=float, default=0.15, help="seconds of one measurement of a product")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/cpu_peers"))
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / ".build/release/nano-reasoner")
    parser.add_argument("--growth", action="store_true", help="this program alone, by sequences, context and model")
    parser.add_argument("--small", action="store_true", help="with --growth: few and small points, to try the script")
    o = parser.parse_args()
    rows = o.only.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"--only: no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if not o.binary.exists():
        parser.error(f"{o.binary} is not there: build it (./nr --help), or name it with --binary")
    o.out.mkdir(parents=True, exist_ok=True)
    machine = Machine(int(ours.THREADS))
    machine.measure()
    if o.growth:
        return growth.run(o, machine, about(o), say)
    record, progress, rows_made = {"about": about(o), "formulas": costs.FORMULAS}, Progress(rows, o.turns), []
    if not folders.shared():
        say("GSM8K and Qwen2.5's tokeniser are not here (NR_SHARED names their folder): small ones made here take their place")
    for row in rows:
        machine.measure()
        begin, before = time.monotonic(), waited()
        try:
            made = MEASURE[row](o, machine, progress)
        except (Failed, RuntimeError) as error:
            say(f"{row}: left out: {error}")
            made = [finished(row, row, "", {}, {row: str(error)}, lambda: None, "", "")]
        share = None if before is None else (waited() - before) / (time.monotonic() - begin)
        if share and share > table.QUIET:
            say(f"{row}: processes waited for a processor {100 * share:.0f} % of the time: others compute here, the ratio says little")
        rows_made += [one | {"waited": share} for one in made]
        progress.left[row] = 0
        machine.measure()
        record["machine"] = machine.record()
        record["rows"] = [one | {"limit": one["limit"]()} for one in rows_made]
        record["minutes"] = round((time.monotonic() - progress.start) / 60, 1)
        (o.out / "cpu_peers.json").write_text(json.dumps(record, indent=1) + "\n")
        (o.out / "cpu_peers.md").write_text(table.peers(record))
    print(table.peers(record))


if __name__ == "__main__":
    main()
