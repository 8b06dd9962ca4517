"""Makes the golden files of the plugins: loss and derivatives by PyTorch autograd in float64.

    python Tests/PluginHostTests/Goldens/make_goldens.py     # needs torch and safetensors

Each file holds one rollout as `plugin eval` reads it and, for each of its settings, what a plugin has to make of it:
`expected.N.advantages`, `.loss`, `.d_current`, where it differs from "all" `.keep`, with a critic `.returns` and `.d_values`;
the settings are in the metadata as `settings.N`. The formulas are written from ALGORITHMS.md and the papers, not from the
plugins. Advantages and returns are rounded to float32 between the two stages, as the contract does. cross_check.py holds
these files against other people's code.
"""

import math
import pathlib

import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parent


def offsets(lengths):
    return torch.tensor([0] + list(torch.tensor(lengths).cumsum(0)), dtype=torch.int64) if lengths else torch.zeros(1, dtype=torch.int64)


def rollout(seed, groups, lengths, rewards=None, spread=0.3, on_policy=False):
    """groups: sizes; lengths: one per sequence."""
    generator = torch.Generator().manual_seed(seed)
    sequences, tokens = sum(groups), sum(lengths)
    assert len(lengths) == sequences
    if rewards is None:
        rewards = torch.randint(0, 11, (sequences,), generator=generator) / 10
    old = -torch.rand(tokens, generator=generator) * 4
    current = old.clone() if on_policy else old + spread * torch.randn(tokens, generator=generator)
    reference = old + spread * torch.randn(tokens, generator=generator)
    return {
        "group_offsets": offsets(groups),
        "token_offsets": offsets(lengths),
        "rewards": torch.as_tensor(rewards, dtype=torch.float32),
        "sequence_flags": torch.randint(0, 4, (sequences,), generator=generator, dtype=torch.uint8),
        "current": current.float(),
        "old": old.float(),
        "reference": reference.float(),
    }


def with_critic(data, seed):
    """Adds a critic's values: the rollout's, and those now, which have moved."""
    generator = torch.Generator().manual_seed(1000 + seed)
    tokens = len(data["old"])
    old_values = torch.rand(tokens, generator=generator)
    return data | {
        "old_values": old_values.float(),
        "values": (old_values + 0.3 * torch.randn(tokens, generator=generator)).float(),
    }


def grpo(data, variant="default", clip_low=0.2, clip_high=0.2, beta=None, epsilon=1e-6):
    beta = beta if beta is not None else (0.04 if variant == "paper" else 0.0)
    group, token = data["group_offsets"].tolist(), data["token_offsets"].tolist()
    rewards = data["rewards"].double()
    total_tokens, total_sequences = token[-1], len(token) - 1

    advantages = torch.zeros(total_tokens, dtype=torch.float64)
    for first, last in zip(group, group[1:]):
        r = rewards[first:last]
        if last - first < 2 or bool((r == r[0]).all()):
            continue
        a = (r - r.mean()) / (r.std(correction=1) + epsilon)
        for i in range(first, last):
            advantages[token[i] : token[i + 1]] = a[i - first]
    advantages = advantages.float()

    current = data["current"].double().requires_grad_()
    a = advantages.double()
    ratio = torch.exp(torch.clamp(current - data["old"].double(), -20, 20))
    objective = torch.minimum(ratio * a, torch.clamp(ratio, 1 - clip_low, 1 + clip_high) * a)
    if beta > 0:
        x = torch.clamp(data["reference"].double() - current, -20, 20)
        objective = objective - beta * (torch.exp(x) - x - 1)
    loss = 0 * current.sum()
    if variant == "paper":
        for first, last in zip(token, token[1:]):
            if last > first:
                loss = loss - objective[first:last].mean() / total_sequences
    elif total_tokens > 0:
        loss = -objective.sum() / total_tokens
    (gradient,) = torch.autograd.grad(loss, current)
    return {"advantages": advantages, "loss": loss.detach().reshape(1), "d_current": gradient}


