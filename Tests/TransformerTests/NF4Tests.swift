import Compute
import Support
import TestSupport
import Testing
import Transformer

/// Folders whose linear layers transformers and bitsandbytes quantised: with magnitudes in a byte, in float32, and with some layers left.
private let quantisedFolders = ["nf4", "nf4-plain", "nf4-some"]

@Suite struct NF4Tests {
  private func trial(_ name: String, format: WeightFormat? = .float32, adapter: Bool = false, on backend: any Backend) throws -> Trial {
    try Trial(
      Transformer(ModelFolder("\(goldens)/\(name)"), format: format, on: backend), adapter: adapter ? "../\(name)/adapter" : nil)
  }

  /// Without a format of one's own, values are rounded as the folder's `bnb_4bit_compute_dtype` says.
  @Test(arguments: backends, pairs(quantisedFolders, [("log_prob", WeightFormat.float32), ("log_prob_bfloat16", nil)] as [(String, WeightFormat?)]))
  func scoresAreThoseOfBitsAndBytesValues(_ tested: TestedBackend, _ point: (folder: String, how: (name: String, format: WeightFormat?))) throws {
    let golden = try Golden("\(point.folder)/expected.safetensors")
    let trial = try trial(point.folder, format: point.how.format, on: tested.open())
    let (batch, targets) = golden.batch
    let scores = try trial.scores(trial.forward(batch), targets)
    #expect(largestDifference(try scores.logProbs.value(), try golden.doubles(point.how.name)) < tested.tolerance(3e-5))
    // The two are apart, so that one cannot stand for the other.
    #expect(try largestDifference(golden.doubles("log_prob").map(Float.init), golden.doubles("log_prob_bfloat16")) > 1e-3)
  }

  @Test(arguments: backends, quantisedFolders) func gradientsOfAnAdapterAreThoseOfPEFT(_ tested: TestedBackend, _ name: String) throws {
    let golden = try Golden("\(name)/expected.safetensors")
    let trial = try trial(name, adapter: true, on: tested.open())
    let (batch, targets) = golden.batch
    let pass = try trial.forward(batch, retaining: .everything)
    let scores = try trial.scores(pass, targets)
    try trial.backward(pass, scores, dLogProb: Array(repeating: -1 / Float(targets.count), count: targets.count))
    trial.gradients.finish()
    #expect(trial.parameters.count == 14 * trial.model.configuration.layerCount)
    try trial.expectGradients(golden, prefix: "grad.", tolerance: tested.tolerance(1e-4))
  }

