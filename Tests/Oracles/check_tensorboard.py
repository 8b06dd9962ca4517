"""Reads RUN/tensorboard with TensorBoard's own reader and compares every number with RUN/metrics.jsonl and RUN/samples.jsonl.

    python check_tensorboard.py RUN
"""

import argparse
import json
import math
import struct
import sys
import collections

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util


def float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    run = parser.parse_args().run
    reader = EventAccumulator(run + "/tensorboard", size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    reader.Reload()
    tags = reader.Tags()
    records = [json.loads(line) for line in open(run + "/metrics.jsonl")]
    wanted = collections.defaultdict(dict)
    for record in records:
        for key, value in record.items():
            if key not in {"stage", "step", "time", "elapsed", "nonfinite", "proof"}:
                wanted[key][record["step"]] = math.nan if value is None else float32(value)
    bad = compared = 0
    for tag, values in wanted.items():
        found = [(event.step, event.value) for event in reader.Scalars(tag)]
        if [step for step, _ in found] != sorted(values):
            print(f"{tag}: steps differ: {len(found)} read, {len(values)} logged")
            bad += 1
            continue
        for step, value in found:
            compared += 1
            if value != values[step] and not (math.isnan(value) and math.isnan(values[step])):
                print(f"{tag} step {step}: {value} read, {values[step]} logged")
                bad += 1
    extra = set(tags["scalars"]) - set(wanted)
    if extra:
        print("scalars that metrics.jsonl does not have:", extra)
        bad += 1
    print(f"scalars: {len(wanted)} tags, {compared} values compared")

    try:
        samples = [json.loads(line) for line in open(run + "/samples.jsonl")]
    except FileNotFoundError:
        samples = []
    lengths = collections.defaultdict(list)
    ratios = collections.defaultdict(list)
    for sample in samples:
        if sample.get("kept", True):
            lengths[sample["step"]].append(sample["length"])
            ratios[sample["step"]] += sample.get("ratios", [])
    for tag, by_step, tolerance in (("completion_length", lengths, 0), ("ratio", ratios, 6e-5)):
        if not by_step or tag not in tags["histograms"]:
            continue
        events = {event.step: event.histogram_value for event in reader.Histograms(tag)}
        compared = 0
        for step, values in by_step.items():
            if not values:
                continue
            histogram = events[step]
            near = lambda a, b: abs(a - b) <= tolerance + 1e-9 * abs(b)
            good = (
                histogram.num == len(values) and near(histogram.min, min(values)) and near(histogram.max, max(values))
                and abs(histogram.sum - sum(values)) <= tolerance * len(values) + 1e-6 and sum(histogram.bucket) == len(values))
            if not good:
                print(f"{tag} step {step}: {histogram} read, {len(values)} values from {min(values)} to {max(values)} logged")
                bad += 1
            compared += 1
        print(f"histogram {tag}: {compared} steps compared")
    if samples:
        texts = reader.Tensors("samples/text_summary")
        for event in texts:
            text = tensor_util.make_ndarray(event.tensor_proto).item().decode()
            first = next(sample for sample in samples if sample["step"] == event.step)
            if first["question"] not in text or not all(line in text for line in first["completion"].split("\n")):
                print(f"text of step {event.step} is not that step's first sample")
                bad += 1
        print(f"text: {len(texts)} steps compared")
    print("FAILED" if bad else "all equal")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
