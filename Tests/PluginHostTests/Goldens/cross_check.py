"""Holds the golden files against code nobody here wrote: polgrad's reference losses and TRL's GRPOTrainer.

    python -m pip install polgrad trl
    python Tests/PluginHostTests/Goldens/cross_check.py

polgrad computes advantages, loss and derivatives; TRL's `_compute_loss` runs as it is on log-probabilities that it is handed.
Compared are the cases they can express: TRL divides by the batch's own tokens, neither knows a length factor, LEAD or a clamp.
"""

import pathlib
from unittest.mock import MagicMock

import torch
from polgrad import advantages as pa, losses as pl
from polgrad.aggregate import Aggregation
from polgrad.kl import KLEstimator, KLLossConfig
from safetensors import safe_open
from safetensors.torch import load_file
from trl import GRPOTrainer

FOLDER = pathlib.Path(__file__).parent
SITUATIONS = ["typical", "on-policy", "uneven-groups", "outcomes"]


class Golden:
    def __init__(self, name):
        path = FOLDER / f"{name}.safetensors"
        with safe_open(path, "pt") as file:
            self.metadata = file.metadata()
        self.data = load_file(path)
        token = self.data["token_offsets"].tolist()
        self.rows = [range(a, b) for a, b in zip(token, token[1:]) if b > a]
        self.sequences = len(token) - 1
        group = self.data["group_offsets"]
        self.groups = torch.repeat_interleave(torch.arange(len(group) - 1), group[1:] - group[:-1])
        self.width = max(map(len, self.rows))
        self.mask = torch.tensor([[k < len(row) for k in range(self.width)] for row in self.rows])
        self.limit = int(self.data["token_limit"]) if "token_limit" in self.data else self.width

    def padded(self, name):
        x = (self.data[name] if isinstance(name, str) else name).double()
        return torch.stack([torch.nn.functional.pad(x[list(row)], (0, self.width - len(row))) for row in self.rows])

    def packed(self, x):
        return x[self.mask]

    def index(self, settings):
        return next(i for i in range(int(self.metadata["count"])) if self.metadata[f"settings.{i}"] == settings)

    def expected(self, index, name):
        return self.data[f"expected.{index}.{name}"].double()


compared = 0


def same(what, found, expected, tolerance=1e-6):
    global compared
    compared += 1
    worst = ((found - expected).abs() - tolerance * expected.abs()).max().item()
    print(f"{'ok ' if worst <= 1e-9 else 'OFF'} {what}")
    if worst > 1e-9:
        raise SystemExit(f"{what}: off by {worst}")


def trl(golden, current, advantages, loss_type, low, high, beta=0.0, sequence=False):
    trainer = MagicMock()
    trainer.top_entropy_quantile, trainer.off_policy_mask_threshold, trainer.beta = 1.0, None, beta
    trainer.importance_sampling_level = "sequence" if sequence else "token"
    trainer.loss_type, trainer.epsilon_low, trainer.epsilon_high = loss_type, low, high
    trainer.args.delta, trainer.args.use_bias_correction_kl = None, False
    trainer.use_vllm = trainer._entropy_bonus_enabled = trainer.aux_loss_enabled = False
    trainer.current_gradient_accumulation_steps = trainer.accelerator.num_processes = trainer.args.steps_per_generation = 1
    trainer.accelerator.gather = trainer.accelerator.gather_for_metrics = lambda x: x
    trainer.max_completion_length, trainer.model.training = golden.limit, True
    trainer._get_per_token_logps_and_entropies = lambda *a, **k: (current, torch.zeros_like(current), None)
    mask = golden.mask.long()
    inputs = {
        "prompt_ids": mask, "prompt_mask": mask, "completion_ids": mask, "completion_mask": mask, "advantages": advantages,
        "old_per_token_logps": golden.padded("old"), "ref_per_token_logps": golden.padded("reference"),
        "num_items_in_batch": mask.sum(),
    }
    return GRPOTrainer._compute_loss(trainer, None, inputs)