class Rollout:
    """The arrays of a rollout, sequence by sequence, without the groups that are not kept."""

    def __init__(self, data, keep=None):
        group, token = data["group_offsets"].tolist(), data["token_offsets"].tolist()
        self.count = token[-1]
        self.groups = [list(range(a, b)) for g, (a, b) in enumerate(zip(group, group[1:])) if keep is None or keep[g]]
        self.sequences = [i for members in self.groups for i in members]
        self.tokens = {i: list(range(token[i], token[i + 1])) for i in self.sequences}
        self.length = {i: len(self.tokens[i]) for i in self.sequences}
        self.reward = {i: data["rewards"][i].double().item() for i in self.sequences}
        self.truncated = {i: bool(data["sequence_flags"][i] & 1) for i in self.sequences}
        self.correct = {i: bool(data["sequence_flags"][i] & 2) for i in self.sequences}
        self.total = sum(self.length.values())  # N of ALGORITHMS.md
        longest = max([b - a for a, b in zip(token, token[1:])], default=0)
        self.limit = int(data["token_limit"]) if "token_limit" in data else longest

    def spread(self, advantage):
        """One number per sequence to one per token, rounded as between the stages."""
        result = torch.zeros(self.count, dtype=torch.float64)
        for i in self.sequences:
            result[self.tokens[i]] = advantage[i]
        return result.float().double()


def standardised(values, epsilon):
    """(x - mean) / (std + epsilon); 0 where there is one value or all are equal."""
    x = torch.tensor(values, dtype=torch.float64)
    if len(x) < 2 or bool((x == x[0]).all()):
        return [0.0] * len(x)
    return ((x - x.mean()) / (x.std(correction=1) + epsilon)).tolist()


def group_advantages(rollout, reward, epsilon):
    result = {}
    for members in rollout.groups:
        result |= zip(members, standardised([reward[i] for i in members], epsilon))
    return result


def surrogate(log_ratio, a, clip_low, clip_high):
    """min(ρ A, clip(ρ) A)"""
    ratio = torch.exp(torch.clamp(log_ratio, -20, 20))
    return torch.minimum(ratio * a, torch.clamp(ratio, 1 - clip_low, 1 + clip_high) * a)


def token_surrogate(data, advantages, clip_low, clip_high):
    current = data["current"].double().requires_grad_()
    return current, surrogate(current - data["old"].double(), advantages, clip_low, clip_high)


def result(advantages, loss, current, values=None, **more):
    inputs = [current] if values is None else [current, values]
    gradients = torch.autograd.grad(loss + sum(0 * x.sum() for x in inputs), inputs)
    names = ["d_current", "d_values"]
    tensors = {"advantages": advantages.float(), "loss": loss.detach().double().reshape(1)} | dict(zip(names, gradients))
    return tensors | more


def zero():
    return torch.zeros((), dtype=torch.float64)


def dr_grpo(data, variant="default", clip_low=0.2, clip_high=0.2, length_factor=None, epsilon=1e-6):
    paper = variant == "paper"
    length_factor = length_factor or ("none" if paper else "divide")
    r = Rollout(data)
    if paper:
        a = {}
        for members in r.groups:
            rewards = torch.tensor([r.reward[i] for i in members], dtype=torch.float64)
            equal = bool((rewards == rewards[0]).all())
            a |= zip(members, [0.0] * len(members) if equal else (rewards - rewards.mean()).tolist())
    else:
        a = group_advantages(r, r.reward, epsilon)
    advantages = r.spread(a)
    current, s = token_surrogate(data, advantages, clip_low, clip_high)
    loss = zero()
    for members in r.groups:
        mean_length = sum(r.length[i] for i in members) / len(members)
        for i in members:
            if r.length[i] == 0:
                continue
            f = r.length[i] / mean_length
            weight = {"divide": 1 / f, "multiply": f, "none": 1}[length_factor]
            loss = loss - weight * s[r.tokens[i]].sum() / (len(r.sequences) * r.limit if paper else r.total)
    return result(advantages, loss, current)


def gspo(data, variant="default", clip_low=None, clip_high=None, epsilon=1e-6):
    clip_low = clip_low if clip_low is not None else (3e-4 if variant == "paper" else 0.2)
    clip_high = clip_high if clip_high is not None else (4e-4 if variant == "paper" else 0.2)
    r = Rollout(data)
    a = group_advantages(r, r.reward, epsilon)
    advantages = r.spread(a)
    current = data["current"].double().requires_grad_()
    loss = zero()
    for i in r.sequences:
        if r.length[i]:
            t = r.tokens[i]
            log_ratio = (current[t] - data["old"].double()[t]).sum() / r.length[i]
            loss = loss - surrogate(log_ratio, advantages[t[0]], clip_low, clip_high) / len(r.sequences)
    return result(advantages, loss, current)


