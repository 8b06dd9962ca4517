"""Hands a run of nano-reasoner to Weights & Biases, through W&B's own SDK.

Reads JSON lines from standard input: first what the run is, then its steps, then its end. It is a process of its own, so that
nothing here can stop or slow the training. Lines on standard error that begin with "nano-reasoner:" are shown to the user.
"""

import json
import os
import signal
import sys


def say(text):
    print("nano-reasoner: " + " ".join(str(text).split())[:300], file=sys.stderr, flush=True)


def begin(wandb, start):
    settings = dict(
        project=start["project"], name=start.get("name"), group=start.get("group"), tags=start.get("tags") or None,
        id=start["id"], resume="allow", dir=start["dir"], config=start.get("config"), job_type=start.get("stage"))
    try:
        return wandb.init(**settings)
    except Exception as error:
        # Not logged in, no network: what is logged can still be sent later with `wandb sync`.
        say(f"W&B is not reachable ({error}); the run is kept offline in {start['dir']}/wandb, send it with: wandb sync")
        return wandb.init(**{**settings, "mode": "offline", "resume": None})


def main():
    # The run tells when it stops; Ctrl-C in its terminal is not for this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(10)
    find_user_packages()
    try:
        import wandb
    except ImportError as error:
        say(f"no W&B SDK in {sys.executable} ({error}); install it with: {sys.executable} -m pip install wandb, or set NR_PYTHON")
        return 3
    run = None
    code = 1
    for line in sys.stdin:
        message = json.loads(line)
        kind = message["type"]
        if kind == "start":
            run = begin(wandb, message)
        elif kind == "step":
            record = message["record"]
            left_out = {"stage", "step", "time", "nonfinite", "proof"}
            values = {key: float("nan") if value is None else value for key, value in record.items() if key not in left_out}
            if "samples" in message:
                values["samples"] = wandb.Table(columns=message["columns"], data=message["samples"])
            # Steps that an earlier part of the run has sent already are dropped by W&B: they are the same steps.
            run.log(values, step=record["step"])
        elif kind == "end":
            code = 0 if message["finished"] else 1
            break
    if run is not None:
        run.finish(exit_code=code)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:
        say(f"the W&B helper failed: {type(error).__name__}: {error}")
        sys.exit(1)
