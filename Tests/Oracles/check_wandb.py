"""Reads the offline runs in RUN/wandb back, through W&B's own message classes, and compares them with the run's files: every number,
the configuration, project, name, group, tags, the id of all parts, and the samples' tables.

    python check_wandb.py RUN [--project P] [--name N] [--group G] [--tags a,b]
"""

import argparse
import glob
import json
import struct
import sys

from wandb.proto import wandb_internal_pb2


def records(path):
    """The records of a .wandb file: a header of seven bytes, then LevelDB's log format (blocks of 32 KiB)."""
    data = open(path, "rb").read()
    assert data[:4] == b":W&B", f"{path}: not a W&B file"
    position, parts = 7, b""
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        if kind == 0:
            return
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    for option in ("project", "name", "group", "tags"):
        parser.add_argument("--" + option)
    options = parser.parse_args()
    bad = 0

    def expect(what, found, wanted):
        nonlocal bad
        if found != wanted:
            print(f"{what}: {found!r} read, {wanted!r} expected")
            bad += 1

    files = sorted(glob.glob(options.run + "/wandb/offline-run-*/*.wandb"))
    if not files:
        print("no offline run")
        return 1
    identifier = json.load(open(options.run + "/wandb/nano-reasoner.json"))["id"]
    history, tables = {}, {}
    for path in files:
        config = {}
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run = record.run
                expect("id", run.run_id, identifier)
                if options.project: expect("project", run.project, options.project)
                if options.name: expect("name", run.display_name, options.name)
                if options.group: expect("group", run.run_group, options.group)
                if options.tags: expect("tags", sorted(run.tags), sorted(options.tags.split(",")))
                for item in run.config.update:
                    config[item.key] = json.loads(item.value_json)
            elif kind == "config":
                for item in record.config.update:
                    config[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
            elif kind == "history":
                row = {(item.key or ".".join(item.nested_key)): item.value_json for item in record.history.item}
                step = int(row["_step"])
                # What W&B has already it keeps: a resumed run sends its last steps again.
                history.setdefault(step, row)
                if "samples.path" in row:
                    tables.setdefault(step, (path, json.loads(row["samples.path"])))
        logged = json.load(open(options.run + "/run.json"))
        for key, value in logged.items():
            expect(f"configuration {key}", config.get(key), value)
    compared = 0
    lines = [json.loads(line) for line in open(options.run + "/metrics.jsonl")]
    for line in lines:
        row = history.get(line["step"])
        if row is None:
            print(f"step {line['step']} is missing")
            bad += 1
            continue
        for key, value in line.items():
            if key in {"stage", "step", "time", "nonfinite", "proof"}:
                continue
            found = json.loads(row[key]) if key in row else None
            compared += 1
            same = found == value or (value is None and (found == "NaN" or found != found))
            # Times of a step that a resumed run made again are those of the first time.
            if not same and not (len(files) > 1 and (key == "elapsed" or "seconds" in key or "per_second" in key or "mebibytes" in key)):
                print(f"{key} step {line['step']}: {found} read, {value} logged")
                bad += 1
    print(f"{len(files)} part(s), id {identifier}, {len(lines)} steps, {compared} numbers compared")
    rows = 0
    samples = {}
    for line in open(options.run + "/samples.jsonl") if tables else ():
        sample = json.loads(line)
        samples.setdefault(sample["step"], []).append(sample)
    for step, (path, entry) in tables.items():
        table = json.load(open(path.rsplit("/", 1)[0] + "/files/" + entry))
        for row, sample in zip(table["data"], samples[step]):
            row = dict(zip(table["columns"], row))
            for key in ("step", "question", "completion", "reward", "length", "extracted", "gold", "reason"):
                expect(f"table of step {step}, {key}", row[key], sample[key])
            expect("advantage", row["advantage"], sample.get("advantage"))
            rows += 1
    print(f"{len(tables)} tables, {rows} rows compared")
    print("FAILED" if bad else "all equal")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
