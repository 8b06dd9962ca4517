"""Makes every file beside this one with the safetensors package and Python's own json and hashlib: ~/.cache/peers/bin/python make_goldens.py

`types.safetensors`: every element type this program reads, a scalar, an empty tensor and metadata, as the safetensors package writes them.
`numbers.json`: decimal texts with the bits of the float64 that Python reads them as.
`digests.json`: SHA-256 of the bytes 0, 1, 2, … (modulo 251), for lengths around the block size.
"""

import hashlib
import json
import pathlib
import struct

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
HALVES = [0.0, -0.0, 1.0, -1.5, 65504.0, 6e-8, 6.1035e-05, 0.333251953125, float("inf"), float("-inf")]
NUMBERS = [
    "0", "-0", "0.0", "-0.0", "1", "9007199254740993", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
    "123456789012345678901234567890", "1e0", "1E+2", "1e-2", "0.1", "3.141592653589793", "2.2250738585072011e-308", "5e-324",
    "1.7976931348623157e308", "1.00000000000000011102230246251565", "8.41e21", "4.35", "1e23", "0.000001", "1e-7",
]

save_file({
    "float32": torch.tensor([[0.0, -0.0, 1.5], [3.4028234e38, 1e-45, -7.25]]),
    "float64": torch.tensor([0.1, -1e300], dtype=torch.float64),
    "float16": torch.tensor(HALVES, dtype=torch.float16),
    "bfloat16": torch.tensor([1.0, -2.5, 3.3895e38, 1e-40, 0.10009765625], dtype=torch.bfloat16),
    "int64": torch.tensor([-(2**63), -1, 2**63 - 1], dtype=torch.int64),
    "int32": torch.tensor([[-(2**31)], [2**31 - 1]], dtype=torch.int32),
    "uint8": torch.tensor([0, 7, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "näme \"quoted\"": torch.tensor([1.0]),
}, HERE / "types.safetensors", metadata={"format": "pt", "made by": "the safetensors package"})

bits = lambda text: f"{struct.unpack('<Q', struct.pack('<d', float(text)))[0]:016x}"
(HERE / "numbers.json").write_text(json.dumps({text: bits(text) for text in NUMBERS}, indent=1) + "\n")

LENGTHS = [0, 1, 3, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 4096]
(HERE / "digests.json").write_text(json.dumps(
    {str(n): hashlib.sha256(bytes(i % 251 for i in range(n))).hexdigest() for n in LENGTHS}, indent=1) + "\n")
