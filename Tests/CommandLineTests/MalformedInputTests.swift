import Support
import TestSupport
import Testing

/// Every file that can be wrong is one line on standard error, with the file, the place and the right code.
@Suite struct MalformedInputTests {
  private func score(_ model: String, _ folder: TrialFolder, _ more: String...) throws -> ToolResult {
    let tokens = try folder.write("[[1, 2, 3]]", "tokens.json")
    return try tool(["score", "--model", model, "--tokens", tokens, "--out", folder.file("o")] + more)
  }

  /// The model's folder with one key of config.json replaced (or taken out).
  private func model(_ folder: TrialFolder, _ key: String, _ value: JSON?) throws -> String {
    let copy = try folder.copy(Place.model, "model")
    var config = try #require(try JSON.read(copy + "/config.json").object)
    config[key] = value
    try AtomicFile.write(JSON.object(config).text(), to: copy + "/config.json")
    return copy
  }

  @Test(arguments: [
    ("model_type", "gpt2", "\"model_type\": expected one of \"qwen2\""), ("vocab_size", nil, "\"vocab_size\" is missing"),
    ("vocab_size", "300", "\"vocab_size\": expected a positive whole number"), ("hidden_size", 0, "\"hidden_size\""),
    ("hidden_size", -32, "\"hidden_size\""), ("hidden_size", 32.5, "\"hidden_size\""), ("num_hidden_layers", 1e300, "\"num_hidden_layers\""),
    ("num_key_value_heads", 3, "must be a multiple of \"num_key_value_heads\" (3)"), ("num_attention_heads", 7, "\"hidden_size\" (32)"),
    ("rms_norm_eps", "small", "\"rms_norm_eps\""), ("tie_word_embeddings", "yes", "\"tie_word_embeddings\""),
    ("hidden_act", "gelu", "\"hidden_act\""), ("use_sliding_window", true, "\"use_sliding_window\""),
    ("rope_parameters", ["rope_type": "yarn", "rope_theta": 10000.0], "yarn"),
  ] as [(String, JSON?, String)])
  func aWrongKeyOfConfigJSONIsNamed(_ key: String, _ value: JSON?, _ expected: String) throws {
    let folder = try TrialFolder()
    let model = try model(folder, key, value)
    if key == "num_attention_heads" {
      var config = try #require(try JSON.read(model + "/config.json").object)
      config["num_key_value_heads"] = 7
      config["head_dim"] = nil
      try AtomicFile.write(JSON.object(config).text(), to: model + "/config.json")
    }
    expectRefusal(try score(model, folder), 65, model + "/config.json", expected)
  }

  @Test(arguments: [("intermediate_size", 50), ("vocab_size", 299), ("hidden_size", 64)] as [(String, JSON)])
  func weightsThatDoNotFitTheConfigurationAreNamedWithBothShapes(_ key: String, _ value: JSON) throws {
    let folder = try TrialFolder()
    let model = try model(folder, key, value)
    expectRefusal(try score(model, folder), 65, model + "/model.safetensors", "expected shape", "found")
  }

  @Test func aMissingTensorIsNamed() throws {
    let folder = try TrialFolder()
    let deeper = try model(folder, "num_hidden_layers", 3)
    var config = try #require(try JSON.read(deeper + "/config.json").object)
    config["layer_types"] = nil
    try AtomicFile.write(JSON.object(config).text(), to: deeper + "/config.json")
    expectRefusal(try score(deeper, folder), 65, "model.layers.2.input_layernorm.weight")
    let untied = try TrialFolder()
    expectRefusal(try score(model(untied, "tie_word_embeddings", false), untied), 65, "lm_head.weight")
  }

