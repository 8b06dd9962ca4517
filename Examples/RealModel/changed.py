"""The page of run.sh's completions that changed: what SFT and what RL answered to the same held-out questions. usage: changed.py OUT"""

import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])


def answers(path):
    return [json.loads(line) for line in (out / path).read_text().splitlines()]


def block(text):
    return "\n".join("    " + line for line in text.strip().splitlines())


base, start = answers("base.jsonl"), answers("bench/start/eval.jsonl")
for folder in sorted((out / "bench").glob("*/seed-*")):
    if not (folder / "eval.jsonl").exists():
        continue
    after = answers(folder.relative_to(out) / "eval.jsonl")
    gained = [i for i, (a, b) in enumerate(zip(start, after)) if b["correct"] and not a["correct"]]
    lost = [i for i, (a, b) in enumerate(zip(start, after)) if a["correct"] and not b["correct"]]
    same = sum(a["completion"] == b["completion"] for a, b in zip(start, after))
    print(f"## {folder.parent.name}, {folder.name.replace('-', ' ')}\n")
    print(f"{len(gained)} of {len(start)} problems gained, {len(lost)} lost; {same} completions are the same word for word.\n")
    for what, places in (("gained", gained[:6]), ("lost", lost[:3])):
        for i in places:
            print(f"**{what}**: {start[i]['question']} (right: {start[i]['gold']})\n")
            if what == "gained" and i == places[0]:
                print(f"The model as it came:\n\n{block(base[i]['completion'][:400])}\n")
            print(f"After SFT:\n\n{block(start[i]['completion'])}\n\nAfter RL:\n\n{block(after[i]['completion'])}\n")
