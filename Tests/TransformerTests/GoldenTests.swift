import Compute
import Support
import TestSupport
import Testing
import Transformer

/// Folders of every family, and of every form that weights are stored in.
let folders = ["tied", "untied", "bf16", "f16", "llama", "llama-biases", "qwen3", "qwen3-untied"]

@Suite struct GoldenTests {
  @Test(arguments: backends, folders)
  func logitsEqualThoseOfTransformers(_ tested: TestedBackend, _ name: String) throws {
    let golden = try Golden("\(name)/expected.safetensors")
    let trial = try Trial(name, on: tested.open())
    var batch = TokenBatch()
    for sequence in golden.sequences { batch.append(sequence) }
    let logits = try trial.backend.read(try trial.model.logits(try trial.forward(batch).hidden, in: trial.arena))
    #expect(largestDifference(logits, try golden.doubles("logits")) < tested.tolerance(5e-5))
  }

  @Test(arguments: backends, folders)
  func scoresEqualThoseOfTransformers(_ tested: TestedBackend, _ name: String) throws {
    let golden = try Golden("\(name)/expected.safetensors")
    let trial = try Trial(name, on: tested.open())
    let (batch, targets) = golden.batch
    let scores = try trial.scores(trial.forward(batch), targets)
    #expect(largestDifference(try scores.logProbs.value(), try golden.doubles("log_prob")) < tested.tolerance(3e-5))
    #expect(largestDifference(try scores.entropies.value(), try golden.doubles("entropy")) < tested.tolerance(3e-5))
  }

  @Test(arguments: backends, pairs(folders, [Retention.everything, .checkpoints]))
  func allGradientsOfTheMeanLossEqualThoseOfTransformers(_ tested: TestedBackend, _ point: (name: String, retention: Retention)) throws {
    let (name, retention) = point
    let golden = try Golden("\(name)/expected.safetensors")
    let trial = try Trial(name, trainable: .full, on: tested.open())
    let (batch, targets) = golden.batch
    let pass = try trial.forward(batch, retaining: retention)
    let scores = try trial.scores(pass, targets)
    let loss = -(try scores.logProbs.value()).reduce(0.0) { $0 + Double($1) } / Double(targets.count)
    #expect(abs(loss - (try golden.doubles("loss")[0])) < tested.tolerance(1e-5))
    try trial.backward(pass, scores, dLogProb: Array(repeating: -1 / Float(targets.count), count: targets.count))
    trial.gradients.finish()
    try trial.expectGradients(golden, prefix: "grad.", tolerance: tested.tolerance(1e-4))
  }

  @Test(arguments: backends) func gradientsOfLogProbabilitiesAndEntropiesAtATemperatureEqualThoseOfTorch(_ tested: TestedBackend) throws {
    let golden = try Golden("tied/expected_objective.safetensors")
    let trial = try Trial("tied", trainable: .full, on: tested.open())
    let (batch, targets) = golden.batch
    let pass = try trial.forward(batch, retaining: .everything)
    let scores = try trial.scores(pass, targets, temperature: 0.8)
    #expect(largestDifference(try scores.logProbs.value(), try golden.doubles("log_prob")) < tested.tolerance(5e-5))
    #expect(largestDifference(try scores.entropies.value(), try golden.doubles("entropy")) < tested.tolerance(5e-5))
    try trial.backward(
      pass, scores, dLogProb: try golden.file.floats("d_log_prob"), dEntropy: try golden.file.floats("d_entropy"))
    trial.gradients.finish()
    try trial.expectGradients(golden, prefix: "grad.", tolerance: tested.tolerance(1e-4))
  }

