"""NF4 beside bitsandbytes on the CPU: bits of quantised folders, and scores of quantised models.

usage: check_nf4.py BINARY [--smollm2 ~/.cache/smollm2] [--tolerance 1e-4]
Part one makes Qwen2 folders of 63 matrices (odd shapes, zeros, outliers, denormals; float32 and bfloat16), has `export --quantize nf4`
write them, and counts, matrix by matrix, what is not bit for bit what bitsandbytes makes of the same tensor; the written folder is
then loaded by AutoModelForCausalLM, and `export` without --quantize writes its values in full again. torch runs with one thread:
with several, its mean of more than 32768 numbers depends on how many, and so does bitsandbytes' offset.
Part two compares `score` with transformers and bitsandbytes, on random models of real head shapes and on SmolLM2 where it is there:
computing in float32, and in bfloat16, both beside the values that bitsandbytes rounds to bfloat16 multiplied in float32, as is done
here, and beside bitsandbytes' own bfloat16, which rounds activations and results too.
Exit 0 when all bits agree and scores are within the tolerance (nats) of what is computed the same way.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch._dynamo
import oracle
import bitsandbytes.functional as bnb
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from bitsandbytes.nn import Linear4bit
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Qwen2ForCausalLM

torch.set_num_threads(1)
torch._dynamo.config.disable = True  # bitsandbytes compiles what it falls back to, once for each shape
failures = 0


def fill(weight, kind, random):
    """Numbers of many kinds, in place."""
    shape = tuple(weight.shape)
    values = random.standard_normal(shape)
    if kind == 1:
        values *= np.exp(2 * random.standard_normal((shape[0], 1)))  # rows of very different sizes
    elif kind == 2:
        values[random.random(shape) < 0.9] = 0
        values.reshape(-1)[: min(200, values.size)] = 0  # blocks of zeros
    elif kind == 3:
        values[random.random(shape) < 0.01] *= 1000  # outliers
    elif kind == 4:
        values *= 1e-39  # denormals
    elif kind == 5:
        values = random.uniform(-1, 1, shape)
    elif kind == 6:
        values[:] = 0.37  # one number
    elif kind == 7:
        values = np.round(values * 4) / 8  # many ties
    else:
        values *= 0.02
    weight.copy_(torch.from_numpy(values.astype(np.float32)).to(weight.dtype))


def same(a, b):
    """Whether two tensors have the same type, shape and bits."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    view = {torch.float32: torch.int32, torch.bfloat16: torch.int16}.get(a.dtype, a.dtype)
    return torch.equal(a.view(view), b.view(view))


def same_rounded(found, expected):
    """The same of bfloat16; bitsandbytes makes 0 of what is below the normal numbers where the machine has AVX-512 BF16, and not elsewhere."""
    flushed = (expected == 0) & (found.float().abs() < 2.0**-126)
    return "same" if same(found, expected) else "flushed" if same(torch.where(flushed, expected, found), expected) else "OTHER"


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


def quantised(folder, compute=torch.float32, nested=True, dtype="auto"):
    """The folder as transformers loads it with bitsandbytes; a quantised one as it is."""
    given = json.loads(pathlib.Path(folder, "config.json").read_text()).get("quantization_config")
    more = {} if given else {"quantization_config": BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=nested, bnb_4bit_compute_dtype=compute)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, device_map="cpu", **more).eval()
    torch.set_num_threads(threads)
    for module in model.modules():
        if isinstance(module, Linear4bit):
            # Otherwise a forward repacks weights with magnitudes rounded to bfloat16.
            module.support_avx512bf16_for_cpu = False
    return model


def linears(model):
    return {name: module for name, module in model.named_modules() if isinstance(module, Linear4bit)}


def expand(weight, state, dtype):
    """What bitsandbytes multiplies with. Its kernel for AVX-512 (0.50.2) takes other blocks than were quantised where a width is a multiple
    of 16 and not of 64; there it is what its own torch code makes, as its CUDA kernels do."""
    magnitudes = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset if state.nested else state.absmax
    if state.shape[1] % 16 == 0 and state.shape[1] % 64 != 0:
        return _dequantize_4bit_compute(weight.reshape(-1), magnitudes, state.code, 64, state.shape, dtype)
    return torch.ops.bitsandbytes.dequantize_4bit.default(weight, magnitudes, 64, "nf4", state.shape, dtype)


