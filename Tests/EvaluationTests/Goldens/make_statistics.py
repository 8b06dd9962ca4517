"""Makes statistics.json beside this file: python3 make_statistics.py (scipy, numpy)."""
import json
import math
import pathlib

import numpy as np
import scipy
from scipy import stats

wilson = []
for successes, trials in [(0, 1), (1, 1), (0, 10), (10, 10), (3, 10), (1, 500), (350, 500), (499, 500), (912, 1319), (66666, 100000)]:
    for confidence in (0.9, 0.95, 0.99):
        interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
        wilson.append([successes, trials, confidence, interval.low, interval.high])

mcnemar = []
for first, second in [(0, 0), (0, 1), (1, 0), (5, 5), (0, 6), (3, 12), (12, 3), (40, 61), (100, 100), (0, 200), (1000, 1100), (2, 3000)]:
    p = stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    mcnemar.append([first, second, p])

pass_at_k = []
for samples, correct, k in [(1, 0, 1), (1, 1, 1), (8, 0, 8), (8, 1, 8), (8, 3, 1), (8, 3, 4), (8, 8, 3), (16, 2, 8), (200, 7, 100), (200, 1, 10)]:
    pass_at_k.append([samples, correct, k, 1 - math.comb(samples - correct, k) / math.comb(samples, k)])

quantile = [[p, float(stats.norm.ppf(p))] for p in (1e-300, 1e-12, 0.001, 0.025, 0.2, 0.5, 0.6, 0.95, 0.975, 0.9999999)]

generator = np.random.default_rng(1)
bootstrap = []
for values in (
    [float(x) for x in generator.integers(0, 2, 200)],
    [round(float(x), 6) for x in generator.normal(3, 2, 60)],
):
    result = stats.bootstrap((np.array(values),), np.mean, method="percentile", n_resamples=200_000, rng=np.random.default_rng(2), batch=1000)
    low, high = result.confidence_interval
    bootstrap.append({"values": values, "mean": float(np.mean(values)), "low": float(low), "high": float(high)})

student = []
for degrees in (1, 1.7, 2, 3.3, 10, 250.5, 1e4, 1e6):
    for t in (0, 1e-4, 0.3, 1, 2.5, 9, 60):
        student.append([t, degrees, float(2 * stats.t.sf(t, degrees))])
student_quantile = [[c, d, float(stats.t.ppf(0.5 + c / 2, d))] for c in (0.5, 0.9, 0.95, 0.99) for d in (1, 1.7, 2, 4, 33.3, 1e5)]

# Holm by its definition: the adjusted value is the largest over the smaller ones of (how many are not smaller) times p.
def holm(p):
    order = sorted(range(len(p)), key=lambda i: p[i])
    return [min(1.0, max((len(p) - rank) * p[j] for rank, j in enumerate(order) if p[j] <= p[i])) for i in range(len(p))]


holm_cases = [[p, holm(p)] for p in ([0.01], [0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.01], [0.2, 1.0, 0.04, 0.04, 1e-9], [])]

crossed = []
for seeds, problems, spread in ((3, 40, 0.0), (2, 25, 0.2), (5, 60, 0.3), (1, 30, 0.1)):
    chance = np.clip(0.5 + generator.normal(0, 0.3, (1, problems)) + generator.normal(0, spread, (seeds, 1)), 0, 1)
    x = generator.binomial(1, chance).astype(float) - 0.25
    by_seed = stats.sem(x.mean(1)) ** 2 if seeds > 1 else 0.0
    by_problem = stats.sem(x.mean(0)) ** 2
    error = math.sqrt(by_seed + by_problem)
    degrees = (by_seed + by_problem) ** 2 / ((by_seed**2 / (seeds - 1) if seeds > 1 else 0) + by_problem**2 / (problems - 1))
    low, high = stats.t.interval(0.95, degrees, loc=x.mean(), scale=error)
    draws = np.random.default_rng(3)
    weights_seed = draws.multinomial(seeds, [1 / seeds] * seeds, 200_000) / seeds
    weights_problem = draws.multinomial(problems, [1 / problems] * problems, 200_000) / problems
    means = np.einsum("bs,sp,bp->b", weights_seed, x, weights_problem, optimize=True)
    crossed.append({
        "values": x.tolist(), "mean": float(x.mean()), "error": error, "degrees": float(degrees), "low": float(low), "high": float(high),
        "p": float(2 * stats.t.sf(abs(x.mean()) / error, degrees)), "bootstrap": [float(q) for q in np.quantile(means, [0.025, 0.975])],
    })

path = pathlib.Path(__file__).with_name("statistics.json")
golden = {
    "made_by": f"make_statistics.py, scipy {scipy.__version__}, numpy {np.__version__}",
    "wilson": wilson, "mcnemar": mcnemar, "pass_at_k": pass_at_k, "normal_quantile": quantile, "bootstrap": bootstrap,
    "student": student, "student_quantile": student_quantile, "holm": holm_cases,
    "crossed": crossed,
}
path.write_text(json.dumps(golden) + "\n")
