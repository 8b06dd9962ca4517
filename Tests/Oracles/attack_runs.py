"""Kills runs of the shipped model at random instants, resumes them, and compares their ends with those of straight runs, byte for byte.

    python3 Tests/Oracles/attack_runs.py .build/release/nano-reasoner [--kills 40] [--seed 1] [--damage]

`sft` and `rl` in turn; each run is killed (SIGKILL) several times before it may finish. With --damage the newest checkpoint is cut after
every other kill, so that the one before must take over. Ends with 1 where a resumed run failed or ended elsewhere.
"""
import argparse, glob, json, os, random, shutil, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tool")
parser.add_argument("--kills", type=int, default=40)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--damage", action="store_true")
options = parser.parse_args()
tool = os.path.abspath(options.tool)
model = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Models/base")
base = tempfile.mkdtemp(prefix="attack-")
data = os.path.join(base, "data.jsonl")
with open(data, "w") as file:
    for n in range(24):
        file.write(json.dumps({"question": f"Tom has {n} apples. He buys {n + 2} more. How many apples has Tom?",
                               "answer": f"{n} + {n + 2} = {2 * n + 2}\n#### {2 * n + 2}"}) + "\n")
common = ["--model", model, "--data", data, "--checkpoint-every", "3", "--quiet", "--threads", "2"]
commands = {
    "sft": ["sft", "--max-steps", "24", "--epochs", "8", "--batch-size", "2", "--schedule", "cosine"] + common,
    "rl": ["rl", "--algo", "grpo", "--trust-plugin", "--steps", "10", "--group-size", "4", "--max-new-tokens", "24", "--set", "beta=0.04"] + common,
}
chance = random.Random(options.seed)
volatile = ("time", "elapsed", "peak_mebibytes")


def records(path):
    kept = []
    for line in open(path):
        record = json.loads(line)
        kept.append({k: v for k, v in record.items() if "seconds" not in k and k not in volatile and not k.endswith("_per_second")})
    return kept


def differences(one, other):
    names = ["adapter/adapter_model.safetensors", "adapter/adapter_config.json"] + (["samples.jsonl"] if os.path.exists(one + "/samples.jsonl") else [])
    steps = sorted(os.path.basename(p) for p in glob.glob(one + "/checkpoints/*"))
    found = [] if steps == sorted(os.listdir(other + "/checkpoints")) else ["checkpoints"]
    names += [f"checkpoints/{step}/{name}" for step in steps for name in ("state.safetensors", "state.json")]
    for name in names:
        if not os.path.exists(f"{other}/{name}") or open(f"{one}/{name}", "rb").read() != open(f"{other}/{name}", "rb").read():
            found.append(name)
    if records(one + "/metrics.jsonl") != records(other + "/metrics.jsonl"):
        found.append("metrics.jsonl")
    for path in glob.glob(other + "/**/*", recursive=True):
        if ".tmp-" in path or ".writing-" in path or ".removing-" in path:
            found.append(path)
    return found


straight, seconds = {}, {}
for name, words in commands.items():
    straight[name] = os.path.join(base, name)
    begun = time.time()
    subprocess.run([tool] + words + ["--out", straight[name]], check=True, stdout=subprocess.DEVNULL)
    seconds[name] = time.time() - begun

kills = runs = bad = damaged = fallbacks = 0
while kills < options.kills:
    name = "sft" if runs % 2 == 0 else "rl"
    out = os.path.join(base, f"run-{runs}")
    runs += 1
    for attempt in range(chance.randint(2, 6)):
        resume = ["--resume"] if os.path.exists(out + "/run.json") else []
        process = subprocess.Popen([tool] + commands[name] + ["--out", out] + resume, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _, error = process.communicate(timeout=chance.uniform(0.02, seconds[name] * 0.7))
            if process.returncode != 0:
                bad += 1
                print("FAULT", name, out, process.returncode, error.decode())
            break
        except subprocess.TimeoutExpired:
            process.kill()
            error = process.communicate()[1]
            kills += 1
        fallbacks += b"going on from the checkpoint before" in error
        found = sorted(glob.glob(out + "/checkpoints/step-*"), key=lambda path: int(path.rsplit("-", 1)[1]))
        if options.damage and attempt % 2 == 0 and len(found) == 2:
            path = found[-1] + "/" + chance.choice(["state.safetensors", "state.json"])
            with open(path, "r+b") as file:
                file.truncate(chance.randrange(os.path.getsize(path)))
            damaged += 1
    resume = ["--resume"] if os.path.exists(out + "/run.json") else []
    last = subprocess.run([tool] + commands[name] + ["--out", out] + resume, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    fallbacks += b"going on from the checkpoint before" in last.stderr
    unequal = differences(straight[name], out) if last.returncode == 0 else [last.stderr.decode()]
    if unequal:
        bad += 1
        print("FAULT", name, out, last.returncode, unequal)
    else:
        shutil.rmtree(out)
print(f"{kills} kills over {runs} runs ({options.seed=}), {damaged} checkpoints cut, {fallbacks} fallbacks; runs that ended elsewhere: {bad}")
if not bad:
    shutil.rmtree(base)
sys.exit(1 if bad else 0)
