import Support

/// Which keys of a `config.json` this program answers for. Each is computed, known to change nothing, or allowed with the
/// value it would have anyway; any other is refused by name, since what it changes is not known.
enum ConfigurationKeys {
  /// Read by ``ModelConfiguration``.
  static let computed: Set<String> = [
    "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "rms_norm_eps", "max_position_embeddings", "tie_word_embeddings", "rope_parameters", "rope_scaling", "rope_theta",
    "use_sliding_window", "hidden_act", "architectures", "eos_token_id", "quantization_config",
  ]

  /// What they say changes no log-probability: where a model came from, how it is sampled, kept or initialised.
  private static let irrelevant: Set<String> = [
    "_name_or_path", "_model_name_or_path", "unk_token_id", "_commit_hash", "_attn_implementation", "_attn_implementation_autoset", "attn_implementation", "dtype", "torch_dtype",
    "transformers_version", "transformers.js_config", "use_cache", "initializer_range", "bos_token_id", "pad_token_id", "sep_token_id",
    "decoder_start_token_id", "max_window_layers", "sliding_window", "id2label", "label2id", "num_labels", "problem_type", "finetuning_task",
    "tokenizer_class", "prefix", "task_specific_params", "return_dict", "return_dict_in_generate", "output_hidden_states", "output_attentions",
    "output_scores", "torchscript", "tf_legacy_loss", "use_bfloat16", "chunk_size_feed_forward", "is_encoder_decoder", "temperature", "top_k",
    "top_p", "typical_p", "do_sample", "early_stopping", "max_length", "min_length", "max_new_tokens", "num_beams", "num_beam_groups",
    "num_return_sequences", "diversity_penalty", "length_penalty", "repetition_penalty", "encoder_no_repeat_ngram_size", "no_repeat_ngram_size",
    "bad_words_ids", "begin_suppress_tokens", "suppress_tokens", "forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty",
    "remove_invalid_values", "unsloth_fixed", "unsloth_version", "model_name", "keys_to_ignore_at_inference", "auto_map", "bos_token", "eos_token",
    "ignore_keys_at_rope_validation", "seq_length", "model_max_length", "training_args", "use_mrope",
  ]

  /// Keys with the one value under which they change nothing.
  private static let required: [String: JSON] = [
    "attention_dropout": .integer(0), "hidden_dropout": .integer(0), "resid_pdrop": .integer(0), "embd_pdrop": .integer(0), "pretraining_tp": .integer(1),
    "logit_scale": .integer(1), "logits_scaling": .integer(1), "embedding_multiplier": .integer(1), "residual_multiplier": .integer(1),
    "partial_rotary_factor": .integer(1), "is_causal": .bool(true), "use_causal_mask": .bool(true), "causal": .bool(true), "use_rotary": .bool(true), "use_rope": .bool(true), "use_rms_norm": .bool(true), "scale_attn_weights": .bool(true),
  ]

  /// Parts of the names of keys that multiply: 0 does not turn them off.
  private static let factors = ["multiplier", "scal", "factor", "ratio", "gain", "eps", "theta"]

  /// A value that turns its key off.
  static func isOff(_ value: JSON) -> Bool {
    switch value {
    case .null, .bool(false): true
    case .array(let items): items.isEmpty
    case .object(let object): object.count == 0
    case .integer, .number, .literal: value.double == 0
    default: false
    }
  }