def dapo(
    data, variant="default", clip_low=0.2, clip_high=0.28, refill="true", overlong_filter=None, overlong_share=None,
    overlong_penalty=1.0, epsilon=1e-6,
):
    paper = variant == "paper"
    overlong_filter = paper if overlong_filter is None else overlong_filter == "true"
    overlong_share = (0.2 if paper else 0.0) if overlong_share is None else overlong_share
    everything = Rollout(data)
    keep = [len({everything.reward[i] for i in members}) > 1 for members in everything.groups]
    r = Rollout(data, keep)
    r.limit = everything.limit
    cache = overlong_share * r.limit
    reward = {}
    for i in r.sequences:  # equation 13, with L_max the limit
        if cache == 0 or r.length[i] <= r.limit - cache:
            punishment = 0.0
        else:
            punishment = ((r.limit - cache) - r.length[i]) / cache
        reward[i] = r.reward[i] + overlong_penalty * punishment
    a = group_advantages(r, reward, epsilon)
    if overlong_filter:
        a = {i: 0.0 if r.truncated[i] else a[i] for i in a}
    advantages = r.spread(a)
    current = data["current"].double().requires_grad_()
    log_ratio = current - data["old"].double()
    narrow = surrogate(log_ratio, advantages, clip_low, clip_low)
    s = torch.where(advantages > 0, surrogate(log_ratio, advantages, clip_low, clip_high), narrow)
    kept = [t for i in r.sequences for t in r.tokens[i]]
    # Filtered completions do not count in the divisor: TRL and verl mask their tokens. Where nothing counts there is no update.
    total = sum(len(r.tokens[i]) for i in r.sequences if not (overlong_filter and r.truncated[i]))
    loss = -s[kept].sum() / total if total else zero()
    return result(advantages, loss, current, keep=torch.tensor(keep, dtype=torch.uint8))


def grpo_lead(
    data, variant="default", clip_low=0.2, clip_high=0.2, alpha=None, scope="group", wrong_reward=-1.0, weight_offset=2.0,
    weight_low=0.4, weight_high=1.5, weight_middle=0.75, weight_slope=10.0, epsilon=1e-6,
):
    paper = variant == "paper"
    alpha = alpha if alpha is not None else (0.05 if paper else 0.1)
    r = Rollout(data)
    z = {}
    for members in [r.sequences] if scope == "batch" else r.groups:
        correct = [i for i in members if r.correct[i]]
        z |= zip(correct, standardised([float(r.length[i]) for i in correct], epsilon))
    shaped = {}
    for i in r.sequences:
        if r.correct[i]:
            shaped[i] = r.reward[i] * math.exp(-alpha * (z[i] if paper else abs(z[i])))
        else:
            shaped[i] = wrong_reward if paper else r.reward[i]
    a = group_advantages(r, shaped, epsilon)
    w = lambda p: weight_low + (weight_high - weight_low) / (1 + math.exp(weight_slope * (p - weight_middle)))
    for members in r.groups:
        rate = sum(r.correct[i] for i in members) / len(members)
        for i in members:
            a[i] *= (w(rate) if a[i] > 0 else w(1 - rate)) if paper else weight_offset - rate
    advantages = r.spread(a)
    current, s = token_surrogate(data, advantages, clip_low, clip_high)
    return result(advantages, -s.sum() / r.total if r.total else zero(), current)


