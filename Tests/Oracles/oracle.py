"""What every oracle here shares: random models of the three families, a real float64 forward, scores, and the SFT step, by transformers, peft and torch.

Run with the peers' environment (shared/tools/peers-venv.sh): ~/.cache/peers/bin/python. Nothing here is code of Nano-Reasoner.
"""

import json
import os
import pathlib

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM
from transformers.models.llama import modeling_llama as llama
from transformers.models.qwen2 import modeling_qwen2 as qwen2
from transformers.models.qwen3 import modeling_qwen3 as qwen3

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(int(os.environ.get("ORACLE_THREADS", "2")))

ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


# transformers computes RMSNorm and the rotary cosines in float32 even in a float64 model. These two forwards compute in the
# wider of float32 and the model's type, so `model.double()` is float64 throughout; in float32 they give the same bits as
# before (check_float32_unchanged). The rotary angle itself stays float32 (position × inverse frequency): that is the
# definition in transformers, and only its cosine and sine are wider.
REPLACED = [(qwen2.Qwen2RMSNorm, qwen2.Qwen2RotaryEmbedding), (llama.LlamaRMSNorm, llama.LlamaRotaryEmbedding),
            (qwen3.Qwen3RMSNorm, qwen3.Qwen3RotaryEmbedding)]
_plain = [(norm.forward, rotary.forward) for norm, rotary in REPLACED]


def _norm(self, hidden):
    wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
    return self.weight * wide.to(hidden.dtype)


@torch.no_grad()
def _rotary(self, x, position_ids):
    angles = position_ids[..., None].float() * self.inv_freq.to(dtype=torch.float)
    angles = torch.cat((angles, angles), dim=-1).to(torch.promote_types(x.dtype, torch.float32))
    return (angles.cos() * self.attention_scaling).to(x.dtype), (angles.sin() * self.attention_scaling).to(x.dtype)


def _replace(forwards):
    for (norm, rotary), (norm_forward, rotary_forward) in zip(REPLACED, forwards):
        norm.forward, rotary.forward = norm_forward, rotary_forward


_replace([(_norm, _rotary)] * len(REPLACED))


def check_float32_unchanged(model, tokens):
    """The two replaced forwards give transformers' own bits in float32."""
    ours = model(torch.tensor([tokens])).logits
    _replace(_plain)
    theirs = model(torch.tensor([tokens])).logits
    _replace([(_norm, _rotary)] * len(REPLACED))
    assert torch.equal(ours, theirs), "the float64 oracle changed transformers' float32 result"


