"""How far transformers in bfloat16 is from itself in float32, on the batch of BFloat16Tests.swift: the bounds that stand there.

    PYTHON bfloat16_errors.py        # the peers' environment: torch, transformers
"""
import pathlib

import torch
from transformers import AutoModelForCausalLM

goldens = pathlib.Path(__file__).parent.parent / "TransformerTests/Goldens"
prompts = [[1, 2, 3], [30, 20, 10, 5, 6, 7], [9]]
completions = [[4, 5, 6, 7, 8, 9, 10], [11], [12, 13, 3, 3, 3, 2]]
temperature = 0.8


def result(name, dtype):
    model = AutoModelForCausalLM.from_pretrained(goldens / name, dtype=torch.float32).to(dtype)
    log_probs, entropies, loss = [], [], 0
    for prompt in prompts:
        for completion in completions:
            logits = model(torch.tensor([prompt + completion])).logits[0].float() / temperature
            logs = torch.log_softmax(logits, -1)
            entropy = -(logs.exp() * logs).sum(-1)
            for place, token in enumerate(completion, len(prompt) - 1):
                d = len(log_probs) % 5 / 5 - 0.3
                loss = loss + d * logs[place, token] + 0.1 * d * entropy[place]
                log_probs.append(logs[place, token].item())
                entropies.append(entropy[place].item())
    loss.backward()
    gradient = torch.cat([p.grad.float().flatten() for p in model.parameters() if p.grad is not None])
    return torch.tensor(log_probs), torch.tensor(entropies), gradient


for name in ["tied", "untied", "llama-biases", "qwen3"]:
    exact, rounded = result(name, torch.float32), result(name, torch.bfloat16)
    log_prob, entropy = ((a - b).abs().max().item() for a, b in zip(exact[:2], rounded[:2]))
    print(f"{name}: log-probability {log_prob:.4f}, entropy {entropy:.4f}, gradient {((exact[2] - rounded[2]).norm() / exact[2].norm()).item():.4f}")
