"""The table of run.sh: what `eval` and `bench` measured, stage by stage. usage: table.py OUT"""

import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])


def read(name):
    path = out / name
    return json.loads(path.read_text()) if path.is_file() else None


def interval(low, middle, high):
    return f"{100 * middle:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def answered(name):
    found = read(name)
    return interval(found["pass_at_1_low"], found["pass_at_1"], found["pass_at_1_high"]) if found else "–"


base, bench = read("base.json"), read("bench/bench.json")
print(f"| stage | Pass@1 greedy, {base['problems']} held-out problems | training |{' GSM8K test |' if read('gsm8k-base.json') else ''}")
print(f"|---|---|---|{'---|' if read('gsm8k-base.json') else ''}")


def row(stage, accuracy, training, gsm8k):
    print(f"| {stage} | {accuracy} | {training} |" + (f" {answered(gsm8k)} |" if read("gsm8k-base.json") else ""))


def minutes(seconds):
    return f"{seconds / 60:.1f} min"


sft = [json.loads(line) for line in (out / "sft/metrics.jsonl").read_text().splitlines()]
row("base", answered("base.json"), "–", "gsm8k-base.json")
start = bench["start"]["accuracy"]
row("SFT", interval(start["low"], start["estimate"], start["high"]), minutes(sum(step.get("seconds/step", 0) for step in sft)), "gsm8k-sft.json")
for algorithm in bench["algorithms"]:
    accuracy, seeds = algorithm["accuracy"], algorithm["seeds"]
    row(f"{algorithm['label']}, {len(seeds)} seeds", interval(accuracy["low"], accuracy["estimate"], accuracy["high"]),
        " + ".join(minutes(seed["training_seconds"]) for seed in seeds), "gsm8k-rl.json" if algorithm is bench["algorithms"][0] else "")
    for seed in seeds:
        one = seed["accuracy"]
        row(f"seed {seed['seed']}", interval(one["low"], one["estimate"], one["high"]), minutes(seed["training_seconds"]), "")
print()
for algorithm in bench["algorithms"]:
    gain = algorithm["gain"]
    print(f"{algorithm['label']} over SFT: {100 * gain['estimate']:+.1f} points [{100 * gain['low']:.1f}, {100 * gain['high']:.1f}]"
          f" over questions and seeds, p {gain['p']:.1g}.")
