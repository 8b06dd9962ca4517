"""Products y = x W' of torch (oneDNN, MKL) and of this program's kernels, in one process, in turns. worker.py speaks to it."""

import ctypes
import pathlib
import sys
import time

from worker import serve

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import torch
from peers import machine

library = machine.kernels()
F32, BF16_PAIRS = 0, 2  # nrk_kind
Pointer, Long, Int = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32


class ProductPart(ctypes.Structure):
    """nrk_product_part"""

    _fields_ = [
        ("panels", Pointer), ("kind", Int), ("y_is_float", Int), ("N", Long), ("R", Long), ("low", Pointer), ("up", Pointer), ("ldlow", Long),
        ("scale", ctypes.c_float), ("bias", Pointer), ("residual", Pointer), ("ldr", Long), ("y", Pointer), ("ldy", Long)]


library.nrk_pool_create.restype = Pointer
library.nrk_isa.restype = ctypes.c_char_p
library.nrk_panel_elements.restype = Long
library.nrk_panel_elements.argtypes = [Long, Long, Int]
library.nrk_pack.argtypes = [Pointer, Long, Long, Pointer, Int, Long, Pointer, Int]
library.nrk_linear.argtypes = [Pointer, Long, Long, Long, Pointer, Long, Pointer, Int, Pointer, Pointer, Long, Int]
library.nrk_products.argtypes = [Pointer, Long, Long, Pointer, Long, Int, Long, Pointer]
pools = {}


def pool(threads):
    if threads not in pools:
        pools[threads] = library.nrk_pool_create(threads)
    return pools[threads]


def our_product(kind, x, w, threads):
    """A call that makes y of x, both as torch has them, and of weights packed once, as the program does with a linear layer; and y."""
    (T, K), N, p = x.shape, w.shape[0], pool(threads)
    is_half = kind == "bf16"
    packed = BF16_PAIRS if is_half else F32
    panels = torch.empty(library.nrk_panel_elements(N, K, packed) * x.element_size() + 64, dtype=torch.uint8)
    start = panels.data_ptr() + -panels.data_ptr() % 64
    library.nrk_pack(p, N, K, w.data_ptr(), 1 if is_half else F32, K, start, packed)
    y = torch.empty(T, N, dtype=x.dtype)
    part = ProductPart(panels=start, kind=packed, N=N, scale=1, y=y.data_ptr(), ldy=N)

    def call():
        if is_half:
            library.nrk_products(p, T, K, x.data_ptr(), K, 0, 1, ctypes.addressof(part))
        else:
            library.nrk_linear(p, T, N, K, x.data_ptr(), K, start, packed, None, y.data_ptr(), N, 0)

    call.keeps = panels, part
    return call, y


def rate(call, operations, seconds):
    """Operations a second of calls for about so long; one call before is not counted."""
    call()
    count, start = 0, time.perf_counter()
    while (took := time.perf_counter() - start) < seconds:
        call()
        count += 1
    return operations * count / took


def product(kind, T, N, K, threads, turns, seconds):
    """Operations a second, a list for each, turn by turn; and how far apart the two results are, beside the size of torch's."""
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    x, w = torch.randn(T, K), torch.randn(N, K) / K**0.5
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    xt, wt = x.to(dtype), w.to(dtype)
    ours, y = our_product(kind, xt, wt, threads)

    @torch.no_grad()
    def theirs():
        return torch.nn.functional.linear(xt, wt)

    operations, found = 2.0 * T * N * K, {"ours": [], "peer": []}
    for _ in range(turns):
        found["ours"].append(rate(ours, operations, seconds))
        time.sleep(0.02)  # threads that spin for a while after their work are asleep by now
        found["peer"].append(rate(theirs, operations, seconds))
        time.sleep(0.02)
    difference = float((y.float() - theirs().float()).abs().max() / theirs().float().abs().max())
    assert difference < (0.03 if kind == "bf16" else 1e-4), difference
    return found | {"difference": difference, "isa": library.nrk_isa().decode()}


serve({"product": product})