def policy(name, setting, aggregation, low, high, trl_type, beta=0.0, sequence=False, scale="std"):
    for situation in SITUATIONS:
        path = f"{name}-{situation}"
        if not (FOLDER / f"{path}.safetensors").exists():
            continue
        golden = Golden(path)
        i = golden.index(setting)
        rewards = golden.data["rewards"].double()
        if golden.groups.bincount().min() > 1 and name not in ("grpo-lead", "dapo"):
            found = pa.grpo_advantages(rewards, golden.groups, pa.GroupNormConfig(center=True, scale=scale, unbiased=True, eps=1e-6))
            packed = torch.cat([a.repeat(n) for a, n in zip(found, golden.data["token_offsets"].diff())])
            same(f"{path} {setting}: polgrad advantages", packed, golden.expected(i, "advantages"))
        if len(golden.rows) < golden.sequences and aggregation is not Aggregation.TOKEN_MEAN:
            continue  # padded code has no empty completion
        keep = golden.data.get(f"expected.{i}.keep")
        if keep is not None and not keep.all():
            continue
        advantages = golden.padded(golden.expected(i, "advantages"))
        for who in ("polgrad", "TRL"):
            current = golden.padded("current").requires_grad_()
            if who == "polgrad":
                config = pl.PolicyLossConfig(
                    ratio=pl.RatioKind.SEQUENCE if sequence else pl.RatioKind.TOKEN, surrogate=pl.SurrogateKind.PG_CLIP,
                    clip=pl.ClipConfig(low, high), aggregation=aggregation,
                    norm_len=golden.limit if aggregation is Aggregation.TOKEN_SUM_NORM else None,
                    kl=KLLossConfig(kind=KLEstimator.K3, coef=beta) if beta else None)
                loss = pl.policy_loss(
                    config, logprobs=current, old_logprobs=golden.padded("old"), advantages=advantages,
                    response_mask=golden.mask, ref_logprobs=golden.padded("reference") if beta else None).loss
            else:
                loss = trl(golden, current, advantages[:, 0], trl_type, low, high, beta, sequence)
            (d,) = torch.autograd.grad(loss, current)
            same(f"{path} {setting}: {who} loss", loss.detach().reshape(1), golden.expected(i, "loss"))
            same(f"{path} {setting}: {who} d_current", golden.packed(d), golden.expected(i, "d_current"))


def critic():
    for situation in SITUATIONS:
        golden = Golden(f"ppo-{situation}")
        for setting, gamma, lam, clip in [("", 0.99, 0.95, None), ("variant=paper", 1.0, 1.0, 0.2)]:
            i = golden.index(setting)
            rewards = torch.zeros_like(golden.padded("old"))
            token = golden.data["token_offsets"].diff()
            for row, reward in enumerate(golden.data["rewards"].double()[token > 0]):
                rewards[row, len(golden.rows[row]) - 1] = reward
            if clip:
                rewards -= 0.05 * (golden.padded("old") - golden.padded("reference"))
            values = golden.padded("values").requires_grad_()
            old_values = golden.padded("old_values")
            raw, returns = pa.gae(rewards, old_values, config=pa.GAEConfig(gamma=gamma, lam=lam), response_mask=golden.mask)
            path = f"ppo-{situation} {setting}"
            same(f"{path}: polgrad returns", golden.packed(returns), golden.expected(i, "returns"))
            # polgrad adds its epsilon under the root, the contract beside it
            whitened = golden.packed(pa.whiten(raw, golden.mask, eps=0.0))
            same(f"{path}: polgrad advantages", whitened, golden.expected(i, "advantages"), 1e-5)
            advantages = golden.padded(golden.expected(i, "advantages"))
            current = golden.padded("current").requires_grad_()
            config = pl.PolicyLossConfig(
                ratio=pl.RatioKind.TOKEN, surrogate=pl.SurrogateKind.PG_CLIP, clip=pl.ClipConfig(0.2, 0.2),
                aggregation=Aggregation.TOKEN_MEAN)
            loss = pl.policy_loss(
                config, logprobs=current, old_logprobs=golden.padded("old"), advantages=advantages, response_mask=golden.mask).loss
            loss = loss + pl.value_loss(
                values, old_values, golden.padded(golden.expected(i, "returns")), golden.mask, clip_eps=clip,
                aggregation=Aggregation.TOKEN_MEAN).loss
            d_current, d_values = torch.autograd.grad(loss, [current, values])
            same(f"{path}: polgrad loss", loss.detach().reshape(1), golden.expected(i, "loss"))
            same(f"{path}: polgrad d_current", golden.packed(d_current), golden.expected(i, "d_current"))
            same(f"{path}: polgrad d_values", golden.packed(d_values), golden.expected(i, "d_values"))


def main():
    mean = Aggregation.TOKEN_MEAN
    policy("grpo", "", mean, 0.2, 0.2, "bnpo")
    policy("grpo", "variant=paper", Aggregation.SEQ_MEAN_TOKEN_MEAN, 0.2, 0.2, "grpo", beta=0.04)
    policy("dr-grpo", "variant=paper", Aggregation.TOKEN_SUM_NORM, 0.2, 0.2, "dr_grpo", scale="none")
    policy("gspo", "", Aggregation.SEQ_MEAN_TOKEN_MEAN, 0.2, 0.2, "grpo", sequence=True)
    policy("gspo", "variant=paper", Aggregation.SEQ_MEAN_TOKEN_MEAN, 3e-4, 4e-4, "grpo", sequence=True)
    policy("dapo", "", mean, 0.2, 0.28, "dapo")
    policy("dapo", "variant=paper", mean, 0.2, 0.28, "dapo")
    policy("grpo-lead", "", mean, 0.2, 0.2, "bnpo")
    critic()
    print(f"{compared} comparisons agree")


if __name__ == "__main__":
    main()
