"""llama.cpp (llama-cpp-python, by its C interface) on a GGUF file: sampling.

usage: llama_worker.py MODEL.gguf THREADS (worker.py speaks to it)

Several completions of one prompt: the prompt is computed once and its keys and values are given to all sequences. Cache and batch sizes are
set so that prompts and steps are each one call, everything else is llama.cpp's default.
"""

import sys
import time

from worker import serve

import llama_cpp as l

threads = int(sys.argv[2])
quiet = l.llama_log_callback(lambda level, text, data: None)
l.llama_log_set(quiet, None)
l.llama_backend_init()
model = l.llama_model_load_from_file(sys.argv[1].encode(), l.llama_model_default_params())
assert model, f"llama.cpp does not load {sys.argv[1]}"
vocabulary = l.llama_vocab_n_tokens(l.llama_model_get_vocab(model))


def context(sequences, length, batch, unified):
    p = l.llama_context_default_params()
    p.n_seq_max, p.n_ctx, p.n_batch, p.n_ubatch = sequences, sequences * length, batch, min(batch, 512)
    p.n_threads = p.n_threads_batch = threads
    p.kv_unified = unified
    made = l.llama_init_from_model(model, p)
    assert made, "llama.cpp makes no context"
    return made


def sampler(seed):
    chain = l.llama_sampler_chain_init(l.llama_sampler_chain_default_params())
    l.llama_sampler_chain_add(chain, l.llama_sampler_init_temp(0.8))
    l.llama_sampler_chain_add(chain, l.llama_sampler_init_dist(seed))
    return chain


def decode(made, batch, rows):
    """`rows`: token, position, sequence, whether its logits are wanted."""
    batch.n_tokens = len(rows)
    for i, (token, position, sequence, wanted) in enumerate(rows):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, position, 1, wanted
        batch.seq_id[i][0] = sequence
    result = l.llama_decode(made, batch)
    assert result == 0, f"llama_decode: {result}"


def generate(ids, samples, new):
    sequences, length = len(ids) * samples, len(ids[0])
    # One cache for all where they share a prompt, else one a sequence: the faster of the two each time, as measured.
    made = context(sequences, (length + new + 255) // 256 * 256, max(len(ids) * length, sequences), samples > 1)
    batch = l.llama_batch_init(max(len(ids) * length, sequences), 0, 1)
    samplers = [sampler(seed) for seed in range(sequences)]
    start = time.perf_counter()
    decode(made, batch, [(t, i, prompt * samples, i == length - 1) for prompt, tokens in enumerate(ids) for i, t in enumerate(tokens)])
    prompt_seconds = time.perf_counter() - start
    memory = l.llama_get_memory(made)
    at = []
    for prompt in range(len(ids)):
        for sample in range(samples):
            if sample:
                l.llama_memory_seq_cp(memory, prompt * samples, prompt * samples + sample, -1, -1)
            at.append(prompt * length + length - 1)
    tokens = [l.llama_sampler_sample(samplers[s], made, at[s]) for s in range(sequences)]
    drawn = [[t] for t in tokens]
    for step in range(new - 1):
        decode(made, batch, [(t, length + step, s, True) for s, t in enumerate(tokens)])
        tokens = [l.llama_sampler_sample(samplers[s], made, s) for s in range(sequences)]
        for list_, t in zip(drawn, tokens):
            list_.append(t)
    seconds = time.perf_counter() - start
    for chain in samplers:
        l.llama_sampler_free(chain)
    l.llama_batch_free(batch)
    l.llama_free(made)
    assert all(len(d) == new and all(0 <= t < vocabulary for t in d) for d in drawn)
    return {"seconds": seconds, "prompt_seconds": prompt_seconds, "tokens": sequences * new}


def logits(ids):
    """The first numbers of the last row: for a comparison with transformers."""
    made = context(1, 512, 512, False)
    batch = l.llama_batch_init(512, 0, 1)
    decode(made, batch, [(t, i, 0, i == len(ids) - 1) for i, t in enumerate(ids)])
    row = l.llama_get_logits_ith(made, len(ids) - 1)
    found = [row[i] for i in range(vocabulary)]
    l.llama_free(made)
    return found


serve({"generate": generate, "logits": logits})