def bits(binary, work):
    global failures
    shapes = [
        (dict(hidden=128, layers=2, heads=4, kv_heads=2, intermediate=192, vocabulary=64, tied=True, theta=1e4), torch.float32),
        (dict(hidden=35, layers=2, heads=3, kv_heads=1, intermediate=33, vocabulary=50, tied=False, theta=1e4, head_dim=6), torch.float32),
        (dict(hidden=90, layers=2, heads=5, kv_heads=5, intermediate=129, vocabulary=50, tied=True, theta=1e4, head_dim=18), torch.bfloat16),
        (dict(hidden=80, layers=1, heads=5, kv_heads=1, intermediate=112, vocabulary=50, tied=True, theta=1e4), torch.float32),
        (dict(hidden=896, layers=2, heads=14, kv_heads=2, intermediate=4864, vocabulary=64, tied=True, theta=1e6), torch.bfloat16),
    ]
    print(f"{'matrix':48}{'shape':>14}  {'source':9}{'codes':>7}{'absmax':>8}{'nested':>8}{'offset':>8}{'loaded':>8}{'float32':>9}{'bfloat16':>9}")
    count, wrong, threads = 0, 0, [0, 0]
    for number, (shape, dtype) in enumerate(shapes):
        random = np.random.Generator(np.random.PCG64(number))
        model = Qwen2ForCausalLM(oracle.config(**shape, eos_token_id=0)).to(dtype)
        with torch.no_grad():
            for index, (name, weight) in enumerate((n, p) for n, p in model.named_parameters() if n.endswith("proj.weight")):
                fill(weight, index % 8, random)
        source, out = work / f"source-{number}", work / f"nf4-{number}"
        model.save_pretrained(source)
        run(binary, "export", "--model", source, "--quantize", "nf4", "--out", out)
        written = load_file(out / "model.safetensors")
        theirs, loaded = linears(quantised(source)), linears(quantised(out))
        full = {}
        for precision in ("fp32", "bf16"):
            run(binary, "export", "--model", out, "--precision", precision, "--out", work / f"full-{number}-{precision}")
            full[precision] = load_file(work / f"full-{number}-{precision}" / "model.safetensors")
        for name, module in theirs.items():
            weight, (codes, state) = module.weight, bnb.quantize_4bit(
                model.get_submodule(name).weight.data, quant_type="nf4", compress_statistics=True, blocksize=64)
            saved = f"{name}.weight"
            settings = json.loads(bytes(written[saved + ".quant_state.bitsandbytes__nf4"].tolist()))
            mine = loaded[name].weight
            checks = {
                "codes": same(written[saved], codes) and same(weight.data, codes),
                "absmax": same(written[saved + ".absmax"], state.absmax),
                "nested": same(written[saved + ".nested_absmax"], state.state2.absmax)
                and same(written[saved + ".nested_quant_map"], state.state2.code) and same(written[saved + ".quant_map"], state.code),
                "offset": np.float32(settings["nested_offset"]) == np.float32(state.offset.item()) and settings["shape"] == list(state.shape),
                "loaded": same(mine.data, weight.data) and same(mine.quant_state.absmax, weight.quant_state.absmax)
                and same(mine.quant_state.state2.absmax, weight.quant_state.state2.absmax)
                and mine.quant_state.offset.item() == weight.quant_state.offset.item(),
                "float32": same(full["fp32"][saved], expand(codes, state, torch.float32)),
            }
            texts = ["same" if ok else "OTHER" for ok in checks.values()] + [same_rounded(full["bf16"][saved], expand(codes, state, torch.bfloat16))]
            row = [f"{text:>{width}}" for text, width in zip(texts, (7, 8, 8, 8, 8, 9, 9))]
            print(f"{name:48}{str(list(state.shape)):>14}  {str(dtype)[6:]:9}{''.join(row)}")
            count, wrong = count + 1, wrong + ("OTHER" in texts)
            torch.set_num_threads(2)
            _, other = bnb.quantize_4bit(model.get_submodule(name).weight.data, quant_type="nf4", compress_statistics=True, blocksize=64)
            torch.set_num_threads(1)
            threads[0] += other.offset.item() != state.offset.item()
            threads[1] += int((other.absmax != state.absmax).sum())
    print(f"{count} matrices, {wrong} not the same; with two threads bitsandbytes itself has {threads[0]} other offsets and {threads[1]} other codes of magnitudes\n")
    failures += wrong


