"""@ID@: REINFORCE with the mean of a group's rewards as baseline. A beginning: change it into your algorithm."""

reference = "Williams 1992"


def advantages(rollout):
    """Stage 1, once per rollout: rewards to advantages, a number a sequence or a token. Without this function: GRPO's."""
    return rollout.rewards - rollout.spread_groups(rollout.mean_per_group(rollout.rewards))


def loss(batch):
    """Stage 2, once per micro-batch: divide by the update's totals, never by what the micro-batch holds."""
    value = -(batch.current * batch.advantages).sum() / batch.update_tokens
    return @RESULT@
