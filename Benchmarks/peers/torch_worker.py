"""transformers and peft in bfloat16 on the CPU: a LoRA step, and sampling.

usage: torch_worker.py FOLDER THREADS (worker.py speaks to it)
"""

import sys
import time

from worker import serve

import torch
import transformers
from transformers import AutoModelForCausalLM

transformers.logging.set_verbosity_error()
torch.set_num_threads(int(sys.argv[2]))
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16)
adapted = None


def adapter():
    """The adapter and its optimiser, as peft and torch make them by default (peft keeps the adapter in float32)."""
    global adapted
    if adapted is None:
        from peft import LoraConfig, get_peft_model

        peft_model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=LINEAR, lora_dropout=0.0, task_type="CAUSAL_LM"))
        adapted = peft_model, torch.optim.AdamW([p for p in peft_model.parameters() if p.requires_grad], lr=1e-5)
    return adapted


def lora(ids, steps, checkpointing):
    """Seconds of each step: forward, loss over all predicted tokens, backward, clipping and AdamW."""
    net, optimiser = adapter()
    if checkpointing:
        net.enable_input_require_grads()
        net.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    else:
        net.gradient_checkpointing_disable()
    net.train()
    batch, seconds = torch.tensor(ids), []
    for _ in range(steps):
        start = time.perf_counter()
        net(input_ids=batch, labels=batch, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in net.parameters() if p.requires_grad], 1.0)
        optimiser.step()
        optimiser.zero_grad()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "tokens": batch.shape[0] * (batch.shape[1] - 1), "dtype": str(model.dtype)}


@torch.no_grad()
def generate(ids, samples, new):
    """Seconds of `samples` completions of `new` tokens for each prompt, the prompt included."""
    model.eval()
    prompts = torch.tensor(ids)
    start = time.perf_counter()
    out = model.generate(
        prompts, attention_mask=torch.ones_like(prompts), do_sample=True, temperature=0.8, top_k=0, top_p=1.0, num_return_sequences=samples,
        min_new_tokens=new, max_new_tokens=new, pad_token_id=0)
    seconds = time.perf_counter() - start
    assert out.shape == (len(ids) * samples, len(ids[0]) + new), out.shape
    return {"seconds": seconds, "tokens": len(ids) * samples * new}


serve({"lora": lora, "generate": generate})