  @Test(arguments: backends) func theValueHeadsValuesAndGradientsEqualThoseOfTorch(_ tested: TestedBackend) throws {
    let golden = try Golden("tied/expected_value.safetensors")
    let trial = try Trial("tied", trainable: .full, on: tested.open())
    let (backend, arena) = (trial.backend, trial.arena)
    let head = try ValueHead(hiddenSize: trial.model.configuration.hiddenSize, on: backend)
    for parameter in head.store.parameters { backend.upload(try golden.file.floats(parameter.name), to: parameter.value) }
    head.store.repack()
    var batch = TokenBatch()
    for sequence in golden.sequences { batch.append(sequence) }
    let pass = try trial.forward(batch, retaining: .everything)
    #expect(largestDifference(try backend.read(pass.hidden), try golden.doubles("hidden")) < tested.tolerance(5e-5))
    let values = try head.forward(pass.hidden, rows: (0..<batch.rowCount).map { Int32($0) }, in: arena)
    #expect(largestDifference(try values.values.value(), try golden.doubles("values")) < tested.tolerance(1e-4))
    let dHidden = try arena.zeros(pass.hidden.rows, pass.hidden.columns)
    try head.backward(values, dValues: try golden.file.floats("d_values"), into: dHidden, in: arena)
    try trial.model.backward(pass, dHidden: dHidden, into: trial.gradients, in: arena)
    trial.gradients.finish()
    for parameter in head.store.parameters {
      let expected = try golden.doubles("grad.\(parameter.name)")
      #expect(largestDifference(try backend.read(parameter.gradient), expected) < tested.tolerance(1e-4))
    }
    try trial.expectGradients(golden, prefix: "grad.", tolerance: tested.tolerance(1e-4))
  }

  @Test(arguments: backends, ["r4", "r16"])
  func anAdapterOfPEFTGivesItsScoresAndGradients(_ tested: TestedBackend, _ name: String) throws {
    let golden = try Golden("lora/\(name)/expected.safetensors")
    let trial = try Trial("tied", adapter: name, on: tested.open())
    #expect(trial.adapter?.settings.rank == (name == "r4" ? 4 : 16))
    let (batch, targets) = golden.batch
    let pass = try trial.forward(batch, retaining: .everything)
    let scores = try trial.scores(pass, targets)
    #expect(largestDifference(try scores.logProbs.value(), try golden.doubles("log_prob")) < tested.tolerance(3e-5))
    try trial.backward(pass, scores, dLogProb: Array(repeating: -1 / Float(targets.count), count: targets.count))
    trial.gradients.finish()
    try trial.expectGradients(golden, prefix: "grad.base_model.model.", tolerance: tested.tolerance(1e-4))
  }

  @Test(arguments: backends, [5_000_000_000, 30_000])
  func anExportedModelHoldsTheMergedWeightsAndScoresTheSame(_ tested: TestedBackend, largestShard: Int) throws {
    let golden = try Golden("lora/r16/expected.safetensors")
    let trial = try Trial("tied", adapter: "r16", on: tested.open())
    let folder = temporaryFolder()
    defer { try? Files.removeTree(folder) }
    var export = ModelExport(source: try ModelFolder("\(goldens)/tied"), adapter: trial.adapter)
    export.largestShard = largestShard
    try trial.model.export(export, to: folder)
    let merged = try ModelFolder(folder)
    #expect((merged.weightFiles.count > 1) == (largestShard < 5_000_000_000))
    let names = golden.file.names.filter { $0.hasPrefix("merged.") }
    #expect(!names.isEmpty)
    for name in names {
      let expected = try golden.file.entry(name)
      let found = try merged.floats(String(name.dropFirst("merged.".count)), shape: expected.shape)
      #expect(largestDifference(found, try golden.doubles(name)) < tested.tolerance(1e-6))
    }
    let (batch, targets) = golden.batch
    let exported = try Transformer(merged, on: trial.backend)
    let pass = try exported.forward(batch, in: trial.arena)
    let scores = try LossHead(exported).forward(pass.hidden, targets, temperature: 1, in: trial.arena)
    #expect(largestDifference(try scores.logProbs.value(), try golden.doubles("log_prob")) < tested.tolerance(5e-5))
  }

  @Test(arguments: backends) func anAdapterWrittenHereIsReadBackBitForBit(_ tested: TestedBackend) throws {
    let trial = try Trial("tied", adapter: "r4", on: tested.open())
    let adapter = try #require(trial.adapter)
    let folder = temporaryFolder()
    defer { try? Files.removeTree(folder) }
    try adapter.save(baseModel: "tied", to: folder)
    let again = try Adapter(folder, for: trial.model)
    #expect(again.settings == adapter.settings)
    #expect(again.store.parameters.count == adapter.store.parameters.count && !adapter.store.parameters.isEmpty)
    for (first, second) in zip(adapter.store.parameters, again.store.parameters) {
      #expect(first.name == second.name)
      #expect(try trial.backend.read(first.value) == trial.backend.read(second.value))
    }
  }
}

func temporaryFolder() -> String {
  var stream = RandomStream(seed: UInt64(getpid()), stream: UInt64(Stopwatch.nanoseconds))
  return "/tmp/nano-reasoner-\(stream.nextBits())"
}
