"""The records of cpu_peers.py as Markdown."""

# A row during which some process waited for a processor for a larger share of the time was disturbed by others.
QUIET = 0.2


def number(value):
    """Three digits that mean something."""
    if value is None:
        return "–"
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"


def markdown(head, lines):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(line) + " |" for line in lines)]) + "\n"


def machine_line(about, machine):
    parts = []
    for key, text, unit in ("fp32", "float32", "GFLOP/s"), ("bf16", "bfloat16", "GFLOP/s"), ("read", "read", "GB/s"):
        if found := [number(rate) for name, rate in machine.items() if name.startswith(key)]:
            parts.append(f"{text} {' / '.join(found)} {unit}")
    rates = "; ".join(parts)
    return f"{about['processor']}, {about['threads']} threads, kernels {about['kernels']}. Measured peak with one thread / all: {rates}."


def peers(record):
    about = record["about"]
    lines, shapes = [], []
    for row in record["rows"]:
        unit, share = row["unit"], None
        if row["limit"] and row["ours"]:
            share = row["limit"] / row["ours"] if row["lower_is_better"] else row["ours"] / row["limit"]
        disturbed = " (disturbed)" if (row["waited"] or 0) > QUIET else ""
        limit = f"{number(row['limit'])} {unit} ({row['limited_by']}; ours {100 * share:.0f} %)" if share else "–"
        for at, (name, peer) in enumerate(row["peers"].items() or [("–", {"figure": None, "ratio": None, "wanted": None})]):
            first = [row["title"] if at == 0 else "the same"]
            lines.append(first + [
                name, f"{number(peer['figure'])} {unit}", f"{number(row['ours'])} {unit}", number(peer["ratio"]) + disturbed,
                number(peer["wanted"]), limit, row["left_out"]])
        for shape, figures in row.get("by_shape", {}).items():
            ratio = figures["ours"] / figures["peer"]
            shapes.append([row["title"].split(", ", 2)[2], shape, number(figures["peer"]), number(figures["ours"]), number(ratio)])
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    text = machine_line(about, record["machine"]) + "\n"
    text += f"{about['turns']} turns, {about['time']}, {record['minutes']} minutes, load before {about['load_before'][0]}; {versions}.\n\n"
    text += markdown(["work", "peer", "peer's figure", "ours", "ratio", "wanted", "limit of the machine", "left out"], lines)
    if shapes:
        text += "\nProducts by shape, 512 rows, GFLOP/s\n\n"
        text += markdown(["type and threads", "outputs x inputs", "torch", "ours", "ratio"], shapes)
    text += "\nRatio: the peer's time over ours; disturbed: processes waited for a processor for over "
    text += f"{100 * QUIET:.0f} % of the row's time. Limits, by formula (a multiply and an add are two operations):\n\n"
    text += "".join(f"- {name}: {formula}.\n" for name, formula in record["formulas"].items())
    failed = [f"- {row['row']}: {name}: {why}" for row in record["rows"] for name, why in row["failed"].items()]
    return text + ("\nFailed:\n\n" + "\n".join(failed) + "\n" if failed else "")


def growth(record):
    text = machine_line(record["about"], record["machine"]) + "\n"
    for part in record["parts"].values():
        text += f"\n{part['title']}\n\n"
        text += markdown([part["by"], "tokens", "seconds", "tokens/s", "on paper", "share"], [
            [str(p["at"]), str(p["tokens"]), number(p["seconds"]), number(p["tokens_per_second"]), number(p["paper"]),
             f"{100 * p['tokens_per_second'] / p['paper']:.0f} %" if p["tokens_per_second"] else "lost in noise"] for p in part["points"]])
    return text + "\nOn paper, by formula:\n\n" + "".join(f"- {name}: {formula}.\n" for name, formula in record["formulas"].items())
