"""Agreement of `nano-reasoner judge` with math-verify (PyPI) over generated and collected pairs; every disagreement is put into a class.

usage: check_math_verify.py NANO_REASONER [--pairs 6000] [--seed 0] [--gsm8k train.jsonl] [--answers answers.jsonl] [--markdown]

Exit code 1 where a disagreement belongs to no class that math_verify.md decides. math-verify takes the gold in \\boxed{} as it asks for.
"""
import argparse, collections, json, random, re, subprocess, tempfile
from math_verify import parse, verify
from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig


def number(r):
    return r.choice([lambda: str(r.randint(-50, 200)), lambda: str(r.randint(1, 10 ** r.randint(3, 22))), lambda: f"{r.uniform(0, 100):.{r.randint(1, 4)}f}",
                     lambda: f"\\frac{{{r.randint(1, 40)}}}{{{r.randint(2, 40)}}}", lambda: f"{r.randint(1, 9)}\\sqrt{{{r.choice([2, 3, 5, 7, 8, 12])}}}",
                     lambda: f"{r.randint(2, 9)}\\pi", lambda: f"{r.randint(2, 5)}^{{{r.randint(2, 12)}}}"])()


def variants(r, x):
    """Pairs (answer, gold) of the same value or of one beside it, written in another way."""
    yield f"\\boxed{{{x}}}"[7:-1], x
    if re.fullmatch(r"\d{4,}", x):
        yield f"{int(x):,}", x
        yield f"\\${x}", x
        yield x[:-1] + str((int(x[-1]) + 1) % 10), x
    if re.fullmatch(r"-?\d+", x):
        yield x + ".0", x
        yield f"{x}\\text{{ cm}}", x
        yield f"{x} apples", x
        yield f"x = {x}", x
        yield f"{x}\\%", x
        yield f"{x}^\\circ", x
        yield f"{x}{r.choice(['x', 'ab', 'uv'])}", x
        yield f"{x} {r.choice(['dozen', 'thousand', 'eighths', 'squared'])}", x
        yield f"{2 * int(x)}/2", x
    m = re.fullmatch(r"\\frac\{(\d+)\}\{(\d+)\}", x)
    if m:
        a, b = map(int, m.groups())
        yield f"{a}/{b}", x
        yield f"\\dfrac{{{2 * a}}}{{{2 * b}}}", x
        yield f"{a / b:.4f}", x
        yield f"\\frac{{{a}}}{{{b + 1}}}", x
    m = re.fullmatch(r"(\d)\\sqrt\{(\d+)\}", x)
    if m:
        a, b = map(int, m.groups())
        yield f"\\sqrt{{{a * a * b}}}", x
        yield f"{a * b ** .5:.3f}", x
        yield f"\\sqrt{{{b}}} \\cdot {a}", x
    y = number(r)
    yield f"({x}, {y})", f"({x},{y})"
    yield f"({y}, {x})", f"({x},{y})"
    yield f"\\{{{y}, {x}\\}}", f"\\{{{x},{y}\\}}"
    yield f"{y}, {x}", f"{x}, {y}"
    yield f"[{x}, {y})", f"[{x},{y}]"
    yield y, x
    c, v = r.randint(2, 9), r.choice("xyn")
    yield f"{c}{v}+1", f"1+{c}{v}"
    yield f"{c}{v}^2", f"{c}{v}"
    yield f"{v} < {x}", f"{x} > {v}"


def klass(a, g, ours):
    """The class of a disagreement, as math_verify.md names it."""
    if re.search(r"dozen|thousand|eighths|squared", a): return "value words"
    if re.search(r"\\text|apples|\\%|\\circ|\\\$|mph|hours", a + g): return "units"
    if re.match(r"^-?[\d.,]+[a-z]", a): return "glued letters"
    if re.search(r"\\(sqrt|pi)|\^", g) and re.fullmatch(r"-?\d+\.\d+", a): return "decimals near irrational numbers"
    if re.fullmatch(r"-?\d+\.\d+", a) or re.fullmatch(r"-?\d+\.\d+", g): return "decimals near fractions"
    if a.count(",") and re.search(r"^[\[(]|\\\{", g + a): return "tuples, intervals and sets"
    if "," in a or "," in g: return "lists and thousands"
    if re.search(r"[<>]", a): return "relations"
    if re.match(r"^[A-Za-z]\s*=", a) or "=" in a or "\\in" in a: return "names"
    if re.search(r"[^\x00-\x7f]", a + g): return "Unicode"
    if re.search(r"\\(text|mathrm|textbf)|[A-Za-z]{3}", a + g): return "words"
    if re.fullmatch(r"[-+0-9a-z^{}]+", a): return "expressions with variables"
    if re.search(r"\d[~ ]\d", a): return "thousands and mixed numbers"
    if not a or a == "\\boxed{}": return "empty"
    return "other"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program"); p.add_argument("--pairs", type=int, default=6000); p.add_argument("--seed", type=int, default=0)
    p.add_argument("--gsm8k"); p.add_argument("--answers"); p.add_argument("--markdown", action="store_true")
    o = p.parse_args()
    r = random.Random(o.seed)
    pairs = []
    if o.gsm8k:
        golds = [json.loads(l)["answer"].split("####")[1].strip() for l in open(o.gsm8k)]
        for g in r.sample(golds, 1000): pairs.append((r.choice(["{}", "\\${}", "{}.00", "{} dollars", "x={}", "{}\\text{{ miles}}"]).format(g), g))
    if o.answers: pairs += [(d["answer"], d["gold"]) for d in map(json.loads, open(o.answers))]
    while len(pairs) < o.pairs: pairs += list(variants(r, number(r)))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
        f.writelines(json.dumps({"answer": a, "gold": g}) + "\n" for a, g in pairs); f.flush()
        ours = [json.loads(l)["correct"] for l in subprocess.run([o.program, "judge", "--data", f.name], check=True, capture_output=True, text=True).stdout.splitlines()]
    config = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    theirs = []
    for a, g in pairs:
        try: theirs.append(bool(verify(parse(f"\\boxed{{{g}}}", config), parse(f"\\boxed{{{a}}}", config))))
        except Exception: theirs.append(False)
    classes = collections.defaultdict(list)
    for (a, g), x, y in zip(pairs, ours, theirs):
        if x != y: classes[klass(a, g, x), x].append((a, g))
    agreed = sum(x == y for x, y in zip(ours, theirs))
    print(f"{len(pairs)} pairs, {agreed} agree ({100 * agreed / len(pairs):.1f} %), {len(pairs) - agreed} do not:\n")
    print("| class | we say | pairs | for example |\n|---|---|---|---|")
    for (name, x), rows in sorted(classes.items()):
        print(f"| {name} | {'equal' if x else 'different'} | {len(rows)} | " + "; ".join(f"`{a}` and `{g}`" for a, g in rows[:3]) + " |")
    raise SystemExit(1 if any(n == "other" for n, _ in classes) else 0)


main()
