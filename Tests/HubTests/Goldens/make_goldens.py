"""Makes every file beside this one with pyarrow: ~/.cache/peers/bin/python make_goldens.py

Three data sets in the folders and with the columns and types that they have on the hub, a few rows of our own in each: `gsm8k` (openai/gsm8k),
`openr1` (open-r1/OpenR1-Math-220k), `math500` (HuggingFaceH4/MATH-500). `rows.json` holds the rows as pyarrow reads them back. `types.parquet`
holds what JSON has no form for, and `lines.jsonl` stands also compressed, in two members and in two frames.
"""

import datetime
import decimal
import gzip
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent


def write(path, rows, schema, **options):
    path = HERE / path
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, **options)


# openai/gsm8k: two configurations with two splits each.
pair = pa.schema([("question", pa.string()), ("answer", pa.string())])
gsm8k = {
    "main/train": [
        {"question": "Ann has 3 boxes of 4 pens. How many pens?", "answer": "She has 3*4=<<3*4=12>>12 pens.\n#### 12"},
        {"question": "Bob buys 2 toys at $500 each. What does he pay?", "answer": "He pays 2*500=$<<2*500=1000>>1,000.\n#### 1,000"},
        {"question": "What is half of 7?", "answer": "Half is 7/2=<<7/2=3.5>>3.5\n#### 3.5"},
    ],
    "main/test": [{"question": "What is 5 + 6?", "answer": "5+6=<<5+6=11>>11\n#### 11"}],
    "socratic/train": [{"question": "What is 2 + 2?", "answer": "How much is it? ** 2+2=<<2+2=4>>4\n#### 4"}],
    "socratic/test": [{"question": "What is 2 + 3?", "answer": "How much is it? ** 2+3=<<2+3=5>>5\n#### 5"}],
}
for name, rows in gsm8k.items():
    write(f"gsm8k/{name}-00000-of-00001.parquet", rows, pair)
(HERE / "gsm8k/README.md").write_text("""---
license: mit
dataset_info:
- config_name: main
  features:
  - name: question
    dtype: string
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: main/test-*
- config_name: socratic
  data_files:
  - split: train
    path: socratic/train-*
  - split: test
    path: socratic/test-*
---

# A few rows in the form of GSM8K
""")

# open-r1/OpenR1-Math-220k: lists of texts, of truths and of structures.
turns = pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())]))
traces = pa.schema([
    ("problem", pa.string()), ("solution", pa.string()), ("answer", pa.string()), ("problem_type", pa.string()), ("question_type", pa.string()),
    ("source", pa.string()), ("uuid", pa.string()), ("is_reasoning_complete", pa.list_(pa.bool_())), ("generations", pa.list_(pa.string())),
    ("correctness_math_verify", pa.list_(pa.bool_())), ("correctness_llama", pa.list_(pa.bool_())), ("finish_reasons", pa.list_(pa.string())),
    ("correctness_count", pa.int64()), ("messages", turns),
])


def row(number, complete, verified, llama, chosen):
    generations = [f"<think>\nThought {number}.{k}, wörds & \"quotes\".\n</think>\n\nSo \\boxed{{{number}}}." for k in range(len(complete))]
    return {
        "problem": f"Problem {number}?", "solution": f"Solved by hand: \\boxed{{{number}}}", "answer": f"{number}", "problem_type": "Algebra",
        "question_type": "math-word-problem", "source": "olympiads", "uuid": f"00000000-0000-0000-0000-{number:012}",
        "is_reasoning_complete": complete, "generations": generations, "correctness_math_verify": verified, "correctness_llama": llama,
        "finish_reasons": None if number % 2 else ["stop"] * len(complete), "correctness_count": sum(verified or [0]),
        "messages": [{"content": f"Problem {number}?", "role": "user"}, {"content": generations[chosen], "role": "assistant"}],
    }


openr1 = {
    "data/train-00000-of-00002": [
        row(1, [True, True], [True, False], None, 0), row(2, [True, True, True], [False, False, True], None, 2),
        # Right but cut off, then right and whole.
        row(3, [False, True], [True, True], None, 1),
    ],
    "data/train-00001-of-00002": [
        # Nothing is known to be right; the judging model found one right; what math-verify found right comes first.
        row(4, [True, False], [False, True], [False, True], 0), row(5, [True, True], [False, False], [False, True], 1),
        row(6, [True, True], [False, True], [True, False], 1),
    ],
    "extended/train-00000-of-00001": [row(7, [True], [True], None, 0)],
}
for name, rows in openr1.items():
    write(f"openr1/{name}.parquet", rows, traces, row_group_size=2)
(HERE / "openr1/README.md").write_text("""---
license: apache-2.0
configs:
  - config_name: all
    data_files:
      - split: default
        path: all/default-*
      - split: extended
        path: "all/extended-*"
  - config_name: default
    data_files:
      - split: train
        path: data/train-*
  - config_name: extended
    data_files:
      - split: train
        path:
          - extended/train-*
dataset_info:
  - config_name: default
---
# A few rows in the form of OpenR1-Math-220k
""")

math500 = [
    {"problem": "Convert $(0,3)$ to polar form.", "solution": "We have \\boxed{\\left( 3, \\frac{\\pi}{2} \\right)}.",
     "answer": "\\left( 3, \\frac{\\pi}{2} \\right)", "subject": "Precalculus", "level": 2, "unique_id": "test/precalculus/807.json"},
    {"problem": "What is $1+1$?", "solution": "It is \\boxed{2}.", "answer": "2", "subject": "Prealgebra", "level": 1, "unique_id": "test/prealgebra/1.json"},
]
(HERE / "math500").mkdir(exist_ok=True)
(HERE / "math500/test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in math500))
(HERE / "math500/README.md").write_text("---\ntask_categories:\n- text-generation\nlanguage:\n- en\n---\n\n# A few rows in the form of MATH-500\n")

write("types.parquet", [
    {"text": "a", "number": float("nan"), "whole": 2**53 + 1, "small": 0.1, "day": datetime.date(2025, 1, 2), "price": decimal.Decimal("1.50"), "raw": b"bytes",
     "word": "x", "pairs": [("k", 1)]},
    {"text": "b \u2028 \U0001d465", "number": float("inf"), "whole": -1, "small": None, "day": datetime.date(2025, 1, 3), "price": None, "raw": b"b", "word": "y", "pairs": []},
], pa.schema([
    ("text", pa.large_string()), ("number", pa.float64()), ("whole", pa.int64()), ("small", pa.float64()), ("day", pa.date32()), ("price", pa.decimal128(6, 2)),
    ("raw", pa.binary()), ("word", pa.dictionary(pa.int32(), pa.string())), ("pairs", pa.map_(pa.string(), pa.int64())),
]))

(HERE / "rows.json").write_text(json.dumps(
    {str(path.relative_to(HERE)): pq.read_table(path).to_pylist() for path in sorted(HERE.glob("*/**/*.parquet"))}, indent=1) + "\n")

lines = [json.dumps({"question": f"What is {n} + 1?", "answer": f"{n + 1}"}) + "\n" for n in range(40)]
halves = ["".join(lines[:20]).encode(), "".join(lines[20:]).encode()]
(HERE / "lines.jsonl").write_bytes(b"".join(halves))
(HERE / "lines.jsonl.gz").write_bytes(b"".join(gzip.compress(half, mtime=0) for half in halves))
(HERE / "lines.jsonl.zst").write_bytes(b"".join(pa.Codec("zstd").compress(half, asbytes=True) for half in halves))
