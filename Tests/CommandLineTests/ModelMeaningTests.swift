import Support
import TestSupport
import Testing

/// What a folder's files say is what is computed, also where two of them could say different things. Right values: transformers
/// and peft, by Tests/Oracles/check_meaning.py.
@Suite struct ModelMeaningTests {
  private static let layers = Place.transformerGoldens

  /// Rewrites a file of weights with its tensors changed.
  private func rewrite(_ path: String, _ change: (inout [String: (values: [Float], shape: [Int])]) -> Void) throws {
    let file = try SafetensorsFile(path)
    var tensors: [String: (values: [Float], shape: [Int])] = [:]
    for name in file.names { tensors[name] = (try file.floats(name), try file.entry(name).shape) }
    change(&tensors)
    var writer = SafetensorsWriter()
    for (name, tensor) in tensors { writer.add(name, tensor.values, shape: tensor.shape) }
    try writer.write(to: path)
  }

  /// "Off" does not mean the same for every key: without `is_causal` transformers looks ahead.
  @Test(arguments: [
    ("is_causal", false), ("is_causal", 0), ("use_causal_mask", false), ("qkv_bias", false), ("partial_rotary_factor", 0), ("partial_rotary_factor", 0.0),
    ("partial_rotary_factor", false), ("logit_scale", 0), ("logits_scaling", 0.0), ("embedding_multiplier", 0), ("residual_multiplier", 0.5),
    ("attention_multiplier", 0), ("some_scale_of_tomorrow", 0.0), ("pretraining_tp", 0), ("use_rope", false),
  ] as [(String, JSON)])
  func aKeyThatChangesSomethingWhenItIsOffIsNamed(_ key: String, _ value: JSON) throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    try change(model + "/config.json", key, value)
    expectRefusal(try score(model, folder), 65, model + "/config.json", "\"\(key)\"")
  }

  @Test(arguments: [
    ("is_causal", true), ("is_causal", .null), ("partial_rotary_factor", 1.0), ("embedding_multiplier", 1), ("pretraining_tp", 1), ("qkv_bias", true),
    ("final_logit_softcapping", .null), ("use_qk_norm", false),
  ] as [(String, JSON)])
  func aKeyWithTheValueThatIsComputedPasses(_ key: String, _ value: JSON) throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    try change(model + "/config.json", key, value)
    let result = try score(model, folder)
    #expect(result.code == 0, "\(key): \(result.error)")
  }

  @Test func quantisationIsNamedBeforeAnythingElse() throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    try change(model + "/config.json", "model_type", "llama")
    try change(model + "/config.json", "quantization_config", ["load_in_8bit": true])
    try Files.removeTree(model + "/model.safetensors")
    expectRefusal(try score(model, folder), 65, "quantised (bitsandbytes)")
  }

  @Test(arguments: ["F8_E4M3", "F8_E5M2", "I8"]) func quantisedWeightsAreNamedByTheirType(_ type: String) throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    let header = "{\"model.norm.weight\": {\"dtype\": \"\(type)\", \"shape\": [1], \"data_offsets\": [0, 1]}}"
    try AtomicFile.write([UInt8(header.utf8.count), 0, 0, 0, 0, 0, 0, 0] + Array(header.utf8) + [0], to: model + "/model.safetensors")
    expectRefusal(try score(model, folder), 65, "model.norm.weight", type, "quantised")
  }

  @Test func aShardThatHoldsMoreThanItsIndexSaysIsReadWhole() throws {
    for name in ["model.layers.0.self_attn.q_norm.weight", "model.layers.0.mlp.up_proj.weight_scale"] {
      let folder = try TrialFolder()
      let model = try folder.copy(Self.layers + "/untied", "model")
      try rewrite(model + "/model-00001-of-00002.safetensors") { $0[name] = ([1, 2], [2]) }
      expectRefusal(try score(model, folder), 65, name)
    }
    // The same tensor in two shards: which is meant, the files do not say.
    let folder = try TrialFolder()
    let model = try folder.copy(Self.layers + "/untied", "model")
    let second = try SafetensorsFile(model + "/model-00002-of-00002.safetensors")
    let name = try #require(second.names.first)
    let (values, shape) = (try second.floats(name), try second.entry(name).shape)
    try rewrite(model + "/model-00001-of-00002.safetensors") { $0[name] = (values, shape) }
    expectRefusal(try score(model, folder), 65, name, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
  }

  @Test func aTiedModelWhoseShardHidesAnotherHeadIsRefused() throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Self.layers + "/untied", "model")
    // transformers takes the file's head; the index does not mention it.
    let index = model + "/model.safetensors.index.json"
    var map = try #require(try JSON.read(index)["weight_map"]?.object)
    map["lm_head.weight"] = nil
    try AtomicFile.write(JSON.object(["weight_map": .object(map)]).text(), to: index)
    #expect(try score(model, folder).code == 0)
    try change(model + "/config.json", "tie_word_embeddings", true)
    expectRefusal(try score(model, folder), 65, "tie_word_embeddings", "lm_head.weight")
  }

  @Test func aHeadThatIsMissingIsNamedWithTheKeyThatTiesIt() throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    try change(model + "/config.json", "tie_word_embeddings", nil)
    expectRefusal(try score(model, folder), 65, "lm_head.weight", "tie_word_embeddings")
  }

  @Test func float64WeightsThatFloat32CannotHoldAreNamed() throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    let file = try SafetensorsFile(model + "/model.safetensors")
    var writer = SafetensorsWriter()
    for name in file.names {
      let shape = try file.entry(name).shape
      if name == "model.norm.weight" {
        writer.add(name, try file.floats(name).enumerated().map { $0.offset == 3 ? 1e300 : Double($0.element) }, shape: shape)
      } else {
        writer.add(name, try file.floats(name), shape: shape)
      }
    }
    try writer.write(to: model + "/model.safetensors")
    expectRefusal(try score(model, folder), 65, "model.norm.weight", "value 3")
  }

  @Test func aScoreThatIsNoNumberIsNotWritten() throws {
    let folder = try TrialFolder()
    let adapter = try folder.copy(Place.adapter, "adapter")
    try rewrite(adapter + "/adapter_model.safetensors") { tensors in
      tensors = tensors.mapValues { ([Float](repeating: 3e38, count: $0.values.count), $0.shape) }
    }
    expectRefusal(try score(Place.model, folder, "--adapter", adapter), 65, adapter, "not a finite number")
    #expect(!Files.exists(folder.file("o")))
    expectRefusal(
      try tool("export", "--model", Place.model, "--adapter", adapter, "--out", folder.file("merged")), 65, "_proj.weight", "merged")
    let names = try Files.list(folder.path)
    #expect(!names.contains { $0.hasPrefix("merged") })
  }

  @Test(arguments: [
    ("target_modules", ["q_proj", "k_proj"]), ("target_modules", .null), ("target_modules", []), ("target_modules", ".*q_proj"), ("target_modules", ["proj"]),
    ("target_modules", 3), ("target_modules", "(unclosed"), ("exclude_modules", ["v_proj"]), ("exclude_modules", ".*layers\\.1\\..*"),
    ("exclude_modules", ["model.layers.0.mlp.up_proj"]), ("layers_to_transform", [0]), ("layers_to_transform", 1), ("layers_to_transform", "0"),
    ("lora_dropout", "0.1"), ("lora_dropout", 2),
  ] as [(String, JSON)])
  func anAdapterWhoseTensorsAreNotOnTheModulesItNamesIsRefused(_ key: String, _ value: JSON) throws {
    let folder = try TrialFolder()
    let adapter = try folder.copy(Place.adapter, "adapter")
    try change(adapter + "/adapter_config.json", key, value)
    expectRefusal(try score(Place.model, folder, "--adapter", adapter), 65, adapter + "/adapter_config.json", "\"\(key)\"")
  }

  @Test(arguments: [
    ("target_modules", "all-linear"), ("target_modules", "(?:.*?(?:self_attn|mlp).*?(?:q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj))"),
    ("target_modules", ["q_proj", "k_proj", "v_proj", "self_attn.o_proj", "gate_proj", "up_proj", "mlp.down_proj", "lm_head"]),
    ("exclude_modules", []), ("exclude_modules", ["lm_head"]), ("layers_to_transform", []), ("layers_to_transform", [0, 1]), ("lora_dropout", 0.05),
  ] as [(String, JSON)])
  func anAdapterWhoseTensorsAreOnTheModulesItNamesPasses(_ key: String, _ value: JSON) throws {
    let folder = try TrialFolder()
    let adapter = try folder.copy(Place.adapter, "adapter")
    try change(adapter + "/adapter_config.json", key, value)
    let result = try score(Place.model, folder, "--adapter", adapter)
    #expect(result.code == 0, "\(key): \(result.error)")
  }

  @Test func anAdapterThatLacksTheTensorsOfAModuleItNamesIsRefused() throws {
    let folder = try TrialFolder()
    let adapter = try folder.copy(Place.adapter, "adapter")
    try rewrite(adapter + "/adapter_model.safetensors") { tensors in
      for name in tensors.keys where name.contains("layers.1.mlp.up_proj") { tensors[name] = nil }
    }
    expectRefusal(try score(Place.model, folder, "--adapter", adapter), 65, "model.layers.1.mlp.up_proj", "target_modules")
  }

  @Test func dropoutOfALoadedAdapterIsSaidBeforeTraining() throws {
    let folder = try TrialFolder()
    let adapter = try folder.copy(Place.adapter, "adapter")
    try change(adapter + "/adapter_config.json", "lora_dropout", 0.1)
    let words = ["sft", "--model", Place.model, "--adapter", adapter, "--data", Place.texts, "--out", folder.file("run"), "--dry-run"]
    let result = try tool(words)
    #expect(result.code == 0 && result.error.contains("\"lora_dropout\" 0.1"), "\(result.error)")
    try change(adapter + "/adapter_config.json", "lora_dropout", 0)
    let without = try tool(words)
    #expect(without.code == 0 && !without.error.contains("lora_dropout"))
  }

  @Test(arguments: ["new/", "new//", "deep/er/", "link", "link/", "dangling", "dangling/"])
  func anExportGoesWhereItsPathLeads(_ out: String) throws {
    let folder = try TrialFolder()
    try Files.makeDirectory(folder.file("real"))
    #expect(unsafe symlink("real", folder.file("link")) == 0 && symlink("later", folder.file("dangling")) == 0)
    let result = try tool("export", "--model", Place.model, "--adapter", Place.adapter, "--out", folder.file(out))
    #expect(result.code == 0, "\(result.error)")
    #expect(Files.exists(folder.file(out) + "/model.safetensors"))
    let names = try Files.list(folder.path)
    #expect(names.contains("link") && !names.contains { $0.contains(".tmp-") })
    if out.hasPrefix("dangling") { #expect(Files.exists(folder.file("later/config.json"))) }
    if out.hasPrefix("link") { #expect(Files.exists(folder.file("real/config.json"))) }
  }

  /// The end that lies outside is named by the file and key that say it, and only commands that need an end ask.
  @Test(arguments: [("config.json", "eos_token_id"), ("generation_config.json", "eos_token_id")])
  func anEndOutsideTheVocabularyIsNamedByItsFile(_ name: String, _ key: String) throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    try change("\(model)/\(name)", key, [299, 5000])
    for command in [
      ["generate", "--prompt", "a"], ["sft", "--data", Place.texts, "--out", folder.file("run")],
      ["export", "--adapter", Place.adapter, "--out", folder.file("out")],
    ] {
      expectRefusal(try tool(Array(command.prefix(1)) + ["--model", model] + command.dropFirst()), 65, "\(model)/\(name)", key, "5000")
    }
    #expect(try score(model, folder).code == 0)
  }
}
