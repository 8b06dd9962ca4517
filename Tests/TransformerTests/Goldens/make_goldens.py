"""Makes every folder beside this file with transformers and peft: ~/.cache/peers/bin/python make_goldens.py  (20 s).

The numbers under `expected*.safetensors` are computed in float64 (weights as stored, widened) unless a name says float32. See README.md.
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
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

LENGTHS = [17, 1, 9, 2]
SMALL = dict(hidden=32, layers=2, heads=4, kv_heads=2, intermediate=48, vocabulary=61, tied=True, theta=1e6)
NARROW = dict(hidden=24, layers=3, heads=3, kv_heads=1, intermediate=40, vocabulary=80, tied=False, theta=1e4)


# Families beside Qwen2. Channels of a head apart from hidden size by heads; Llama 3's stretched rotary embedding with a context so short
# that its three ranges all occur; biases everywhere; queries and keys normed.
TINY = dict(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=512, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2)
LLAMA3 = dict(rope_type="llama3", rope_theta=5e5, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig(**TINY, head_dim=12, tie_word_embeddings=True, rope_parameters=LLAMA3)),
    "llama-biases": (LlamaForCausalLM, LlamaConfig(**TINY, tie_word_embeddings=False, attention_bias=True, mlp_bias=True)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**TINY, head_dim=8, tie_word_embeddings=True)),
    "qwen3-untied": (Qwen3ForCausalLM, Qwen3Config(**TINY, head_dim=6, tie_word_embeddings=False, attention_bias=True)),
}


def sequences(vocabulary, seed):
    random = np.random.Generator(np.random.PCG64(seed))
    return [random.integers(0, vocabulary, n).tolist() for n in LENGTHS]


def make_model(name, shape, seed, dtype=torch.float32, shard=None):
    return save_model(name, Qwen2ForCausalLM(oracle.config(**shape, bos_token_id=1, eos_token_id=2)), seed, dtype, shard)


def save_model(name, model, seed, dtype=torch.float32, shard=None):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model = oracle.randomise(model, seed).to(dtype)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=[2, 3], pad_token_id=2, do_sample=False)
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    return folder


def published_config(folder):
    """Rewrites config.json into the layout of the published Qwen2.5 folders: `rope_theta` and `torch_dtype` at the top level."""
    path = folder / "config.json"
    new = json.loads(path.read_text())
    old = {
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
        **{k: new[k] for k in ("hidden_size", "initializer_range", "intermediate_size", "max_position_embeddings")},
        "max_window_layers": new["num_hidden_layers"], "model_type": "qwen2",
        **{k: new[k] for k in ("num_attention_heads", "num_hidden_layers", "num_key_value_heads", "rms_norm_eps")},
        "rope_theta": new["rope_parameters"]["rope_theta"], "sliding_window": 512, "tie_word_embeddings": new["tie_word_embeddings"],
        "torch_dtype": new["dtype"], "transformers_version": "4.40.1", "use_cache": True, "use_mrope": False,
        "use_sliding_window": False, "vocab_size": new["vocab_size"]}
    path.write_text(json.dumps(old, indent=2) + "\n")


def expect(folder, seed):
    """expected.safetensors: tokens, logits, scores, mean loss and every gradient of it."""
    narrow, wide = oracle.load(folder), oracle.load(folder, torch.float64)
    rows = sequences(wide.config.vocab_size, seed)
    oracle.check_float32_unchanged(narrow, rows[0])
    with torch.no_grad():
        float32 = torch.cat(oracle.logits(narrow, rows))
    log_prob, entropy = oracle.score(wide, rows)
    loss = -log_prob.mean()
    loss.backward()
    float64 = torch.cat(oracle.logits(wide, rows))
    oracle.save({
        **oracle.packed(rows), "logits": float64, "logits_float32": float32, "log_prob": log_prob, "entropy": entropy,
        "loss": loss.reshape(1), **oracle.gradients(wide, "grad."),
    }, folder / "expected.safetensors")
    (-oracle.score(narrow, rows)[0].mean()).backward()
    worst = oracle.difference(oracle.gradients(narrow), oracle.gradients(wide))
    largest = max(float(p.grad.abs().max()) for p in wide.parameters())
    print(f"{folder.name}: loss {float(loss.detach()):.4f} nats (uniform {np.log(wide.config.vocab_size):.2f}), entropy {float(entropy.detach().min()):.2f}"
          f" to {float(entropy.detach().max()):.2f}, logits std {float(float64.detach().std()):.2f}; float32 against float64: logits"
          f" {float((float32 - float64).detach().abs().max()):.1e}, gradients {worst[0]:.1e} (largest gradient {largest:.2f})")
    return rows


def expect_objectives(folder, rows, seed):
    """The two ways in which training reaches the model besides the mean loss: derivatives per token, and a value head."""
    random = np.random.Generator(np.random.PCG64(seed))
    draw = lambda *shape: torch.from_numpy(random.standard_normal(shape).astype(np.float32)).double()

    model = oracle.load(folder, torch.float64)
    log_prob, entropy = oracle.score(model, rows, temperature=0.8)
    d_log_prob, d_entropy = draw(*log_prob.shape), draw(*entropy.shape)
    objective = (d_log_prob * log_prob + d_entropy * entropy).sum()
    objective.backward()
    oracle.save({
        **oracle.packed(rows), "temperature": torch.tensor([0.8], dtype=torch.float64), "log_prob": log_prob, "entropy": entropy,
        "d_log_prob": d_log_prob.float(), "d_entropy": d_entropy.float(), "objective": objective.reshape(1),
        **oracle.gradients(model, "grad."),
    }, folder / "expected_objective.safetensors")

    model = oracle.load(folder, torch.float64)
    weight, bias = draw(1, model.config.hidden_size), draw(1)
    weight.requires_grad_(), bias.requires_grad_()
    hidden = torch.cat([model.model(torch.tensor([r])).last_hidden_state[0] for r in rows])
    values = hidden @ weight[0] + bias[0]
    d_values = draw(*values.shape)
    objective = (d_values * values).sum()
    objective.backward()
    oracle.save({
        **oracle.packed(rows), "hidden": hidden, "value_head.weight": weight.float(), "value_head.bias": bias.float(), "values": values,
        "d_values": d_values.float(), "objective": objective.reshape(1), "grad.value_head.weight": weight.grad.float(),
        "grad.value_head.bias": bias.grad.float(), **oracle.gradients(model, "grad."),
    }, folder / "expected_value.safetensors")


def expect_lora(base, rows, name, rank, alpha, targets, seed):
    """lora/NAME: an adapter as peft writes it, and what `base` gives with it."""
    folder = HERE / "lora" / name
    oracle.new_adapter(oracle.load(base), rank, alpha, targets, seed).save_pretrained(folder)
    oracle.tidy_adapter(folder, base="tied")
    narrow = oracle.load_adapter(oracle.load(base), folder, trainable=True)
    wide = oracle.load_adapter(oracle.load(base, torch.float64), folder, trainable=True)
    log_prob, entropy = oracle.score(wide, rows)
    loss = -log_prob.mean()
    loss.backward()
    plain = lambda tensors: {n.replace("lora_A.default", "lora_A").replace("lora_B.default", "lora_B"): x for n, x in tensors.items()}
    grads = {"grad." + n: x for n, x in plain(oracle.gradients(wide)).items()}
    (-oracle.score(narrow, rows)[0].mean()).backward()
    worst = oracle.difference(oracle.gradients(narrow), oracle.gradients(wide))
    unchanged = oracle.score(oracle.load(base, torch.float64), rows)[0]
    print(f"lora/{name}: loss {float(loss.detach()):.4f}, moves log-probs by up to {float((log_prob - unchanged).detach().abs().max()):.2f};"
          f" float32 against float64: gradients {worst[0]:.1e}")
    merged = wide.merge_and_unload().state_dict()
    kept = [f"model.layers.0.self_attn.{targets[0]}.weight", f"model.layers.1.self_attn.v_proj.weight"]
    kept += ["model.layers.1.mlp.down_proj.weight"] if "down_proj" in targets else []
    oracle.save({
        **oracle.packed(rows), "log_prob": log_prob, "entropy": entropy, "loss": loss.reshape(1), **grads,
        **{"merged." + n: merged[n].float() for n in kept},
    }, folder / "expected.safetensors")


def main():
    shutil.rmtree(HERE / "lora", ignore_errors=True)
    tied = make_model("tied", SMALL, seed=11)
    rows = expect(tied, seed=21)
    expect_objectives(tied, rows, seed=31)
    expect(make_model("untied", NARROW, seed=12, shard="60KB"), seed=22)
    half = make_model("bf16", SMALL, seed=13, dtype=torch.bfloat16)
    published_config(half)
    expect(half, seed=23)
    expect(make_model("f16", SMALL, seed=14, dtype=torch.float16), seed=24)
    for index, (name, (family, configuration)) in enumerate(FAMILIES.items()):
        expect(save_model(name, family(configuration), seed=51 + index), seed=61 + index)
    expect_lora(tied, rows, "r4", rank=4, alpha=8, targets=["q_proj", "v_proj"], seed=41)
    expect_lora(tied, rows, "r16", rank=16, alpha=32, targets=oracle.ALL_LINEAR, seed=42)


main()
