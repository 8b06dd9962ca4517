"""Recomputes, with hashlib alone, what can be recomputed of a run's proof without the program (docs/proof.md): every link of
metrics.jsonl, the digests of every line's numbers, the weights and moments of every checkpoint, the weights of the result.

    python3 check_proof.py RUN
"""

import hashlib
import json
import math
import pathlib
import struct
import sys


def u64(number):
    return struct.pack("<Q", number % 2**64)


def f64(number):
    if number is None or not math.isfinite(number):
        return u64(0x7FF8000000000000)
    return struct.pack("<d", number)


def text(value):
    data = value.encode()
    return u64(len(data)) + data


def sha256(data):
    return hashlib.sha256(data).digest()


def is_measured(name):
    return name.startswith("seconds/") or name.endswith("_per_second") or name == "peak_mebibytes"


def numbers(line, is_meant):
    fields = {"stage", "step", "time", "elapsed", "nonfinite", "proof"}
    return [text(name) + f64(value) for name, value in line.items() if name not in fields and is_meant(name)]


def link(before, line):
    data = before + text(line["stage"]) + u64(line["step"])
    for key, value in line["proof"].items():
        if key != "chain":
            digests = value if isinstance(value, list) else [value]
            data += text(key) + u64(len(digests)) + b"".join(bytes.fromhex(digest) for digest in digests)
    return sha256(data)


def tensors(path):
    """name → bytes of a safetensors file"""
    data = pathlib.Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    start = 8 + length
    return {name: data[start + entry["data_offsets"][0]:start + entry["data_offsets"][1]] for name, entry in header.items()}


def digest_of_tensors(named):
    data = b""
    for name in sorted(named):
        content = named[name]
        data += text(name) + u64(len(content))
        data += b"".join(sha256(content[i:i + (1 << 20)]) for i in range(0, len(content), 1 << 20))
    return sha256(data).hex()


def of_checkpoint(path):
    weights, state = {}, {}
    for name, content in tensors(path).items():
        if name.startswith("value.") and not name.startswith("value.value_head."):
            weights[name.removeprefix("value.")] = content
        else:
            state[name] = content
    return digest_of_tensors(weights), digest_of_tensors(state)


def main(run):
    record = json.loads((run / "run.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    by_step = {line["step"]: line["proof"] for line in lines}
    before = bytes.fromhex(record["run"])
    for line in lines:
        proof = line["proof"]
        is_held_out = lambda name: name.startswith("held_out_")
        assert sha256(b"".join(numbers(line, lambda n: not is_measured(n) and not is_held_out(n)))).hex() == proof["numbers"], line["step"]
        held_out = numbers(line, is_held_out)
        assert (sha256(b"".join(held_out)).hex() if held_out else None) == proof.get("held_out"), line["step"]
        before = link(before, line)
        assert before.hex() == proof["chain"], line["step"]
    checkpoints = 0
    for folder in run.glob("checkpoints/step-*"):
        state = json.loads((folder / "state.json").read_text())
        proof = by_step[state["step"]]
        assert of_checkpoint(folder / "state.safetensors") == (proof["weights"], proof["state"]), folder
        checkpoints += 1
    results = 0
    for path, prefix in [("adapter/adapter_model.safetensors", "base_model.model."), ("model/model.safetensors", "")]:
        if (run / path).exists():
            named = {name.removeprefix(prefix): content for name, content in tensors(run / path).items()}
            assert digest_of_tensors(named) == lines[-1]["proof"]["weights"], path
            results += 1
    print(json.dumps({"steps": len(lines), "checkpoints": checkpoints, "results": results, "chain": before.hex()}))


main(pathlib.Path(sys.argv[1]))
