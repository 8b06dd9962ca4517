"""Makes the golden files of the plugins: loss and derivatives by PyTorch autograd in float64.

    python Tests/PluginHostTests/Goldens/make_goldens.py     # needs torch and safetensors

Each file holds one rollout as `plugin eval` reads it and, for each of its settings, what a plugin has to make of it:
`expected.N.advantages`, `.loss`, `.d_current`; the settings are in the metadata as `settings.N`. The formulas are written
from ALGORITHMS.md and the papers, not from the plugins. Advantages are rounded to float32 between the two stages, as the
contract does.
"""

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


def write(name, algorithm, data, settings):
    tensors, metadata = dict(data), {"algorithm": algorithm.__name__, "count": str(len(settings))}
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
    write("grpo-large", grpo, rollout(9, [8] * 8, draw(64, 0, 40), spread=0.15), SETTINGS)


if __name__ == "__main__":
    main()