  @Test(arguments: ["", "{", "[]", "{\"model_type\": \"qwen2\",}", "\u{FEFF}{}", "nonsense"])
  func aConfigurationThatIsNoJSONObjectIsRefusedByItsPath(_ text: String) throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    try AtomicFile.write(text, to: model + "/config.json")
    expectRefusal(try score(model, folder), 65, model + "/config.json")
  }

  @Test func aCutOrDamagedWeightsFileIsRefusedByItsPath() throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    let path = model + "/model.safetensors"
    let whole = try Files.read(path)
    for bytes in [
      [], Array(whole.prefix(7)), Array(whole.prefix(100)), Array(whole.dropLast()), whole + [0], Array(repeating: 0xFF, count: 64),
    ] {
      try AtomicFile.write(bytes, to: path)
      expectRefusal(try score(model, folder), 65, path)
    }
    Files.remove(path)
    expectRefusal(try score(model, folder), 66, model, "model.safetensors")
    Files.remove(model + "/config.json")
    expectRefusal(try score(model, folder), 66, model, "config.json")
    expectRefusal(try score(folder.file("nowhere"), folder), 66, folder.file("nowhere"))
  }

  @Test func shardsThatAreMissingOrNamedWronglyAreRefused() throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.transformerGoldens + "/untied", "model")
    let index = model + "/model.safetensors.index.json"
    let text = try Files.readText(index)
    #expect(try score(model, folder).code == 0)
    try AtomicFile.write(text.replacing("model-00002-of-00002", with: "model-00001-of-00002"), to: index)
    expectRefusal(try score(model, folder), 65, "model-00001-of-00002.safetensors", "has no tensor")
    try AtomicFile.write(text.replacing("model-00002", with: "../model-00002"), to: index)
    expectRefusal(try score(model, folder), 65, index)
    try AtomicFile.write("{\"weight_map\": 7}", to: index)
    expectRefusal(try score(model, folder), 65, index)
    try AtomicFile.write(text, to: index)
    Files.remove(model + "/model-00002-of-00002.safetensors")
    expectRefusal(try score(model, folder), 66, "model-00002-of-00002.safetensors")
  }

  @Test(arguments: ["", "{", "[]", "{}", "{\"model\": {\"type\": \"WordPiece\"}}", "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": -1}, \"merges\": []}}"])
  func aTokenizerThatIsNoneIsRefusedByItsPath(_ text: String) throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    try AtomicFile.write(text, to: model + "/tokenizer.json")
    expectRefusal(try tool("tokenize", "--model", model, input: "a"), 65, model + "/tokenizer.json")
    Files.remove(model + "/tokenizer.json")
    expectRefusal(try tool("tokenize", "--model", model, input: "a"), 66, "tokenizer.json")
  }

  @Test(arguments: [
    ("{\"text\": \"a b\"}\n{\"text\": \"a\"\n", "line 2"), ("{\"text\": \"a b\"}\n\r\n[1]\n", "line 3"), ("{\"text\": 1.5, \"x\": 1}{}", "line 1"),
    ("{\"text\": [\"a\"]}\n", "line 1: key \"text\""), ("{\"text\": \"\"}\n", "line 1: key \"text\""), ("{\"question\": \"a\"}\n", "line 1: key \"answer\""),
    ("{\"foo\": 1}\n", "found \"foo\""), ("\n\n", "empty"), ("", "empty"), ("{\"text\": \"a\u{1}\"}\n", "line 1"), ("{\"text\": \"x\"}\n", "nothing to predict"),
  ])
  func aWrongLineOfDataIsRefusedByItsNumber(_ text: String, _ expected: String) throws {
    let folder = try TrialFolder()
    let data = try folder.write(text, "data.jsonl")
    let result = try tool("sft", "--model", Place.model, "--data", data, "--out", folder.file("run"))
    expectRefusal(result, 65, data, expected)
    #expect(!Files.exists(folder.file("run")), "nothing is left behind")
  }

  @Test func bytesThatAreNoUTF8AreRefusedByTheirLine() throws {
    let folder = try TrialFolder()
    try AtomicFile.write(Array("{\"text\": \"a\"}\n{\"text\": \"".utf8) + [0xFF, 0xFE] + Array("\"}\n".utf8), to: folder.file("data.jsonl"))
    let result = try tool("sft", "--model", Place.model, "--data", folder.file("data.jsonl"), "--out", folder.file("run"))
    expectRefusal(result, 65, "data.jsonl: line 2", "UTF-8")
  }

  /// A byte order mark, CRLF, blank lines and a last line without an end are no errors, and change nothing.
  @Test func lineEndsAndBlankLinesDoNotMatter() throws {
    let folder = try TrialFolder()
    let text = try Files.readText(Place.texts)
    try folder.write(text, "plain.jsonl")
    try folder.write("\u{FEFF}\n" + text.replacing("\n", with: "\r\n \t\r\n\n"), "crlf.jsonl")
    try folder.write(String(text.dropLast()), "cut.jsonl")
    for name in ["plain", "crlf", "cut"] {
      let result = try tool(
        "sft", "--model", Place.model, "--data", folder.file(name + ".jsonl"), "--out", folder.file(name), "--lr", "1e-3", "--quiet")
      #expect(result.code == 0, "\(result.error)")
    }
    let expected = try Files.read(folder.file("plain/adapter/adapter_model.safetensors"))
    #expect(try Files.read(folder.file("crlf/adapter/adapter_model.safetensors")) == expected)
    #expect(try Files.read(folder.file("cut/adapter/adapter_model.safetensors")) == expected)
  }

  @Test(arguments: [
    ("peft_type", "LOHA", "\"peft_type\""), ("r", 0, "\"r\""), ("r", 9, "expected shape [9, 32]"), ("lora_alpha", "x", "\"lora_alpha\""),
    ("bias", "all", "\"bias\""), ("use_dora", true, "\"use_dora\""), ("modules_to_save", ["lm_head"], "\"modules_to_save\""),
    ("rank_pattern", ["q_proj": 2], "\"rank_pattern\""), ("alpha_pattern", ["q_proj": 2], "\"alpha_pattern\""),
  ] as [(String, JSON, String)])
  func anAdapterThatIsNotComputedHereIsRefusedByItsKey(_ key: String, _ value: JSON, _ expected: String) throws {
    let folder = try TrialFolder()
    let adapter = try folder.copy(Place.adapter, "adapter")
    var config = try #require(try JSON.read(adapter + "/adapter_config.json").object)
    config[key] = value
    try AtomicFile.write(JSON.object(config).text(), to: adapter + "/adapter_config.json")
    expectRefusal(try score(Place.model, folder, "--adapter", adapter), 65, adapter, expected)
  }

  @Test func anAdapterFolderThatIsNotWholeIsRefused() throws {
    let folder = try TrialFolder()
    let adapter = try folder.copy(Place.adapter, "adapter")
    Files.remove(adapter + "/adapter_model.safetensors")
    expectRefusal(try score(Place.model, folder, "--adapter", adapter), 66, adapter + "/adapter_model.safetensors")
    Files.remove(adapter + "/adapter_config.json")
    expectRefusal(try score(Place.model, folder, "--adapter", adapter), 66, "adapter_config.json")
    expectRefusal(try score(Place.model, folder, "--adapter", folder.file("none")), 66, folder.file("none"))
  }

  @Test func anOutputThatCannotBeWrittenIsAnInputOutputError() throws {
    let folder = try TrialFolder()
    let tokens = try folder.write("[[1, 2]]", "tokens.json")
    try folder.write("in the way", "file")
    expectRefusal(
      try tool("score", "--model", Place.model, "--tokens", tokens, "--out", folder.file("no/such/o")), 74, folder.file("no/such/o"))
    expectRefusal(
      try tool("sft", "--model", Place.model, "--data", Place.texts, "--out", folder.file("file/run"), "--quiet"), 74, folder.file("file"))
  }

  @Test func whatIsTypedWronglyIsAnsweredWithTheNearest() throws {
    expectRefusal(try tool("sft", "--modle", "x"), 64, "--modle", "did you mean --model?")
    expectRefusal(try tool("scroe"), 64, "scroe", "did you mean score?")
    expectRefusal(try tool("plugin", "lits"), 64, "did you mean list?")
    expectRefusal(try tool("sft", "--model", Place.model), 64, "--data")
    expectRefusal(try tool("sft", "--model", Place.model, "--data", "x", "--out", "y", "--lr", "fast"), 64, "--lr", "fast")
    expectRefusal(try tool("sft", "--model", Place.model, "--data", "x", "--out", "y", "--schedule", "cosinus"), 64, "cosine")
    #expect(try tool("--help").code == 0)
    for command in ["quickstart", "sft", "rl", "eval", "generate", "score", "tokenize", "export", "doctor"] {
      let help = try tool(command, "--help")
      #expect(help.code == 0 && help.output.contains(command) && help.error.isEmpty)
    }
  }
}
