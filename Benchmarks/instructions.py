"""Counts the instructions of fixed work, since seconds on a shared machine are noise: a regression shows as more, whoever else runs.

    python3 Benchmarks/instructions.py [--binary PATH] [--only NAME,...] [--update] [--counter perf|valgrind]

Jobs on one thread, with Models/base and fixed seeds: an SFT step, an RL step, completions, tokenizing, judging. Each is compared with
Benchmarks/instructions.json, which has a count for each way of counting and each table of kernels as `doctor` names it (valgrind/avx2,
perf/avx512). Ends with 1 where a job takes over 3 % more; one that takes over 3 % less is said, so that the file can follow.
--update writes what was counted.

Counts with `perf stat -e instructions:u` where perf can count, else with valgrind's cachegrind, many times slower. valgrind knows no
AVX-512, so the kernels are then NR_ISA=avx2, and it takes Swift's debug information for corrupt, so it is given a stripped copy of the
program. Swift's hashing is made the same in each run. Needs nothing but Python, a build, and perf, or valgrind and strip.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from peers import folders, ours

ROOT = folders.ROOT
FILE = ROOT / "Benchmarks/instructions.json"
TOLERANCE = 0.03
BASE = ROOT / "Models/base"


def jobs(work):
    """name: words of the command and its standard input. The data are written into `work`."""
    sums = list(folders.sums(64))
    lines = {
        "sft.jsonl": [{"text": f"{q}\nTom has {a} + {b} = {a + b}. \\boxed{{{a + b}}}"} for q, a, b in sums[:8]],
        "rl.jsonl": [{"question": q, "answer": f"#### {a + b}"} for q, a, b in sums[:2]],
        "prompts.jsonl": [{"prompt": q} for q, *_ in sums[:4]],
        "pairs.jsonl": [{"answer": f"\\frac{{{a}}}{{{b}}}", "gold": f"{a / b:.6f}"} for _, a, b in sums] * 8}
    for name, records in lines.items():
        (work / name).write_text("".join(json.dumps(r) + "\n" for r in records))
    (work / "text").write_text("\n".join(q for q, *_ in sums) * 8)
    model, training = ["--model", BASE], ["--threads", 1, "--seed", 1, "--quiet", "--no-tensorboard", "--device", "cpu"]
    sft = ["--data", work / "sft.jsonl", "--batch-size", 4, "--max-steps", 1, "--out", work / "sft"]
    rl = ["--data", work / "rl.jsonl", "--algo", "grpo", "--trust-plugin", "--group-size", 4, "--prompts-per-step", 1,
          "--max-new-tokens", 16, "--steps", 1, "--out", work / "rl"]
    sampling = ["--samples", 4, "--temperature", 0.8, "--max-new-tokens", 32, "--threads", 1, "--seed", 1, "--device", "cpu", "--json"]
    return {
        "sft": (["sft", *model, *sft, *training], None), "rl": (["rl", *model, *rl, *training], None),
        "generate": (["generate", *model, "--prompts", work / "prompts.jsonl", *sampling], None),
        "tokenize": (["tokenize", *model], work / "text"), "judge": (["judge", "--data", work / "pairs.jsonl"], None)}


def perf_counts():
    if not shutil.which("perf"):
        return False
    done = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", "true"], capture_output=True, text=True)
    return done.returncode == 0 and done.stderr.split(",")[0].isdigit()


def counted(counter, binary, words, stdin, work):
    log = work / "count"
    if counter == "perf":
        prefix = ["perf", "stat", "-x,", "-e", "instructions:u", "-o", str(log)]
    else:
        prefix = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", f"--log-file={log}"]
    environment = dict(os.environ, SWIFT_DETERMINISTIC_HASHING="1")
    if counter == "valgrind":
        environment["NR_ISA"] = "avx2"
    done = subprocess.run(
        [*prefix, str(binary), *map(str, words)], stdin=open(stdin or os.devnull, "rb"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, env=environment)
    if done.returncode:
        sys.exit(f"instructions.py: {words[0]} ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    found = re.search(r"I\s+refs:\s+([\d,]+)" if counter == "valgrind" else r"^(\d+),", log.read_text(), re.M)
    return int(found.group(1).replace(",", ""))


def without_debug_information(binary, work):
    """The program and the plugins beside it, stripped, where the program finds them."""
    for file in [binary, *binary.parent.glob("libnr-*.so")]:
        subprocess.run(["strip", "-o", str(work / file.name), str(file)], check=True)
    return work / binary.name


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / ".build/release/nano-reasoner")
    parser.add_argument("--only", help="names of jobs, separated by commas")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--counter", choices=["perf", "valgrind"])
    o = parser.parse_args()
    if not o.binary.exists():
        parser.error(f"{o.binary} is not there: build it (./nr --help), or name it with --binary")
    counter = o.counter or ("perf" if perf_counts() else "valgrind")
    if not shutil.which(counter):
        parser.error(f"perf cannot count here and there is no {counter}: apt-get install valgrind")
    if counter == "valgrind":
        os.environ["NR_ISA"] = "avx2"
    key = f"{counter}/{ours.isa(o.binary)}"
    record = json.loads(FILE.read_text()) if FILE.exists() else {}
    known, found, worse = record.get(key, {}), {}, []
    print(f"{'job':10} {'instructions':>16} {'before':>16} {'change':>9}   ({key})")
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        binary = without_debug_information(o.binary.resolve(), work) if counter == "valgrind" else o.binary
        everything = jobs(work)
        for name in o.only.split(",") if o.only else everything:
            if name not in everything:
                parser.error(f"--only: no job {name}; there are {', '.join(everything)}")
            found[name] = counted(counter, binary, *everything[name], work)
            before = known.get(name)
            change = found[name] / before - 1 if before else None
            verdict = "" if change is None or abs(change) <= TOLERANCE else "MORE" if change > 0 else "less: --update"
            worse += [name] if verdict == "MORE" else []
            shown = "" if change is None else f"{100 * change:+.2f} %"
            print(f"{name:10} {found[name]:16,} {before or 0:16,} {shown:>9} {verdict}", flush=True)
    if o.update:
        record[key] = known | found
        FILE.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    elif worse:
        sys.exit(f"instructions.py: over {100 * TOLERANCE:.0f} % more than Benchmarks/instructions.json: {', '.join(worse)}")
    elif missing := [name for name in found if name not in known]:
        sys.exit(f"instructions.py: Benchmarks/instructions.json has no {key} for {', '.join(missing)}: --update writes it")


if __name__ == "__main__":
    main()
