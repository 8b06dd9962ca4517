"""Makes nf4.safetensors beside this file with bitsandbytes (0.50.2, torch 2.13, on a CPU): ~/.cache/peers/bin/python make_nf4.py

For each matrix I: `I.source` F32 or BF16 [N, K], and what `quantize_4bit(…, "nf4", compress_statistics=True, blocksize=64)` makes of it:
`I.codes` U8, `I.absmax` U8, `I.nested_absmax` F32, `I.offset` F32 [1]; `I.plain_absmax` F32 without double quantisation; `I.float32` F32
[N, K], its values; `I.bfloat16` BF16 [N, K], those rounded (bitsandbytes' own, but that it makes 0 of what is below the normal numbers
where the machine has AVX-512 BF16). `map` F32 [256], the same for all.
"""

import pathlib

import numpy as np
import torch
import bitsandbytes.functional as bnb
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from safetensors.torch import save_file

torch.set_num_threads(1)
torch._dynamo.config.disable = True
random = np.random.Generator(np.random.PCG64(4))


def normal(*shape):
    return random.standard_normal(shape)


def spoiled(values, index, with_values):
    values.reshape(-1)[index] = with_values
    return values


cases = [
    (normal(16, 64), torch.float32),
    (normal(17, 33), torch.float32),  # 561 weights: odd, and its last block is not whole
    (normal(3, 128) * np.exp(2 * normal(3, 1)), torch.bfloat16),
    (normal(1, 1), torch.float32),
    (normal(5, 1), torch.bfloat16),
    (np.zeros((4, 65)), torch.float32),
    (spoiled(normal(8, 96), slice(64, 300), 0), torch.float32),  # blocks of zeros
    (spoiled(normal(24, 40), slice(0, None, 97), 1e30), torch.float32),  # outliers
    (normal(9, 80) * 1e-39, torch.float32),  # denormals
    (np.round(4 * normal(20, 50)) / 8, torch.float32),  # ties
    (np.full((6, 70), -0.37), torch.float32),
    (0.02 * normal(130, 140), torch.bfloat16),  # more than 256 blocks
]
tensors = {}
for number, (values, dtype) in enumerate(cases):
    source = torch.from_numpy(values.astype(np.float32)).to(dtype)
    codes, state = bnb.quantize_4bit(source, quant_type="nf4", compress_statistics=True, blocksize=64)
    plain_codes, plain = bnb.quantize_4bit(source, quant_type="nf4", compress_statistics=False, blocksize=64)
    assert torch.equal(codes, plain_codes)
    magnitudes = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
    def expand(kind):
        return torch.ops.bitsandbytes.dequantize_4bit.default(codes, magnitudes, 64, "nf4", state.shape, kind)
    # In torch: the kernel of 0.50.2 for AVX-512 takes other blocks than were quantised where a width is a multiple of 16 and not of 64.
    wide = _dequantize_4bit_compute(codes.reshape(-1), magnitudes, state.code, 64, state.shape, torch.float32)
    narrow, theirs = wide.to(torch.bfloat16), expand(torch.bfloat16)
    if source.shape[1] % 64 == 0 or source.shape[1] % 16 != 0:
        assert torch.equal(wide, expand(torch.float32))
        assert torch.equal(torch.where(narrow.float().abs() < 2.0**-126, 0, narrow), torch.where(theirs.float().abs() < 2.0**-126, 0, theirs))
    name = f"{number:02}."
    tensors |= {
        name + "source": source, name + "codes": codes.reshape(-1), name + "absmax": state.absmax, name + "nested_absmax": state.state2.absmax,
        name + "offset": state.offset.reshape(1), name + "plain_absmax": plain.absmax, name + "float32": wide, name + "bfloat16": narrow,
        "map": state.state2.code,
    }
save_file({name: x.contiguous() for name, x in tensors.items()}, pathlib.Path(__file__).with_name("nf4.safetensors"))
