"""Changes one key of config.json or adapter_config.json, or one tensor, at a time: what `score` takes must be what transformers and
peft compute from the same folder; what it does not take, it must refuse with 65 and one line.

usage: check_meaning.py BINARY [--verbose]
Exit 0 if nothing that was taken differs by more than 1e-3 nats and nothing was refused otherwise. Where the peers themselves cannot
load a folder there is nothing to compare with, and it is only counted.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import warnings

import torch
import oracle

GOLDENS = pathlib.Path(__file__).parent.parent / "TransformerTests" / "Goldens"
MISSING = object()
ROPE = {"rope_theta": 1e6, "rope_type": "default"}
CONFIG = {
    "rope_parameters": [MISSING, None, {}, {"rope_theta": 777.0}, {**ROPE, "rope_type": "linear", "factor": 2.0},
                        {**ROPE, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
                        {**ROPE, "rope_type": "dynamic", "factor": 2.0}, {**ROPE, "partial_rotary_factor": 0.5}, {**ROPE, "factor": 2.0}],
    "rope_scaling": [None, {}, {"type": "linear", "factor": 2.0}, {"rope_type": "default", "rope_theta": 7777.0}, {"type": "default", "rope_type": "yarn", "factor": 4.0}],
    "rope_theta": [500, 1e6, None, 0, -1, "1e6", True],
    "layer_types": [MISSING, None, ["sliding_attention"] * 2, ["full_attention", "chunked_attention"], ["full_attention"]],
    "use_sliding_window": [MISSING, True, False, 1], "sliding_window": [4, None], "hidden_act": [MISSING, "gelu", "relu", "gelu_pytorch_tanh"],
    "is_causal": [True, False, None], "attention_bias": [True, False], "qkv_bias": [True, False], "mlp_bias": [True, False],
    "attention_dropout": [0, 0.1], "tie_word_embeddings": [MISSING, True, None, 1], "head_dim": [8, 16], "num_key_value_heads": [MISSING, 2, 4],
    "rms_norm_eps": [MISSING, 1e-3, 0.5, 0], "logit_scale": [1, 0.5, 0], "final_logit_softcapping": [None, 30.0], "attn_logit_softcapping": [50.0],
    "embedding_multiplier": [1, 0, 2.0], "partial_rotary_factor": [1, 0.5, 0], "num_experts": [0, 8], "pretraining_tp": [1, 2],
    "quantization_config": [None, {"quant_method": "awq"}], "max_position_embeddings": [16, 4096], "num_hidden_layers": [1, 3],
    "initializer_range": [0.5], "dtype": ["bfloat16", "float32"], "use_cache": [False], "vocab_size": [60, 62], "some_key": [None, False, 3],
}
ADAPTER = {
    "target_modules": [MISSING, ["q_proj"], ["q_proj", "v_proj"], "all-linear", ".*q_proj", ".*[qv]_proj", ["proj"], ["k_proj", "q_proj", "v_proj"]],
    "exclude_modules": [None, [], ["q_proj"], ["lm_head"], ".*v_proj"], "layers_to_transform": [None, [], [0], 0, [0, 1]],
    "layers_pattern": [None, "layers"], "lora_dropout": [0.1], "use_rslora": [True, False, None], "lora_alpha": [0, -8, 8.5, True, "8"],
    "r": [4, 5, 0], "init_lora_weights": [True, "gaussian", "orthogonal", "eva", "pissa", "olora", "corda", "loftq"], "use_dora": [0, 1, True],
    "rank_pattern": [{}, {"q_proj": 2}], "alpha_pattern": [{}, {"q_proj": 99}], "modules_to_save": [None, [], ["embed_tokens"]],
    "bias": ["none", "all", "lora_only"], "fan_in_fan_out": [False, True], "lora_bias": [False, True], "layer_replication": [None, [[0, 2]]],
    "alora_invocation_tokens": [None, [1]], "trainable_token_indices": [None, {"embed_tokens": [1]}], "task_type": [None, "CAUSAL_LM", "SEQ_CLS"],
    "target_parameters": [None, ["x"]], "inference_mode": [False], "revision": ["x"], "eva_config": [{"rho": 2.0}],
}
TOKENS = [[(7 * i + 3) % 61 for i in range(40)], [5, 9, 13, 2, 44, 60]]


def write(path, key, value):
    settings = json.loads(path.read_text())
    settings.pop(key, None)
    if value is not MISSING:
        settings[key] = value
    path.write_text(json.dumps(settings))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    counts = {"same": 0, "refused": 0, "the peers cannot load it": 0, "WRONG": 0}
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        (work / "tokens.json").write_text(json.dumps(TOKENS))

        def check(what, model, adapter):
            out = work / "out.safetensors"
            out.unlink(missing_ok=True)
            ran = subprocess.run(
                [options.binary, "score", "--model", model, "--tokens", work / "tokens.json", "--out", out, *(["--adapter", adapter] if adapter else [])],
                capture_output=True, text=True)
            if ran.returncode:
                result = "refused" if ran.returncode == 65 and ran.stderr.count("\n") == 1 else "WRONG"
                note = ran.stderr.strip()
            else:
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        peer = oracle.load(model, torch.float64)
                        peer = oracle.load_adapter(peer, adapter) if adapter else peer
                        with torch.no_grad():
                            expected, _ = oracle.score(peer, TOKENS)
                except Exception as problem:  # whatever the peers raise
                    result, note = "the peers cannot load it", type(problem).__name__
                else:
                    worst = float((oracle.load_file(out)["log_prob"].double() - expected.double()).abs().max())
                    result, note = "same" if worst <= 1e-3 else "WRONG", f"{worst:.1e} nats"
            counts[result] += 1
            if options.verbose or result == "WRONG":
                print(f"{result:25} {what}: {note[:200]}")

        for table, source, name in ((CONFIG, GOLDENS / "tied", "config.json"), (ADAPTER, GOLDENS / "lora" / "r4", "adapter_config.json")):
            for key, values in table.items():
                for value in values:
                    folder = work / "folder"
                    shutil.rmtree(folder, ignore_errors=True)
                    shutil.copytree(source, folder)
                    write(folder / name, key, value)
                    what = f"{key} {'missing' if value is MISSING else json.dumps(value)}"
                    check(what, *((folder, None) if name == "config.json" else (GOLDENS / "tied", folder)))
    print(", ".join(f"{number} {name}" for name, number in counts.items()))
    return int(counts["WRONG"] > 0)


if __name__ == "__main__":
    sys.exit(main())
