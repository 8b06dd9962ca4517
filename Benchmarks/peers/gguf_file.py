"""Writes a Qwen2 folder in bfloat16 as a GGUF file for llama.cpp, without a vocabulary: tokens go in and out as numbers.

usage: gguf_file.py FOLDER OUT.gguf
"""

import json
import pathlib
import sys

import gguf
import torch
from safetensors.torch import load_file


def main(folder, out):
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(str(out), "qwen2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config["vocab_size"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config["num_hidden_layers"])
    for name, tensor in load_file(folder / "model.safetensors").items():
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if tensor.dim() == 1:  # norms and biases: llama.cpp wants float32
            writer.add_tensor(new, tensor.float().numpy())
        else:
            assert tensor.dtype == torch.bfloat16, name
            writer.add_tensor(new, tensor.view(torch.uint8).numpy(), raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
