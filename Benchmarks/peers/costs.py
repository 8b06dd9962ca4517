"""What a piece of work costs on paper: floating-point operations and bytes by formula, and the seconds that a machine needs at least.

D hidden, L layers, H query heads, G key-value heads, C channels of a head, F intermediate, V vocabulary;
M = L (2 D H C + 2 D G C + 3 D F) weights of the blocks' matrices, E = D V weights of the head. A multiply and an add count as two; norms,
activations, softmax and the optimiser as nothing.
"""

import json
import types

FORMULAS = {
    "symbols": "D hidden, L layers, H query and G key-value heads of C channels, F intermediate, V vocabulary; M = L (2 D H C "
    "+ 2 D G C + 3 D F) weights of the blocks, E = D V of the head. Work takes the longer of operations over measured peak and bytes "
    "over measured read bandwidth; bytes that the last cache holds count as nothing",
    "LoRA step": "4 R (M + E) + 12 L H C R (S + 1) / 2 + 6 R r (sum of inputs and outputs of all adapted matrices) operations for R rows "
    "in sequences of S: forward and the gradient of inputs through frozen weights, attention forward once and backward twice that, "
    "adapters three times",
    "sampling": "prompt: 2 R M + 2 E a prompt + 4 L H C R (P + 1) / 2 operations; each further token: 2 (M + E) + 4 L H C (context) "
    "operations a sequence, and 2 (M + E) bytes of weights a step and 4 L G C bytes a position of context (a shared "
    "prompt once)",
    "GRPO step": "rollout as for sampling (weights of 4 bytes), then each inner epoch as a LoRA step on completions and their prompts "
    "(once a group)",
    "product": "2 T N K operations",
}


def shape(folder):
    c = json.loads((folder / "config.json").read_text())
    D, L, H, F, V = (c[k] for k in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"))
    G, C = c["num_key_value_heads"], c.get("head_dim") or D // H
    linears = 2 * (D + H * C) + 2 * (D + G * C) + 3 * (D + F)
    return types.SimpleNamespace(
        D=D, L=L, H=H, G=G, C=C, F=F, V=V, M=L * (2 * D * H * C + 2 * D * G * C + 3 * D * F), E=D * V, adapted=L * linears,
        heads=L * H * C, cached=L * G * C)


def training_operations(s, rows, logits, pairs, rank=16):
    """Forward and backward of a LoRA adapter; `pairs` of a query and a key that it sees, in one layer."""
    return 4 * (rows * s.M + logits * s.E) + 12 * s.heads * pairs + 6 * rows * rank * s.adapted


def lora_seconds(s, machine, sequences, length):
    rows = sequences * length
    operations = training_operations(s, rows, rows, rows * (length + 1) / 2)
    return longer(machine, operations, 4 * (s.M + s.E), "bf16")


def longer(machine, operations, bytes_, kind):
    return max(operations / machine.peak(kind), bytes_ / machine.bandwidth() if bytes_ > machine.cache else 0)


def prompt_seconds(s, machine, prompts, length, kind="bf16"):
    rows = prompts * length
    operations = 2 * rows * s.M + 2 * prompts * s.E + 4 * s.heads * rows * (length + 1) / 2
    return longer(machine, operations, width(kind) * (s.M + s.E), kind)


def decoding_seconds(s, machine, prompts, length, sequences, steps, kind="bf16"):
    """`steps` tokens of each sequence after the first, which the prompt's own pass gives."""
    total = 0.0
    for own in range(1, steps + 1):
        operations = sequences * (2 * (s.M + s.E) + 4 * s.heads * (length + own))
        bytes_ = width(kind) * (s.M + s.E + 2 * s.cached * (prompts * length + sequences * own))
        total += longer(machine, operations, bytes_, kind)
    return total


def width(kind):
    return 2 if kind == "bf16" else 4


def grpo_seconds(s, machine, prompts, length, group, new, epochs):
    rows = prompts * (length + group * new)
    pairs = prompts * (length * (length + 1) / 2 + group * (new * length + new * (new + 1) / 2))
    update = training_operations(s, rows, prompts * group * new, pairs) / machine.peak("fp32")
    rollout = prompt_seconds(s, machine, prompts, length, "fp32")
    rollout += decoding_seconds(s, machine, prompts, length, prompts * group, new - 1, "fp32")
    return rollout + epochs * update
