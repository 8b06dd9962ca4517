"""Makes the folders nf4, nf4-plain and nf4-some beside this file with transformers, bitsandbytes and peft:
~/.cache/peers/bin/python make_nf4_goldens.py

Each is what `save_pretrained` writes of a model that was loaded with BitsAndBytesConfig on a CPU. `expected.safetensors` holds `tokens`,
`token_offsets`, `offsets`, `log_prob` and `entropy` F64 as in the other folders, computed in float64 with the float32 values that
bitsandbytes multiplies with, `log_prob_bfloat16` F64 with those it rounds to bfloat16, `NAME.weight` F32 (`float32.`) those values, and
`grad.NAME` F32, the gradients of the mean loss by the adapter in `adapter/` beside it, float32 values again.
"""

import json
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "Oracles"))

import numpy as np
import torch
import oracle
import bitsandbytes.functional as bnb
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from bitsandbytes.nn import Linear4bit
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GenerationConfig, Qwen2ForCausalLM

torch.set_num_threads(1)
torch._dynamo.config.disable = True


def linears(model):
    return {name: module for name, module in model.named_modules() if isinstance(module, Linear4bit)}


def plain(folder, dtype):
    """The folder's values as plain matrices, in float64. In torch: bitsandbytes 0.50.2 has a kernel for AVX-512 that takes other blocks than
    were quantised where a width is a multiple of 16 and not of 64."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu").eval()
    values = {}
    for name, module in linears(model).items():
        state = module.weight.quant_state
        magnitudes = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset if state.nested else state.absmax
        values[name] = _dequantize_4bit_compute(module.weight.data.reshape(-1), magnitudes, state.code, 64, state.shape, dtype)
        layer = torch.nn.Linear(module.in_features, module.out_features, module.bias is not None)
        layer.weight = torch.nn.Parameter(values[name].double())
        layer.bias = module.bias
        model.set_submodule(name, layer)
    model = Qwen2ForCausalLM(model.config).double().eval().requires_grad_(False), model.double().state_dict()
    del model[0].config.quantization_config
    model[0].load_state_dict(model[1])
    return model[0], values


def make(name, shape, seed, nested=True, skipped=None, dtype=torch.float32):
    folder, source = HERE / name, HERE / "source.tmp"
    for place in (folder, source):
        shutil.rmtree(place, ignore_errors=True)
    model = oracle.randomise(Qwen2ForCausalLM(oracle.config(**shape, bos_token_id=1, eos_token_id=2)), seed).to(dtype)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=[2, 3], pad_token_id=2, do_sample=False)
    model.save_pretrained(source)
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=nested, bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=skipped)
    AutoModelForCausalLM.from_pretrained(source, quantization_config=settings, dtype=dtype, device_map="cpu").save_pretrained(folder)
    shutil.rmtree(source)
    random = np.random.Generator(np.random.PCG64(seed))
    rows = [random.integers(0, shape["vocabulary"], n).tolist() for n in (17, 1, 9, 2)]
    model, values = plain(folder, torch.float32)
    log_prob, entropy = oracle.score(model, rows)
    rounded, _ = oracle.score(plain(folder, torch.bfloat16)[0], rows)
    tensors = oracle.packed(rows) | {"log_prob": log_prob, "entropy": entropy, "log_prob_bfloat16": rounded}
    tensors |= {f"float32.{name}.weight": x for name, x in values.items()}
    adapted = oracle.new_adapter(model, 4, 8, oracle.ALL_LINEAR, seed)
    (-oracle.score(adapted, rows)[0].mean()).backward()
    tensors |= {"grad." + n.replace(".default", "").removeprefix("base_model.model."): p.grad.float() for n, p in adapted.named_parameters() if p.grad is not None}
    oracle.save(tensors, folder / "expected.safetensors")
    adapted.float().save_pretrained(folder / "adapter")
    oracle.tidy_adapter(folder / "adapter", base=name)


SHAPE = dict(hidden=64, layers=2, heads=4, kv_heads=2, intermediate=96, vocabulary=61, tied=True, theta=1e6)
make("nf4", SHAPE, 1)
make("nf4-plain", SHAPE | dict(hidden=40, layers=1, intermediate=50, tied=False), 2, nested=False)
make("nf4-some", SHAPE | dict(layers=1), 3, skipped=["lm_head", "model.layers.0.self_attn.o_proj", "gate_proj"], dtype=torch.bfloat16)