def ppo(
    data, variant="default", clip_low=0.2, clip_high=0.2, gamma=None, beta=None, kl="k1", value_weight=0.5, value_clip=None,
    value_warmup_steps=0, whiten="true", epsilon=1e-6, **rest,
):
    paper = variant == "paper"
    gamma = gamma if gamma is not None else (1.0 if paper else 0.99)
    lam = rest.get("lambda", 1.0 if paper else 0.95)
    beta = beta if beta is not None else (0.05 if paper else 0.0)
    value_clip = value_clip if value_clip is not None else (0.2 if paper else 0.0)
    r = Rollout(data)
    old, reference, old_values = (data[name].double() for name in ("old", "reference", "old_values"))
    raw = torch.zeros(r.count, dtype=torch.float64)
    for i in r.sequences:
        tokens = r.tokens[i]
        delta = []
        for k, t in enumerate(tokens):
            x = reference[t] - old[t]
            divergence = -x if kl == "k1" else torch.exp(torch.clamp(x, -20, 20)) - 1 - torch.clamp(x, -20, 20)
            reward = -beta * divergence + (r.reward[i] if t == tokens[-1] else 0)
            following = old_values[tokens[k + 1]] if k + 1 < len(tokens) else 0
            delta.append(reward + gamma * following - old_values[t])
        for k, t in enumerate(tokens):  # the definition, not the recursion
            raw[t] = sum((gamma * lam) ** (l - k) * delta[l] for l in range(k, len(tokens)))
    returns = (raw + old_values).float()
    advantages = torch.tensor(standardised(raw.tolist(), epsilon), dtype=torch.float64) if whiten == "true" else raw
    advantages = advantages.float().double()
    values = data["values"].double().requires_grad_()
    # plugin eval stands at step 0, so any warm-up leaves out the policy's part
    current, s = token_surrogate(data, 0 * advantages if value_warmup_steps else advantages, clip_low, clip_high)
    errors = (values - returns.double()) ** 2
    if value_clip > 0:
        held = old_values + torch.clamp(values - old_values, -value_clip, value_clip)
        errors = torch.maximum(errors, (held - returns.double()) ** 2)
    loss = (-s.sum() + value_weight * errors.sum()) / r.total if r.total else zero()
    return result(advantages, loss, current, values, returns=returns)


def write(name, algorithm, data, settings):
    tensors = dict(data)
    metadata = {"algorithm": algorithm.__name__.replace("_", "-"), "count": str(len(settings))}
    for index, setting in enumerate(settings):
        metadata[f"settings.{index}"] = " ".join(f"{key}={value}" for key, value in setting.items())
        for key, value in algorithm(data, **setting).items():
            tensors[f"expected.{index}.{key}"] = value.contiguous()
    save_file(tensors, FOLDER / f"{name}.safetensors", metadata)


SETTINGS = [
    {},
    {"variant": "paper"},
    {"beta": 0.1, "clip_high": 0.28},
    {"variant": "paper", "beta": 0, "clip_low": 0.1},
    {"epsilon": 0.1, "clip_low": 0, "clip_high": 0},
]


# The others: both variants, and every parameter that changes the mathematics once.
OTHERS = {
    dr_grpo: [
        {},
        {"variant": "paper"},
        {"length_factor": "multiply", "clip_low": 0.1, "clip_high": 0.28},
        {"variant": "paper", "length_factor": "divide", "clip_low": 0, "clip_high": 0},
    ],
    ppo: [
        {},
        {"variant": "paper"},
        {"gamma": 0.9, "lambda": 0.5, "beta": 0.3, "kl": "k3", "value_clip": 0.1, "clip_high": 0.3},
        {"whiten": "false", "value_weight": 0.1, "clip_low": 0.05},
        {"value_warmup_steps": 3},
    ],
    gspo: [{}, {"variant": "paper"}, {"clip_low": 0.05, "clip_high": 0.1, "epsilon": 0.1}],
    dapo: [
        {},
        {"variant": "paper"},
        {"overlong_share": 0.5, "overlong_penalty": 0.7, "clip_high": 0.4, "clip_low": 0.1},
        {"overlong_filter": "true", "refill": "false"},
    ],
    grpo_lead: [
        {},
        {"variant": "paper"},
        {"scope": "batch", "alpha": 0.5, "weight_offset": 3},
        {"variant": "paper", "scope": "batch", "wrong_reward": -0.5, "weight_middle": 0.4, "weight_slope": 4},
    ],
}


def extreme_ratios(seed):
    """Every jump under a negative and a positive advantage: first in the ratio, then in the reference; then whole sequences."""
    data = rollout(seed, [4, 4], [8] * 8, rewards=[0, 1, 0, 1, 0.2, 0.9, 0.4, 0.4])
    for position, jump in enumerate([25.0, -25.0, 100.0, -100.0, 19.9, -19.9, 3.0, -3.0]):
        for sequence in (0, 1):
            data["current"][8 * sequence + position] = data["old"][8 * sequence + position] + jump
        for sequence in (2, 3):
            data["reference"][8 * sequence + position] = data["current"][8 * sequence + position] + jump
    for sequence, jump in ((4, 30.0), (5, -30.0), (6, 19.0), (7, -2.0)):
        data["current"][8 * sequence : 8 * sequence + 8] = data["old"][8 * sequence : 8 * sequence + 8] + jump
    return data


