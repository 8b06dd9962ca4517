"""Runs every number of every command at both its ends, and at edges beyond them, on a tiny model, and counts signals.

    python3 Tests/Oracles/sweep_options.py .build/release/nano-reasoner

The tests ask the parser (OptionTests); this asks what a legal number does to the command behind it. A run that is still
going after ten seconds is ended and counts as running. Ends with 1 where a process died of a signal or said more than a line.
"""
import json, os, re, shutil, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor

tool = os.path.abspath(sys.argv[1])
here = os.path.dirname(os.path.abspath(__file__))
model = os.path.join(here, "../TrainingTests/Goldens/tied")
adapter = os.path.join(here, "../TrainingTests/Goldens/lora_steps/initial_adapter")
base = tempfile.mkdtemp(prefix="sweep-")
data = os.path.join(base, "data.jsonl")
with open(data, "w") as file:
    for n in range(12):
        file.write(json.dumps({"question": f"What is {n} + 1?", "answer": str(n + 1), "solution": f"{n} + 1 = {n + 1}"}) + "\n")
with open(os.path.join(base, "tokens.json"), "w") as file:
    file.write("[[5, 6, 7, 8]]")
pairs = os.path.join(base, "pairs.jsonl")
open(pairs, "w").write('{"answer": "1", "gold": "1"}\n')
run = os.path.join(base, "run")

def start(words, seconds=10):
    """rc (None: still running), output, error; in a folder of its own and with little memory."""
    folder = tempfile.mkdtemp(dir=base)
    process = subprocess.Popen(["sh", "-c", 'ulimit -v 24000000; exec "$@"', "sh", tool] + words, cwd=folder, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=seconds)
        return process.returncode, out, err
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return None, out, err
    finally:
        shutil.rmtree(folder, ignore_errors=True)

small = ["--max-new-tokens", "4"]
commands = {
    ("sft",): ["--model", model, "--data", data, "--out", "o", "--max-steps", "1", "--quiet"],
    ("rl",): ["--model", model, "--data", data, "--algo", "grpo", "--out", "o", "--steps", "1", "--quiet", "--trust-plugin"] + small,
    ("bench",): ["--model", model, "--data", data, "--algos", "grpo", "--out", "o", "--steps", "1", "--seeds", "1", "--quiet", "--trust-plugin"] + small,
    ("eval",): ["--model", model, "--data", data, "--quiet", "--temperature", "1"] + small,
    ("generate",): ["--model", model, "--prompt", "x", "--temperature", "1"] + small,
    ("score",): ["--model", model, "--tokens", os.path.join(base, "tokens.json"), "--out", "o"],
    ("export",): ["--model", model, "--adapter", adapter, "--out", "o"],
    ("pretrain",): ["--out", "o", "--documents", "64", "--hidden", "16", "--layers", "1", "--heads", "1", "--kv-heads", "1",
                    "--vocabulary", "300", "--intermediate", "16", "--quiet"],
    ("quickstart",): ["--out", "o", "--held-out", "2", "--sft-steps", "1", "--rl-steps", "1", "--quiet"],
    ("inspect",): [run], ("report",): [run],
    ("judge",): ["--data", pairs],
    ("data", "make"): ["--out", "o", "--count", "3"],
    ("data", "show"): ["--model", model, "--data", data],
    ("plugin", "check"): ["grpo", "--quick"],
}
rc, _, err = start(["rl", "--model", model, "--data", data, "--algo", "grpo", "--out", run, "--steps", "2", "--quiet"] + small, 60)
assert rc == 0, err

def without(words, name):
    if name not in words: return words
    place = words.index(name)
    return words[:place] + words[place + 2:]

jobs = []
for command, words in commands.items():
    help = start(list(command) + ["--help"])[1].decode()
    for name, placeholder in re.findall(r"^  (--[a-z-]+) ([NX])\b", help, re.M):
        message = start(list(command) + without(words, name) + [f"{name}=x"])[2].decode()
        ends = re.search(r"(?:from|above) (\S+) (?:to|and at most) (\S+),", message)
        if not ends:
            print("no ends:", command, name, message)
            sys.exit(1)
        values = [ends[1], ends[2], "0", "-1", "1", "2147483647", "2147483648", "4294967296", "9007199254740991", "9223372036854775807",
                  "9223372036854775808", "1e308", "1e-45", "1e-38", "5e-324", "nan", "inf", "", "9" * 400]
        for value in dict.fromkeys(values):
            jobs.append((command, without(words, name), name, value))
for beta in ["0", "1e308", "-1", "nan", "inf", "", "1e-45", "9" * 400, "0.04"]:
    for algorithm, parameter in [("grpo", "beta"), ("dapo", "clip_high"), ("ppo", "gamma"), ("gspo", "clip_low"), ("grpo-lead", "alpha")]:
        jobs.append((("rl",), without(commands["rl",], "--algo") + ["--algo", algorithm], "--set", f"{parameter}={beta}"))

def attempt(job):
    command, words, name, value = job
    return job, start(list(command) + words + [f"{name}={value}"])

counts, failed = {}, 0
with ThreadPoolExecutor(2) as pool:
    for (command, _, name, value), (rc, out, err) in pool.map(attempt, jobs):
        counts[rc] = counts.get(rc, 0) + 1
        lines = [line for line in err.decode(errors="replace").split("\n") if line and not line.startswith("nano-reasoner: warning") and not line.startswith("warning")]
        if rc is not None and (rc < 0 or rc > 128 or rc in (1, 70)) or (rc not in (0, None) and len(lines) != 1):
            failed += 1
            print("FAULT", rc, " ".join(command), f"{name}={value[:30]}", err.decode(errors="replace")[-300:].strip())
print(len(jobs), "runs; by exit code:", {str(key): counts[key] for key in sorted(counts, key=str)}, "faults:", failed)
shutil.rmtree(base, ignore_errors=True)
sys.exit(1 if failed else 0)
