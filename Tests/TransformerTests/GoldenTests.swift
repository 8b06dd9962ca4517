import Compute
import Support
import Testing
import Transformer

@Suite struct GoldenTests {
  @Test(arguments: ["tied", "untied", "bf16", "f16"])
  func logitsEqualThoseOfTransformers(_ name: String) throws {
    let golden = try Golden("\(name)/expected.safetensors")
    let model = try Transformer(ModelFolder("\(goldens)/\(name)"), on: makeBackend())
    var batch = TokenBatch()
    for sequence in golden.sequences { batch.append(sequence) }
    let logits = try model.backend.download(try model.logits(try model.forward(batch).hidden))
    #expect(largestDifference(logits, try golden.doubles("logits")) < 5e-5)
  }

  @Test(arguments: ["tied", "untied", "bf16", "f16"])
  func scoresEqualThoseOfTransformers(_ name: String) throws {
    let golden = try Golden("\(name)/expected.safetensors")
    let model = try Transformer(ModelFolder("\(goldens)/\(name)"), on: makeBackend())
    let (batch, targets) = golden.batch
    let scores = try LossHead(model).forward(try model.forward(batch).hidden, targets, temperature: 1)
    #expect(largestDifference(scores.logProbs, try golden.doubles("log_prob")) < 3e-5)
    #expect(largestDifference(scores.entropies, try golden.doubles("entropy")) < 3e-5)
  }

  @Test(arguments: ["tied", "untied", "bf16", "f16"], [Retention.everything, .checkpoints])
  func allGradientsOfTheMeanLossEqualThoseOfTransformers(_ name: String, _ retention: Retention) throws {
    let golden = try Golden("\(name)/expected.safetensors")
    let model = try Transformer(ModelFolder("\(goldens)/\(name)"), trainable: .full, on: makeBackend())
    let (batch, targets) = golden.batch
    let pass = try model.forward(batch, retaining: retention)
    let head = LossHead(model)
    let scores = try head.forward(pass.hidden, targets, temperature: 1)
    let loss = -scores.logProbs.reduce(0.0) { $0 + Double($1) } / Double(targets.count)
    #expect(abs(loss - (try golden.doubles("loss")[0])) < 1e-5)
    let dHidden = try model.backend.zeros(pass.hidden.rows, pass.hidden.columns)
    try head.backward(
      scores, dLogProb: Array(repeating: -1 / Float(targets.count), count: targets.count), dEntropy: nil, into: dHidden)
    try model.backward(pass, dHidden: dHidden)
    model.finishGradients()
    try expectGradients(of: model, golden, prefix: "grad.", tolerance: 1e-4)
  }

  @Test func gradientsOfLogProbabilitiesAndEntropiesAtATemperatureEqualThoseOfTorch() throws {
    let golden = try Golden("tied/expected_objective.safetensors")
    let model = try Transformer(ModelFolder("\(goldens)/tied"), trainable: .full, on: makeBackend())
    let (batch, targets) = golden.batch
    let pass = try model.forward(batch, retaining: .everything)
    let head = LossHead(model)
    let scores = try head.forward(pass.hidden, targets, temperature: 0.8)
    #expect(largestDifference(scores.logProbs, try golden.doubles("log_prob")) < 5e-5)
    #expect(largestDifference(scores.entropies, try golden.doubles("entropy")) < 5e-5)
    let dHidden = try model.backend.zeros(pass.hidden.rows, pass.hidden.columns)
    try head.backward(
      scores, dLogProb: try golden.file.floats("d_log_prob"), dEntropy: try golden.file.floats("d_entropy"), into: dHidden)
    try model.backward(pass, dHidden: dHidden)
    model.finishGradients()
    try expectGradients(of: model, golden, prefix: "grad.", tolerance: 1e-4)
  }