def scores(model, sequences):
    with torch.no_grad():
        rows = [torch.log_softmax(model(torch.tensor([s])).logits[0, :-1].double(), -1).gather(1, torch.tensor(s[1:])[:, None])[:, 0] for s in sequences]
    return torch.cat(rows)


def rounded(model, dtype):
    """The embedding and the head as --precision keeps them."""
    with torch.no_grad():
        for weight in {id(m.weight): m.weight for m in (model.get_input_embeddings(), model.get_output_embeddings())}.values():
            weight.copy_(weight.to(dtype))
    return model


def plain(folder, dtype, nested=True):
    """The model with bitsandbytes' values as plain matrices, all computed in float64."""
    model = rounded(quantised(folder, nested=nested), dtype)
    for name, module in linears(model).items():
        layer = torch.nn.Linear(module.in_features, module.out_features, module.bias is not None)
        layer.weight = torch.nn.Parameter(expand(module.weight.data, module.weight.quant_state, dtype).double())
        layer.bias = module.bias
        model.set_submodule(name, layer)
    return model.double()


def compare(binary, work, name, folder, sequences, tolerance):
    global failures
    (work / "tokens.json").write_text(json.dumps(sequences))
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        run(binary, "score", "--model", folder, "--tokens", work / "tokens.json", "--out", work / "scores.safetensors", "--quantize", "nf4",
            "--precision", precision)
        found = load_file(work / "scores.safetensors")["log_prob"].double()
        exact = float((found - scores(plain(folder, dtype), sequences)).abs().max())
        # All else is float32, as it is here.
        own = rounded(quantised(folder, compute=dtype, dtype=torch.float32), dtype)
        difference = float((found - scores(own, sequences)).abs().max())
        dense = float((found - scores(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), sequences)).abs().max())
        ok = exact <= tolerance and (precision != "fp32" or difference <= tolerance)
        failures += not ok
        print(f"{name:34}{precision}: {len(found)} tokens, largest difference {exact:.1e} of the same values in float64, {difference:.1e} of"
              f" transformers with bitsandbytes; of the weights as they were {dense:.1e} {'ok' if ok else 'TOO LARGE'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--smollm2", default=str(pathlib.Path("~/.cache/smollm2").expanduser()))
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        bits(options.binary, work)
        torch.set_num_threads(2)
        random = np.random.Generator(np.random.PCG64(5))
        shapes = {
            "Qwen2 of 0.5B heads, float32": (dict(hidden=896, layers=2, heads=14, kv_heads=2, intermediate=4864, vocabulary=500, tied=True, theta=1e6), torch.float32),
            "Qwen2 of 1.5B heads, bfloat16": (dict(hidden=1536, layers=1, heads=12, kv_heads=2, intermediate=8960, vocabulary=500, tied=False, theta=1e4), torch.bfloat16),
        }
        for name, (shape, dtype) in shapes.items():
            torch.manual_seed(7)
            # Larger than transformers begins with, so that attention selects, and far from the chaos of weights that large at any depth.
            model = Qwen2ForCausalLM(oracle.config(**shape, initializer_range=0.03))
            model.to(dtype).save_pretrained(work / "model")
            sequences = [[int(t) for t in random.integers(0, 500, length)] for length in (40, 7, 90)]
            compare(options.binary, work, name, work / "model", sequences, options.tolerance)
        if pathlib.Path(options.smollm2, "model.safetensors").exists():
            sequences = [[int(t) for t in random.integers(0, 49152, 60)], list(range(400, 480))]
            compare(options.binary, work, "SmolLM2-135M-Instruct", options.smollm2, sequences, options.tolerance)
    print("all as expected" if failures == 0 else f"{failures} failures")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
