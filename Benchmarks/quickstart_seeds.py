"""Runs `quickstart` with several seeds, one after another, and prints what each stage came to.

    python3 Benchmarks/quickstart_seeds.py [--seeds 1,2,3,4,5] [--algo grpo] [--binary .build/release/nano-reasoner] [more options of quickstart]

A seed changes the SFT examples, the RL prompts, every sampled token and the held-out problems. "Beyond" means that RL's 95 % Wilson interval lies above
SFT's; p is McNemar's exact test on the same problems. Needs nothing but Python and a build.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seeds", default="1,2,3,4,5")
parser.add_argument("--algo", default="grpo")
parser.add_argument("--binary", default=str(ROOT / ".build/release/nano-reasoner"))
options, more = parser.parse_known_args()


def share(result):
    return f"{100 * result['pass_at_1']:.1f} [{100 * result['pass_at_1_low']:.1f}, {100 * result['pass_at_1_high']:.1f}]"


print("| seed | base | SFT | " + options.algo + " | gain | McNemar p | beyond | sampled: SFT | " + options.algo + " | length: SFT | " + options.algo + " | seconds |")
print("|---|---|---|---|---|---|---|---|---|---|---|---|")
beyond = 0
seeds = options.seeds.split(",")
for seed in seeds:
    with tempfile.TemporaryDirectory() as folder:
        command = [options.binary, "quickstart", "--algo", options.algo, "--seed", seed, "--out", folder + "/run", "--json", "--quiet"] + more
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    base, sft, rl = result["stages"]
    change = result["change"]
    is_beyond = rl["greedy"]["pass_at_1_low"] > sft["greedy"]["pass_at_1_high"]
    beyond += is_beyond
    cells = [
        seed, share(base["greedy"]), share(sft["greedy"]), share(rl["greedy"]), f"{change['points']:+.1f}", f"{change['mcnemar_p']:.2g}",
        "yes" if is_beyond else "no", share(sft["sampled"]), share(rl["sampled"]), f"{sft['greedy']['mean_length']:.1f}",
        f"{rl['greedy']['mean_length']:.1f}", f"{result['seconds']:.0f}"]
    print("| " + " | ".join(cells) + " |", flush=True)
print(f"\nRL is beyond SFT's interval in {beyond} of {len(seeds)} seeds.")