  @Test(arguments: quantisedFolders) func everyValueIsBitsAndBytesOwn(_ name: String) throws {
    let golden = try SafetensorsFile("\(goldens)/\(name)/expected.safetensors")
    let folder = try ModelFolder("\(goldens)/\(name)")
    let tensors = folder.architecture(trainable: .nothing, format: nil).tensors
    var quantised = 0
    for spec in tensors where golden.entries["float32.\(spec.name)"] != nil {
      #expect(folder.isQuantised(spec.name))
      guard case .nf4 = spec.format else { throw Failure.internalError("\(spec.name) is kept as \(spec.format.name)") }
      #expect(try folder.floats(spec).map(\.bitPattern) == golden.floats("float32.\(spec.name)").map(\.bitPattern))
      quantised += 1
    }
    #expect(quantised == ["nf4": 14, "nf4-plain": 7, "nf4-some": 5][name])
    for spec in tensors where golden.entries["float32.\(spec.name)"] == nil { #expect(!folder.isQuantised(spec.name) && spec.format.byteCount != nil) }
  }

  /// Written here and read again, with a shard for nearly every tensor too: the codes, the magnitudes and so the scores.
  @Test(arguments: ["bf16", "untied", "nf4", "nf4-plain", "nf4-some"], [Int.max, 3000])
  func aFolderThatIsWrittenQuantisedIsReadAsItWasQuantised(_ name: String, _ largest: Int) throws {
    let folder = try TrialFolder()
    let backend = try CPUBackend(threads: 2)
    let source = try ModelFolder("\(goldens)/\(name)")
    let model = try Transformer(source, quantises: true, on: backend)
    var export = ModelExport(source: source, format: model.architecture.headFormat)
    export.quantises = true
    export.largestShard = largest
    try model.export(export, to: folder.file("out"))
    let written = try ModelFolder(folder.file("out"))
    #expect((written.weightFiles.count > 1) == (largest == 3000))
    let again = written.architecture(trainable: .nothing, format: .float32).tensors
    for (spec, other) in zip(model.architecture.tensors, again) {
      guard case .nf4 = spec.format else {
        #expect(!written.isQuantised(spec.name) && spec.name == other.name)
        continue
      }
      let values =
        source.isQuantised(spec.name)
        ? try source.floats(spec) : backend.quantize(try source.floats(spec), outputs: spec.rows, inputs: spec.columns).floats()
      #expect(try written.floats(other).map(\.bitPattern) == values.map(\.bitPattern))
    }
    // Values computed with are the same too; a folder's own rounding is named in its configuration.
    var batch = TokenBatch()
    batch.append([5, 9, 33, 1, 60, 2, 17])
    func hidden(_ folder: ModelFolder, _ format: WeightFormat) throws -> [UInt32] {
      let trial = try Trial(Transformer(folder, format: format, quantises: true, on: backend))
      return try backend.read(trial.forward(batch).hidden).map(\.bitPattern)
    }
    #expect(try hidden(source, .float32) == hidden(written, .float32))
    #expect(try hidden(source, .float32) != hidden(written, .bfloat16))
  }

  /// What is quantised beside the linear layers of blocks, or without a word in config.json, or against it.
  @Test(arguments: ["model.embed_tokens.weight", "config.json", "llm_int8_skip_modules"])
  func whatIsQuantisedElsewhereIsRefusedByName(_ place: String) throws {
    let folder = try TrialFolder()
    let model = try folder.copy("\(goldens)/nf4", "model")
    var config = try #require(try JSON.read(model + "/config.json").object)
    var expected = place
    switch place {
    case "config.json":
      config["quantization_config"] = nil
      expected = ".absmax"
    case "llm_int8_skip_modules":
      var settings = try #require(config["quantization_config"]?.object)
      settings[place] = ["model.layers.1.mlp"]
      config["quantization_config"] = .object(settings)
    default:
      let file = try SafetensorsFile(model + "/model.safetensors")
      var list = try file.names.map { SafetensorsStream.Tensor($0, shape: try file.entry($0).shape, type: try file.entry($0).type) }
      var bytes = try Dictionary(uniqueKeysWithValues: file.names.map { name in (name, unsafe file.withBytes(try file.entry(name)) { unsafe Array($0) }) })
      let state = place + ".quant_state.bitsandbytes__nf4"
      list.append(SafetensorsStream.Tensor(state, shape: [2], type: .uint8))
      bytes[state] = Array("{}".utf8)
      try SafetensorsStream.write(list, to: model + "/model.safetensors", bytes: { bytes[$0.name] ?? [] })
    }
    try AtomicFile.write(JSON.object(config).text(), to: model + "/config.json")
    let error = #expect(throws: Failure.self) { try ModelFolder(model) }
    #expect(error?.code == .badData && error?.message.contains(expected) == true, "\(error?.message ?? "nothing")")
  }

  @Test func linearLayersOfBlocksAreQuantisedAndNothingElse() throws {
    let folder = try ModelFolder("\(goldens)/untied")
    for spec in folder.architecture(trainable: .nothing, format: nil, quantises: true).tensors {
      var isLinear = false
      if case .matrix = spec.role { isLinear = true }
      #expect((spec.format.byteCount == nil) == isLinear, "\(spec.name)")
    }
  }

  /// What a folder says of its blocks is held to what there is.
  @Test(arguments: [
    (".quant_state.bitsandbytes__nf4", "\"quant_type\": \"nf4\"", "\"quant_type\": \"fp4\"", "quant_type"),
    (".quant_state.bitsandbytes__nf4", "\"blocksize\": 64", "\"blocksize\": 128", "blocksize"),
    (".quant_state.bitsandbytes__nf4", "\"nested_blocksize\": 256", "\"nested_blocksize\": 64", "nested_blocksize"),
    (".quant_state.bitsandbytes__nf4", "\"nested_offset\"", "\"nested_other\"", "nested_offset"),
    (".quant_state.bitsandbytes__nf4", "\"shape\": [64, 64]", "\"shape\": [32, 128]", "shape"),
    (".quant_state.bitsandbytes__nf4", "{", "", "quant_state"),
    (".quant_map", "", "", "quant_map"), (".absmax", "", "", "absmax"), (".nested_absmax", "", "", "nested_absmax"),
    (".nested_quant_map", "", "", "nested_quant_map"), ("", "", "", "q_proj"),
  ]) func brokenBlocksAreRefusedByName(_ suffix: String, _ old: String, _ new: String, _ expected: String) throws {
    let folder = try TrialFolder()
    let model = try folder.copy("\(goldens)/nf4", "model")
    let name = "model.layers.0.self_attn.q_proj.weight" + suffix
    let file = try SafetensorsFile(model + "/model.safetensors")
    let tensors = try file.names.map { SafetensorsStream.Tensor($0, shape: try file.entry($0).shape, type: try file.entry($0).type) }
    let bytes = try Dictionary(uniqueKeysWithValues: file.names.map { name in (name, unsafe file.withBytes(try file.entry(name)) { unsafe Array($0) }) })
    var changed = bytes[name] ?? []
    if old.isEmpty { changed = Array(changed.dropLast(4)) } else {
      let text = String(decoding: changed, as: UTF8.self)
      let parts = text.split(separator: old, maxSplits: 1, omittingEmptySubsequences: false)
      #expect(parts.count == 2)
      changed = Array("\(parts[0])\(new)\(parts[1])".utf8)
    }
    let list = tensors.map { tensor in
      tensor.name != name ? tensor
        : SafetensorsStream.Tensor(
          name, shape: tensor.shape.count == 2 ? [changed.count, 1] : [changed.count / tensor.type.byteCount], type: tensor.type)
    }
    try SafetensorsStream.write(list, to: model + "/model.safetensors", bytes: { tensor in tensor.name == name ? changed : bytes[tensor.name] ?? [] })
    let error = #expect(throws: Failure.self) { try Transformer(ModelFolder(model), on: CPUBackend(threads: 1)) }
    #expect(error?.code == .badData && error?.message.contains(expected) == true && error?.message.contains("q_proj") == true, "\(error?.message ?? "nothing")")
  }
}