  static func check(_ json: JSON, family: any ModelFamily.Type, path: String) throws(Failure) {
    guard let object = json.object else { return }
    for key in object.keys where !computed.contains(key) && !irrelevant.contains(key) && !family.computedKeys.contains(key) {
      guard let value = object[key], !value.isNull else { continue }
      if let expected = family.requiredKeys[key] ?? required[key] {
        if value == expected || value.double != nil && value.double == expected.double { continue }
        throw .badData("\(path): \"\(key)\": expected \(expected.kind), found \(value.kind); nothing else is computed")
      }
      let isFactor = value.double != nil && factors.contains { key.contains($0) }
      if isOff(value), !isFactor { continue }
      if key == "layer_types" {
        guard let types = value.array, types.allSatisfy({ $0.string == "full_attention" }) else {
          let other = value.array?.first { $0.string != "full_attention" } ?? value
          throw .badData("\(path): \"layer_types\": expected \"full_attention\" in every layer, found \(other.kind); other attention is not computed")
        }
        if let layers = object["num_hidden_layers"]?.int, types.count != layers {
          throw .badData("\(path): \"layer_types\": expected \(layers) layers (num_hidden_layers), found \(types.count)")
        }
        continue
      }
      throw .badData(
        "\(path): \"\(key)\": \(value.kind): this program does not know what the key changes; if it changes nothing in the computation, remove it from the file")
    }
    if let names = object["architectures"]?.array, !names.isEmpty, !names.contains(.string(family.className)) {
      throw .badData("\(path): \"architectures\": expected \"\(family.className)\", found \(names[0].kind); another head on the model is not computed")
    }
  }

  /// A key that is true or false; false where it is not there.
  static func flag(_ json: JSON, _ key: String, path: String) throws(Failure) -> Bool {
    guard let value = json[key], !value.isNull else { return false }
    guard let flag = value.bool else { throw .badData("\(path): \"\(key)\": expected true or false, found \(value.kind)") }
    return flag
  }

  /// The one rotary embedding that `rope_theta`, `rope_parameters` and `rope_scaling` give; a scaling that is not computed is refused
  /// by name.
  static func rotary(_ json: JSON, path: String) throws(Failure) -> RotarySettings {
    var found: (key: String, theta: Double)?
    var stretch: RotarySettings.Stretch?
    func take(_ value: JSON?, _ key: String) throws(Failure) {
      guard let value, !value.isNull else { return }
      guard let theta = value.double, theta > 0, theta.isFinite, Float(theta).isFinite else {
        throw .badData("\(path): \"\(key)\": expected a positive number, found \(value.kind)")
      }
      if let found, found.theta != theta {
        throw .badData("\(path): \"\(found.key)\" (\(found.theta)) and \"\(key)\" (\(theta)) contradict each other")
      }
      found = (key, theta)
    }
    try take(json["rope_theta"], "rope_theta")
    for key in ["rope_parameters", "rope_scaling"] {
      guard let rope = json[key], !rope.isNull else { continue }
      guard let object = rope.object else { throw .badData("\(path): \"\(key)\": expected an object or null, found \(rope.kind)") }
      var isStretched = false
      for name in ["rope_type", "type"] {
        guard let value = object[name], !value.isNull else { continue }
        if value.string == "llama3" {
          isStretched = true
        } else if value.string != "default" {
          throw .badData("\(path): \"\(key)\": rope type: expected \"default\" or \"llama3\", found \(value.kind); other scaled rotary embeddings are not computed")
        }
      }
      for name in object.keys {
        guard let value = object[name], !value.isNull else { continue }
        switch name {
        case "rope_type", "type": break
        case "rope_theta": try take(value, "\(key).rope_theta")
        case "partial_rotary_factor" where value.double == 1: break
        case let name where isStretched && RotarySettings.Stretch.keys.contains(name): break
        default:
          throw .badData("\(path): \"\(key)\": \"\(name)\" (\(value.kind)) is not computed; only plain rotary embeddings and Llama 3's are")
        }
      }
      guard isStretched else { continue }
      let read = try RotarySettings.Stretch(object, name: "\(path): \"\(key)\"")
      if let stretch, stretch != read { throw .badData("\(path): \"rope_parameters\" and \"rope_scaling\" contradict each other") }
      stretch = read
    }
    return RotarySettings(theta: found?.theta ?? 10_000, stretch: stretch)
  }
}