  @Test func theValueHeadsValuesAndGradientsEqualThoseOfTorch() throws {
    let golden = try Golden("tied/expected_value.safetensors")
    let backend = try makeBackend()
    let model = try Transformer(ModelFolder("\(goldens)/tied"), trainable: .full, on: backend)
    let head = try ValueHead(hiddenSize: model.configuration.hiddenSize, on: backend)
    head.weight.setValue(try golden.file.floats("value_head.weight"), on: backend)
    head.bias.setValue(try golden.file.floats("value_head.bias"), on: backend)
    var batch = TokenBatch()
    for sequence in golden.sequences { batch.append(sequence) }
    let pass = try model.forward(batch, retaining: .everything)
    #expect(largestDifference(try backend.download(pass.hidden), try golden.doubles("hidden")) < 5e-5)
    let values = try head.forward(pass.hidden, rows: (0..<batch.rowCount).map { Int32($0) })
    #expect(largestDifference(values.values, try golden.doubles("values")) < 1e-4)
    let dHidden = try backend.zeros(pass.hidden.rows, pass.hidden.columns)
    try head.backward(values, dValues: try golden.file.floats("d_values"), into: dHidden)
    try model.backward(pass, dHidden: dHidden)
    model.finishGradients()
    for parameter in head.parameters {
      let expected = try golden.doubles("grad.\(parameter.name)")
      #expect(largestDifference(try backend.download(parameter.gradient), expected) < 1e-4)
    }
    try expectGradients(of: model, golden, prefix: "grad.", tolerance: 1e-4)
  }

  @Test(arguments: ["r4", "r16"])
  func anAdapterOfPEFTGivesItsScoresAndGradients(_ name: String) throws {
    let golden = try Golden("lora/\(name)/expected.safetensors")
    let model = try Transformer(ModelFolder("\(goldens)/tied"), on: makeBackend())
    let settings = try model.loadAdapter("\(goldens)/lora/\(name)")
    #expect(settings.rank == (name == "r4" ? 4 : 16))
    let (batch, targets) = golden.batch
    let pass = try model.forward(batch, retaining: .everything)
    let head = LossHead(model)
    let scores = try head.forward(pass.hidden, targets, temperature: 1)
    #expect(largestDifference(scores.logProbs, try golden.doubles("log_prob")) < 3e-5)
    let dHidden = try model.backend.zeros(pass.hidden.rows, pass.hidden.columns)
    try head.backward(
      scores, dLogProb: Array(repeating: -1 / Float(targets.count), count: targets.count), dEntropy: nil, into: dHidden)
    try model.backward(pass, dHidden: dHidden)
    model.finishGradients()
    try expectGradients(of: model, golden, prefix: "grad.base_model.model.", tolerance: 1e-4)
  }

  @Test func anExportedModelHoldsTheMergedWeightsAndScoresTheSame() throws {
    let golden = try Golden("lora/r16/expected.safetensors")
    let backend = try makeBackend()
    let source = try ModelFolder("\(goldens)/tied")
    let model = try Transformer(source, on: backend)
    try model.loadAdapter("\(goldens)/lora/r16")
    let folder = temporaryFolder()
    defer { try? Files.removeTree(folder) }
    try model.export(to: folder, source: source, kind: .float32)
    let merged = try SafetensorsFile(folder + "/model.safetensors")
    let names = golden.file.names.filter { $0.hasPrefix("merged.") }
    #expect(!names.isEmpty)
    for name in names {
      let found = try merged.floats(String(name.dropFirst("merged.".count)))
      #expect(largestDifference(found, try golden.doubles(name)) < 1e-6)
    }
    let (batch, targets) = golden.batch
    let exported = try Transformer(ModelFolder(folder), on: backend)
    let scores = try LossHead(exported).forward(try exported.forward(batch).hidden, targets, temperature: 1)
    #expect(largestDifference(scores.logProbs, try golden.doubles("log_prob")) < 5e-5)
  }

  @Test func anAdapterWrittenHereIsReadBackBitForBit() throws {
    let backend = try makeBackend()
    let source = try ModelFolder("\(goldens)/tied")
    let model = try Transformer(source, on: backend)
    let settings = try model.loadAdapter("\(goldens)/lora/r4")
    let folder = temporaryFolder()
    defer { try? Files.removeTree(folder) }
    try model.saveAdapter(settings, baseModel: "tied", to: folder)
    let again = try Transformer(source, on: backend)
    #expect(try again.loadAdapter(folder) == settings)
    for (first, second) in zip(model.parameters, again.parameters) {
      #expect(first.name == second.name)
      #expect(try backend.download(first.value) == backend.download(second.value))
    }
  }
}

func temporaryFolder() -> String {
  var stream = RandomStream(seed: UInt64(getpid()), stream: UInt64(Stopwatch.nanoseconds))
  return "/tmp/nano-reasoner-\(stream.nextBits())"
}
