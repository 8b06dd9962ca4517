"""How this program's speed grows: decoding by count of sequences, by context and by model; a LoRA step by model. Each beside its cost
on paper.

Decoding is the time of a run with 1 + STEPS tokens a completion less that of one with a single token, so that the prompt does not count;
the two take turns, and the median of the one is taken from that of the other. A difference that is no larger than what runs of one kind
differ by among themselves is no figure: it is left empty. Sequences are completions of one prompt, contexts those of 8 completions of it.
"""

import json
import statistics
import time

from peers import costs, folders, ours, table

MODELS = ["2.5m", "135m", "0.5b", "1.5b"]
# Tokens of a completion after the first, by model: enough for about a second or more.
STEPS = {"2.5m": 512, "135m": 128, "0.5b": 48, "1.5b": 24}


def decoding(o, folder, length, sequences, steps):
    """Seconds of `steps` tokens of each sequence, or None where that is lost in noise; and the seconds of each run."""
    prompt, runs = folders.texts(folder, 1, length)[0][0], ([], [])
    for _ in range(o.turns):
        for new, seconds in zip((1, 1 + steps), runs):
            found = ours.generate(o.binary, folder, [prompt], sequences, new, "--precision", "bf16", "--batch-size", sequences)
            seconds.append(found["seconds"])
    difference = statistics.median(runs[1]) - statistics.median(runs[0])
    noise = max(max(seconds) - min(seconds) for seconds in runs)
    return difference if difference > noise else None, runs


def decoding_point(o, machine, at, name, length, sequences, steps):
    """The point, and its tokens/s on paper as a function: the machine is measured until the end."""
    folder, tokens = folders.make(name), sequences * steps
    seconds, runs = decoding(o, folder, length, sequences, steps)
    point = {"at": at, "tokens_per_second": tokens / seconds if seconds else None, "seconds": seconds, "tokens": tokens, "runs": runs}
    return point, lambda: tokens / costs.decoding_seconds(costs.shape(folder), machine, 1, length, sequences, steps)


def training_point(o, machine, name, length=257, steps=2):
    folder = folders.make(name)
    text = folders.texts(folder, 1, length)[0][0]
    records = ours.sft(o.binary, folder, [text], length, 1 + steps, "--precision", "bf16")[1:]
    seconds = statistics.median(r["seconds/step"] for r in records)
    point = {"at": name, "tokens_per_second": (length - 1) / seconds, "seconds": seconds, "tokens": length - 1}
    return point, lambda: (length - 1) / costs.lora_seconds(costs.shape(folder), machine, 1, length - 1)


def points(o, machine):
    """The parts: name, title, what stands in the first column, and a function for each point."""
    counts, contexts = ([1, 8], [128, 256]) if o.small else ([2**i for i in range(9)], [128, 256, 512, 1024, 2048, 4096])
    models = MODELS[:2] if o.small else MODELS
    base = "2.5m" if o.small else "0.5b"

    def steps(sequences):
        """Fewer where each takes longer."""
        return STEPS[base] if sequences <= 16 else STEPS[base] // 2 if sequences <= 64 else STEPS[base] // 4

    yield "sequences", f"Decoding by sequences: {base}, bfloat16, completions of one prompt of 120 tokens", "sequences", [
        lambda n=n: decoding_point(o, machine, n, base, 120, n, steps(n)) for n in counts]
    yield "context", f"Decoding by context: {base}, bfloat16, 8 completions of one prompt of so many tokens", "context", [
        lambda n=n: decoding_point(o, machine, n, base, n, 8, STEPS[base]) for n in contexts]
    yield "model", "Decoding by model: bfloat16, 8 completions of one prompt of 120 tokens", "model", [
        lambda n=n: decoding_point(o, machine, n, n, 120, 8, STEPS[n]) for n in models]
    yield "training", "LoRA step by model: rank 16 on all linears, 1 x 256 predicted tokens, bfloat16 weights", "model", [
        lambda n=n: training_point(o, machine, n) for n in models]


def run(o, machine, about, say):
    for name in MODELS[:2] if o.small else MODELS:
        folders.make(name, say)
    formulas = {k: costs.FORMULAS[k] for k in ("symbols", "LoRA step", "sampling")}
    record = {"about": about, "formulas": formulas, "parts": {}}
    parts, start = list(points(o, machine)), time.monotonic()
    total, done = sum(len(calls) for *_, calls in parts), 0
    made = {name: [] for name, *_ in parts}
    for name, _, _, calls in parts:
        for call in calls:
            machine.measure()
            made[name].append(call())
            point, done, minutes = made[name][-1][0], done + 1, (time.monotonic() - start) / 60
            rate = f"{point['tokens_per_second']:.1f} tokens/s" if point["tokens_per_second"] else "lost in noise"
            say(f"{name} {point['at']}: {rate}; {done} of {total}, about {minutes / done * (total - done):.0f} min remain")
            record |= {"machine": machine.record(), "minutes": round(minutes, 1)}
            for part, part_title, part_by, _ in parts:
                if made[part]:
                    points_made = [p | {"paper": paper()} for p, paper in made[part]]
                    record["parts"][part] = {"title": part_title, "by": part_by, "points": points_made}
            (o.out / "growth.json").write_text(json.dumps(record, indent=1) + "\n")
            (o.out / "growth.md").write_text(table.growth(record))
    print(table.growth(record))