def others():
    equal = [0.1] * 3 + [1.0, 0.0, 0.0] + [0.7] + [0.3] * 2
    # Of the groups all are right, none, one, some; the first two have equal rewards and equal lengths of the right ones.
    outcomes = rollout(15, [3, 3, 3, 3], [4, 4, 4, 2, 5, 3, 6, 1, 4, 7, 3, 5], rewards=[1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0])
    outcomes["sequence_flags"] = torch.tensor([2, 2, 3, 1, 0, 0, 2, 1, 0, 2, 2, 1], dtype=torch.uint8)
    situations = {
        "typical": rollout(11, [4, 4], [3, 6, 1, 4, 7, 2, 5, 3]) | {"token_limit": torch.tensor([8])},
        "uneven-groups": rollout(12, [1, 4, 2], [3, 0, 5, 2, 6, 4, 1]),
        "zero-variance": rollout(13, [3, 3, 1, 2], [2, 4, 1, 3, 5, 2, 4, 1, 2], rewards=equal),
        "outcomes": outcomes,
        "empty-completions": rollout(14, [4, 3], [0, 5, 0, 3, 0, 0, 0]),
        "extreme-ratios": extreme_ratios(16),
        "on-policy": rollout(17, [4, 4], [5, 2, 3, 6, 1, 4, 2, 3], on_policy=True),
        "all-dropped": rollout(18, [2, 2], [2, 3, 1, 2], rewards=[1, 1, 0, 0]),
        "one-token": rollout(19, [1], [1]),
        "no-tokens": rollout(20, [2, 2], [0, 0, 0, 0]),
        "no-groups": rollout(21, [], []),
    }
    for algorithm, settings in OTHERS.items():
        for seed, (situation, data) in enumerate(situations.items()):
            name = f"{algorithm.__name__.replace('_', '-')}-{situation}"
            write(name, algorithm, with_critic(data, seed) if algorithm is ppo else data, settings)


def main():
    lengths = torch.Generator().manual_seed(1)
    draw = lambda count, low, high: torch.randint(low, high, (count,), generator=lengths).tolist()
    write("grpo-typical", grpo, rollout(1, [4, 4, 4], draw(12, 1, 13)), SETTINGS)
    write("grpo-uneven-groups", grpo, rollout(2, [1, 7, 2, 5, 3], draw(18, 0, 9)), SETTINGS)
    equal = [0.1] * 3 + [1.0, 0.0, 0.0] + [0.7] + [0.3] * 2
    write("grpo-zero-variance", grpo, rollout(3, [3, 3, 1, 2], draw(9, 1, 8), rewards=equal), SETTINGS)
    write("grpo-empty-completions", grpo, rollout(4, [4, 4], [0, 5, 0, 3, 2, 0, 0, 7]), SETTINGS)
    # Every jump under a negative and a positive advantage: first in the ratio, then in the reference.
    extreme = rollout(5, [4, 4], [8] * 8, rewards=[0, 1, 0, 1, 0.2, 0.9, 0.4, 0.4])
    for position, jump in enumerate([25.0, -25.0, 100.0, -100.0, 19.9, -19.9, 3.0, -3.0]):
        for sequence in (0, 1):
            extreme["current"][8 * sequence + position] = extreme["old"][8 * sequence + position] + jump
        for sequence in (2, 3):
            extreme["reference"][8 * sequence + position] = extreme["current"][8 * sequence + position] + jump
    write("grpo-extreme-ratios", grpo, extreme, SETTINGS)
    write("grpo-on-policy", grpo, rollout(6, [8, 8], draw(16, 1, 20), on_policy=True), SETTINGS)
    write("grpo-no-tokens", grpo, rollout(7, [2, 2], [0, 0, 0, 0]), SETTINGS)
    write("grpo-no-groups", grpo, rollout(8, [], []), SETTINGS)
    others()
    write("grpo-large", grpo, rollout(9, [8] * 8, draw(64, 0, 40), spread=0.15), SETTINGS)


if __name__ == "__main__":
    main()