def config(hidden, layers, heads, kv_heads, intermediate, vocabulary, tied, theta, **more):
    return Qwen2Config(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, tie_word_embeddings=tied, rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": theta}, **{"max_position_embeddings": 512, **more})


def randomise(model, seed):
    """Random numbers large enough that attention is selective, biases and norm weights matter, and logits are far from uniform.

    From numpy's PCG64, parameter by parameter in the order of their names, so the result does not depend on torch's version.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            x = random.standard_normal(parameter.shape)
            if "norm" in name:
                x = 1 + 0.25 * x
            elif name.endswith("bias"):
                x = 0.5 * x
            elif "embed_tokens" in name or "lm_head" in name:
                x = 0.4 * x
            else:
                x = x * 1.2 / np.sqrt(parameter.shape[1])
            parameter.copy_(torch.from_numpy(x))
    return model


def load(folder, dtype=torch.float32):
    """The model of a folder, its stored weights widened (or narrowed) to `dtype`."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()


def load_adapter(model, folder, trainable=False):
    """`model` with a PEFT adapter, in the model's own type (peft would keep it in float32)."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder, is_trainable=trainable).to(next(model.parameters()).dtype)


def tidy_adapter(folder, base=None):
    """Leaves what matters of a folder peft wrote: no model card, and the target list in one order (it is a set in peft)."""
    folder = pathlib.Path(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text())
    settings["target_modules"] = sorted(settings["target_modules"])
    if base is not None:
        settings["base_model_name_or_path"] = base
    path.write_text(json.dumps(settings, indent=2) + "\n")


def adapter_state(model):
    """The adapter's tensors under the names that `save_pretrained` gives them."""
    from peft import get_peft_model_state_dict

    return {name: x.detach().float().contiguous().clone() for name, x in get_peft_model_state_dict(model).items()}


def new_adapter(model, rank, alpha, targets, seed, zero_b=False):
    """A LoRA adapter with A as peft draws it (uniform of width 1/sqrt(inputs)) and B random of the like size, or zero."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        model, LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM"))
    random = np.random.Generator(np.random.PCG64(seed))
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if "lora_A" in name:
                bound = 1 / np.sqrt(parameter.shape[1])
                parameter.copy_(torch.from_numpy(random.uniform(-bound, bound, parameter.shape)))
            elif "lora_B" in name:
                x = random.standard_normal(parameter.shape) * 0.3 / np.sqrt(rank)
                parameter.copy_(torch.from_numpy(0 * x if zero_b else x))
    return model


def logits(model, sequences):
    """Per sequence [length, V], each alone: no padding to get wrong."""
    return [model(torch.tensor([tokens])).logits[0] for tokens in sequences]


def score(model, sequences, temperature=1.0):
    """`log_prob` and `entropy` of every position after the first, sequences one after another, as `nano-reasoner score` lays out."""
    log_prob, entropy = [], []
    for tokens, row in zip(sequences, logits(model, sequences)):
        log_p = torch.log_softmax(row[:-1] / temperature, dim=-1)
        log_prob.append(log_p.gather(1, torch.tensor(tokens[1:], dtype=torch.long)[:, None])[:, 0])
        entropy.append(-(log_p.exp() * log_p).sum(-1))
    return torch.cat(log_prob), torch.cat(entropy)


def offsets(sequences):
    """Where each sequence's scores begin in `score`'s output: a sequence of n tokens has n − 1 of them (none if empty)."""
    return torch.tensor(np.cumsum([0] + [max(len(s) - 1, 0) for s in sequences]), dtype=torch.int64)


def packed(sequences):
    return {
        "tokens": torch.tensor([t for s in sequences for t in s], dtype=torch.int64),
        "token_offsets": torch.tensor(np.cumsum([0] + [len(s) for s in sequences]), dtype=torch.int64),
        "offsets": offsets(sequences),
    }


def gradients(model, prefix=""):
    """All parameters' gradients as float32; a tied embedding's holds both of its uses."""
    return {prefix + name: p.grad.float().contiguous() for name, p in model.named_parameters() if p.grad is not None}


def save(tensors, path):
    save_file({name: x.detach().contiguous() for name, x in sorted(tensors.items())}, path)


def read_lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def batches(sequences, batch_size, steps=None, epochs=1):
    """Batches in file order; the last of an epoch may be short; `steps` cuts (the CLI's --no-shuffle, --epochs, --max-steps)."""
    all_of_them = [
        sequences[i : i + batch_size] for _ in range(epochs) for i in range(0, len(sequences), batch_size)]
    return all_of_them[:steps]


def sft(model, batches, lr, weight_decay=0.01, clip=1.0):
    """Ordinary torch training of whatever in `model` requires a gradient: right-padded batches, padding masked and ignored, loss the
    mean over all predicted tokens of the batch, `clip_grad_norm_`, AdamW (0.9, 0.999, 1e-8) with decoupled decay of every trained
    tensor (LoRA's A and B; with --full also biases, norms and the embedding), constant learning rate, no dropout.

    Returns the losses and the gradient norms before clipping, one of each per step.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)
    losses, norms = [], []
    model.eval()  # no dropout anywhere; gradients as usual
    for batch in batches:
        width = max(len(s) for s in batch)
        ids = torch.tensor([s + [0] * (width - len(s)) for s in batch])
        mask = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in batch])
        labels = ids.masked_fill(mask == 0, -100)
        rows = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(rows.reshape(-1, rows.shape[-1]), labels[:, 1:].reshape(-1), ignore_index=-100)
        optimiser.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(trained, clip)))
        losses.append(float(loss.detach()))
        optimiser.step()
    return losses, norms


def difference(a, b):
    """The largest absolute difference between two sets of tensors, and the name it is at."""
    assert a.keys() == b.keys(), f"different tensors: {sorted(a.keys() ^ b.keys())[:6]}"
    return max((float((a[n].double() - b[n].double()).abs().max()), n) for n in a)
