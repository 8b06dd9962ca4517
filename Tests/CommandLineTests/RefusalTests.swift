import Support
import TestSupport
import Testing

/// What is not computed is refused by the name of its key, before anything else.
@Suite struct RefusalTests {
  @Test(arguments: [
    ("rope_scaling", ["rope_type": "yarn", "factor": 4.0], "yarn"), ("rope_scaling", ["type": "linear", "factor": 2.0], "linear"),
    ("rope_scaling", ["rope_type": "dynamic", "factor": 2.0], "dynamic"), ("rope_theta", 777.0, "contradict"),
    ("rope_parameters", ["rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]], "mrope_section"),
    ("rope_parameters", ["rope_type": "default", "partial_rotary_factor": 0.5], "partial_rotary_factor"), ("rope_parameters", "default", "\"rope_parameters\""),
    ("partial_rotary_factor", 0.25, "partial_rotary_factor"), ("quantization_config", ["quant_method": "awq", "bits": 4], "quantised (awq)"),
    ("quantization_config", ["quant_method": "fp8"], "quantised (fp8)"), ("quantization_config", ["load_in_4bit": true], "quantised (bitsandbytes): \"bnb_4bit_quant_type\" fp4"),
    ("quantization_config", ["quant_method": "bitsandbytes", "load_in_8bit": true], "load_in_8bit"),
    ("quantization_config", ["load_in_4bit": true, "bnb_4bit_quant_type": "nf4", "bnb_4bit_quant_storage": "bfloat16"], "bnb_4bit_quant_storage"),
    ("quantization_config", ["load_in_4bit": true, "bnb_4bit_quant_type": "nf4", "a_new_key": 1], "a_new_key"),
    ("quantization_config", ["load_in_4bit": true, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float16"], "bnb_4bit_compute_dtype"),
    ("quantization_config", 4, "expected an object"),
    ("layer_types", ["full_attention", "sliding_attention"], "sliding_attention"), ("layer_types", ["full_attention"], "expected 2 layers"),
    ("use_sliding_window", 1, "use_sliding_window"), ("use_sliding_window", "true", "use_sliding_window"), ("hidden_act", "gelu_new", "hidden_act"),
    ("hidden_act", nil, "") , ("mlp_bias", true, "mlp_bias"), ("attention_bias", true, "attention_bias"), ("final_logit_softcapping", 30.0, "final_logit_softcapping"),
    ("logit_scale", 0.5, "logit_scale"), ("num_experts", 8, "num_experts"), ("embedding_multiplier", 2.0, "embedding_multiplier"), ("use_qk_norm", true, "use_qk_norm"),
    ("attention_dropout", 0.1, "attention_dropout"), ("some_new_key", 3, "some_new_key"), ("architectures", ["Qwen2ForSequenceClassification"], "architectures"),
    ("rms_norm_eps", 1e-60, "rms_norm_eps"), ("num_hidden_layers", .literal("9223372036854775808"), "num_hidden_layers"),
  ] as [(String, JSON?, String)])
  func aKeyThatChangesTheComputationIsNamed(_ key: String, _ value: JSON?, _ expected: String) throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    try change(model + "/config.json", key, value)
    if key == "hidden_act", value == nil {
      // The family's default.
      #expect(try score(model, folder).code == 0)
    } else {
      expectRefusal(try score(model, folder), 65, model + "/config.json", expected)
    }
  }

  @Test(arguments: [
    ("rope_scaling", .null), ("attention_bias", false), ("use_cache", false), ("torch_dtype", "bfloat16"), ("sliding_window", 4096), ("max_window_layers", 21),
    ("num_experts", 0), ("quantization_config", .null), ("unsloth_version", "2025.1"), ("layer_types", nil), ("rope_theta", 10000), ("attention_dropout", 0),
  ] as [(String, JSON?)])
  func aKeyThatChangesNothingPasses(_ key: String, _ value: JSON?) throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    try change(model + "/config.json", key, value)
    let result = try score(model, folder)
    #expect(result.code == 0, "\(key): \(result.error)")
  }

  /// The model's folder with its tensors changed.
  private func model(_ folder: TrialFolder, _ change: (inout SafetensorsWriter, SafetensorsFile) throws -> Void) throws -> String {
    let copy = try folder.copy(Place.model, "model")
    let file = try SafetensorsFile(Place.model + "/model.safetensors")
    var writer = SafetensorsWriter()
    for name in file.names { writer.add(name, try file.floats(name), shape: try file.entry(name).shape) }
    try change(&writer, file)
    try writer.write(to: copy + "/model.safetensors")
    return copy
  }

  @Test func aTiedModelWithAnotherHeadIsRefusedWithItsOwnItIsRead() throws {
    let embedding = "model.embed_tokens.weight"
    for factor in [Float(1), 1.5] {
      let folder = try TrialFolder()
      let model = try model(folder) { writer, file in
        writer.add("lm_head.weight", try file.floats(embedding).map { $0 * factor }, shape: try file.entry(embedding).shape)
      }
      if factor == 1 {
        #expect(try score(model, folder).code == 0)
      } else {
        expectRefusal(try score(model, folder), 65, "tie_word_embeddings", "lm_head.weight")
      }
    }
  }

  @Test(arguments: [
    ("model.layers.0.self_attn.q_norm.weight", "q_norm"), ("model.layers.7.mlp.up_proj.weight", "layers.7"), ("score.weight", "score.weight"),
    ("model.layers.0.mlp.up_proj.weight.absmax", "quantised"), ("model.layers.0.mlp.up_proj.qweight", "quantised"),
  ])
  func aTensorThatBelongsToNothingIsNamed(_ name: String, _ expected: String) throws {
    let folder = try TrialFolder()
    let model = try model(folder) { writer, _ in writer.add(name, [Float(1), 2], shape: [2]) }
    expectRefusal(try score(model, folder), 65, expected)
    let buffer = try TrialFolder()
    #expect(try score(self.model(buffer) { writer, _ in writer.add("model.layers.0.self_attn.rotary_emb.inv_freq", [Float(1)], shape: [1]) }, buffer).code == 0)
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity]) func weightsThatAreNoNumbersAreNamed(_ value: Float) throws {
    let folder = try TrialFolder()
    let copy = try folder.copy(Place.model, "model")
    let file = try SafetensorsFile(Place.model + "/model.safetensors")
    var writer = SafetensorsWriter()
    for name in file.names {
      var values = try file.floats(name)
      if name == "model.norm.weight" { values[5] = value }
      writer.add(name, values, shape: try file.entry(name).shape)
    }
    try writer.write(to: copy + "/model.safetensors")
    expectRefusal(try score(copy, folder), 65, "model.norm.weight", "value 5")
  }

  @Test(arguments: [
    ("init_lora_weights", "pissa"), ("init_lora_weights", "pissa_niter_16"), ("init_lora_weights", "olora"), ("init_lora_weights", "corda"),
    ("init_lora_weights", "loftq"), ("init_lora_weights", "lora_ga"), ("use_dora", true), ("use_dora", 1), ("alora_invocation_tokens", [1, 2]),
    ("loftq_config", ["loftq_bits": 4]), ("corda_config", ["x": 1]), ("lora_bias", true), ("modules_to_save", ["lm_head"]),
    ("modules_to_save", .literal("-9223372036854775808.0")), ("rank_pattern", ["q_proj": 2]), ("trainable_token_indices", [1]), ("bias", "all"),
    ("fan_in_fan_out", true), ("use_rslora", 1), ("lora_alpha", 1e308), ("lora_alpha", .literal("1e400")), ("r", .literal("9223372036854775808")), ("use_qalora", true),
    ("arrow_config", ["x": 1]), ("a_key_of_tomorrow", true), ("task_type", "SEQ_CLS"), ("peft_type", "IA3"), ("target_parameters", ["x"]),
  ] as [(String, JSON)])
  func anAdapterThatMeansSomethingElseIsNamed(_ key: String, _ value: JSON) throws {
    let folder = try TrialFolder()
    let adapter = try folder.copy(Place.adapter, "adapter")
    try change(adapter + "/adapter_config.json", key, value)
    expectRefusal(try score(Place.model, folder, "--adapter", adapter), 65, adapter + "/adapter_config.json", "\"\(key)\"")
  }

  @Test(arguments: [
    ("init_lora_weights", false), ("init_lora_weights", "gaussian"), ("use_dora", false), ("loftq_config", [:]), ("runtime_config", ["ephemeral_gpu_offload": false]),
    ("megatron_core", "megatron.core"), ("qalora_group_size", 16), ("exclude_modules", .null), ("a_key_of_tomorrow", .null), ("peft_version", "0.21.2"),
  ] as [(String, JSON)])
  func anAdapterThatMeansTheSamePasses(_ key: String, _ value: JSON) throws {
    let folder = try TrialFolder()
    let adapter = try folder.copy(Place.adapter, "run/adapter")
    try change(adapter + "/adapter_config.json", key, value)
    // A run's folder names its adapter.
    #expect(try score(Place.model, folder, "--adapter", folder.file("run")).code == 0)
  }

  @Test func anAdapterThatHoldsNoNumberIsNamedByItsTensor() throws {
    let folder = try TrialFolder()
    let adapter = try folder.copy(Place.adapter, "adapter")
    let file = try SafetensorsFile(Place.adapter + "/adapter_model.safetensors")
    var writer = SafetensorsWriter()
    let bad = try #require(file.names.last)
    for name in file.names {
      var values = try file.floats(name)
      if name == bad { values[0] = .nan }
      writer.add(name, values, shape: try file.entry(name).shape)
    }
    try writer.write(to: adapter + "/adapter_model.safetensors")
    expectRefusal(try score(Place.model, folder, "--adapter", adapter), 65, bad)
  }

  @Test(arguments: [
    ["--lora-rank", "8", "--full"], ["--lora-alpha", "8", "--adapter", Place.adapter], ["--lora-targets", "q_proj,k_proj,q_proj"], ["--lora-alpha", "1e19"],
    ["--lora-rank", "9223372036854775807"], ["--batch-size", "9223372036854775807"], ["--epochs", "9223372036854775807"], ["--max-steps", "9223372036854775808"],
    ["--max-length", "1e9"], ["--lr", "1e300"], ["--lr", "nan"],
  ])
  func anOptionInVainOrOutOfBoundsIsAUsageError(_ words: [String]) throws {
    let folder = try TrialFolder()
    expectRefusal(
      try tool(["sft", "--model", Place.model, "--data", Place.texts, "--out", folder.file("run"), "--quiet"] + words), 64, words[0])
    #expect(!Files.exists(folder.file("run")))
  }

  @Test func anExportGoesIntoANewFolderAndSaysHowItWasTrained() throws {
    let folder = try TrialFolder()
    try Files.makeDirectory(folder.file("full"))
    try folder.write("{}", "full/model.safetensors.index.json")
    expectRefusal(
      try tool("export", "--model", Place.model, "--adapter", Place.adapter, "--out", folder.file("full")), 64, "model.safetensors.index.json", "new or empty folder")
    #expect(try Files.list(folder.file("full")) == ["model.safetensors.index.json"])
    try Files.makeDirectory(folder.file("empty"))
    let result = try tool("export", "--model", Place.model, "--adapter", Place.adapter, "--out", folder.file("empty"))
    #expect(result.code == 0, "\(result.error)")
    let template = try Files.readText(folder.file("empty/chat_template.jinja"))
    #expect(template.contains("<think>"))
    #expect(try JSON.read(folder.file("empty/tokenizer_config.json"))["chat_template"]?.string == template)
    let ends = try #require(try JSON.read(folder.file("empty/generation_config.json"))["eos_token_id"]?.array)
    #expect(ends.contains(299) && !ends.isEmpty)
    #expect(!(try Files.list(folder.path)).contains { $0.contains(".tmp-") })
  }

  /// As a Qwen2.5 base folder: its ends name one token, SFT's examples end with another.
  @Test func aCompletionEndsWithEveryTokenThatIsKnownToEndOne() throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    let tokenizer = try JSON.read(model + "/tokenizer.json")
    let added = try #require(tokenizer["added_tokens"]?.array)
    let turnEnd = try #require(added.first { $0["content"]?.string == "<|im_end|>" }?["id"]?.int)
    let text = try #require(added.first { $0["content"]?.string == "<|endoftext|>" }?["id"]?.int)
    try change(model + "/config.json", "eos_token_id", .integer(text))
    try change(model + "/generation_config.json", "eos_token_id", .integer(text))
    let out = folder.file("merged")
    #expect(try tool("export", "--model", model, "--adapter", Place.adapter, "--out", out).code == 0)
    let ends = try #require(try JSON.read(out + "/generation_config.json")["eos_token_id"]?.array?.compactMap(\.int))
    #expect(ends.first == text && ends.contains(turnEnd))
    try change(model + "/config.json", "eos_token_id", 5000)
    expectRefusal(try tool("generate", "--model", model, "--prompt", "a"), 65, "5000", "300 ids")
  }
}
