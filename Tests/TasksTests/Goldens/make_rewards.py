"""Writes rewards.jsonl: what TRL's reward functions say of a table of completions. Run with TRL 1.16 and math-verify:

    python Tests/TasksTests/Goldens/make_rewards.py > Tests/TasksTests/Goldens/rewards.jsonl
"""

import json

from trl.rewards import accuracy_reward, get_soft_overlong_punishment, think_format_reward

# Completions that open their thinking themselves, and whether they have this program's whole form: it asks for a box after the thinking, and
# for one </think> only, neither of which TRL's think_format_reward does.
FORMS = [
    ("<think>\nTwo and two.\n</think>\n\\boxed{4}", True),
    ("<think></think>\\boxed{4}", True),
    ("<think>a</think>so \\boxed{\\frac{1}{2}} it is", True),
    ("<think>a \\boxed{3}</think>\nthen \\boxed{4}", True),
    ("<think>a</think>\n\\boxed{4", False),
    ("<think>a</think>\nThe answer is 4.", False),
    ("<think>a \\boxed{4}</think>\nas said", False),
    ("<think>a</think>b</think>\\boxed{4}", False),
    ("<think>a<think>b</think>\\boxed{4}", False),
    ("<think>a</think><think>\\boxed{4}", False),
    ("<think>a \\boxed{4}", False),
    ("a</think>\\boxed{4}", False),
    ("\n<think>a</think>\\boxed{4}", False),
    ("well <think>a</think>\\boxed{4}", False),
    ("\\boxed{4}", False),
    ("", False),
]

# One box each: of several TRL's accuracy_reward reads all, this program the last.
ANSWERS = [
    ("so \\boxed{4}", "$4$"),
    ("so \\boxed{5}", "$4$"),
    ("\\boxed{\\frac{1}{2}}", "$\\frac{1}{2}$"),
    ("\\boxed{0.5}", "$\\frac{1}{2}$"),
    ("no box at all", "$4$"),
    ("\\boxed{x+1}", "$1+x$"),
    ("\\boxed{-7}", "$7$"),
    ("\\boxed{(1,2)}", "$(1,2)$"),
    ("\\boxed{(2,1)}", "$(1,2)$"),
]


def dialogue(text):
    return [{"role": "assistant", "content": text}]


for limit, buffer in [(100, 20), (384, 76), (20480, 4096), (7, 7), (8, 1), (1, 1)]:
    punishment = get_soft_overlong_punishment(max_completion_len=limit, soft_punish_cache=buffer)
    lengths = sorted({0, 1, limit // 2, limit - buffer, limit - buffer + 1, limit - buffer // 2, limit - 1, limit, limit + 1})
    for length, reward in zip(lengths, punishment([[1] * length for length in lengths])):
        print(json.dumps({"kind": "overlong", "limit": limit, "buffer": buffer, "length": length, "reward": reward}))

for (completion, has_form), think in zip(FORMS, think_format_reward([dialogue(text) for text, _ in FORMS])):
    print(json.dumps({"kind": "format", "completion": completion, "form": has_form, "think": think}))

for (completion, solution), reward in zip(ANSWERS, accuracy_reward([dialogue(text) for text, _ in ANSWERS], [gold for _, gold in ANSWERS])):
    print(json.dumps({"kind": "accuracy", "completion": completion, "solution": solution, "reward": reward}))
