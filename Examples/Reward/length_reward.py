"""A reward of your own, with the signature of TRL's reward functions: `--reward answer --reward Examples/Reward/length_reward.py=0.2`.

It is asked about several completions at once and gives a number for each, or None where it has no say. Beside prompts, completions and
completion_ids every column of the data's row comes as a list, `answer` and `question` among them; docs/reward.md says what is there.
"""


def brevity(completions, completion_ids, answer, free=64, **kwargs):
    """0 for up to `free` tokens, from there -1 for every further 100; no say where nothing was written."""
    rewards = []
    for text, ids in zip(completions, completion_ids):
        rewards.append(min(0.0, (free - len(ids)) / 100) if text.strip() else None)
    return rewards
