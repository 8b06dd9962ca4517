"""How often the intervals of `bench` hold the true difference, for docs/benchmarking.md: python3 simulate_coverage.py (scipy, numpy)."""
import numpy as np
from scipy import stats

rng = np.random.default_rng(0)


def simulate(seeds, problems, luck, trials=400, resamples=400, spread=0.05, discordant=0.15):
    held = {"interval": 0, "bootstrap": 0}
    for _ in range(trials):
        effect = rng.normal(0, luck, (seeds, 1)) + rng.normal(0, spread, (1, problems))
        up, down = np.clip((discordant + effect) / 2, 0, 1), np.clip((discordant - effect) / 2, 0, 1)
        draw = rng.random((seeds, problems))
        d = (draw < up).astype(float) - (draw > 1 - down)
        by_seed, by_problem = stats.sem(d.mean(1)) ** 2, stats.sem(d.mean(0)) ** 2
        variance = by_seed + by_problem
        degrees = variance**2 / (by_seed**2 / (seeds - 1) + by_problem**2 / (problems - 1))
        held["interval"] += abs(d.mean()) <= stats.t.ppf(0.975, degrees) * np.sqrt(variance)
        seed_weights = rng.multinomial(seeds, [1 / seeds] * seeds, resamples) / seeds
        problem_weights = rng.multinomial(problems, [1 / problems] * problems, resamples) / problems
        means = np.einsum("bs,sp,bp->b", seed_weights, d, problem_weights, optimize=True)
        low, high = np.quantile(means, [0.025, 0.975])
        held["bootstrap"] += low <= 0 <= high
    return {name: count / trials for name, count in held.items()}


for seeds in (2, 3, 5):
    for problems in (300, 1000):
        for luck in (0, 0.01, 0.03):
            print(seeds, problems, luck, simulate(seeds, problems, luck), flush=True)
