import Compute
import Support
import TestSupport
import Testing
import Transformer

/// Backends that compute in bfloat16 against the CPU in float32: log-probabilities, entropies and gradients of whole models, of which
/// bfloat16 rounds weights, and what products read, to eight bits.
@Suite struct BFloat16Tests {
  private struct Result {
    let logProbs, entropies: [Float]
    let gradients: [(name: String, values: [Float])]
  }

  /// Folders, the adapters that are trained (nil trains the model), and how far transformers in bfloat16 is from itself in float32 there
  /// (`Oracles/bfloat16_errors.py`): log-probabilities, entropies, and all gradients relative to their length. Of the adapters twice what
  /// was found of ours.
  private static let models: [(folder: String, adapter: String?, logProb: Float, entropy: Float, gradient: Double)] = [
    ("tied", "r16", 0.17, 0.16, 0.038), ("nf4", "../nf4/adapter", 0.14, 0.055, 0.040), ("tied", nil, 0.268, 0.054, 0.0352),
    ("untied", nil, 0.070, 0.051, 0.0297), ("llama-biases", nil, 0.092, 0.024, 0.0177), ("qwen3", nil, 0.130, 0.0244, 0.0353),
  ]

  /// Three prompts with completions that share them.
  private func result(_ index: Int, on backend: any Backend, retaining retention: Retention = .everything) throws -> Result {
    let entry = Self.models[index]
    let trial = try Trial(
      Transformer(
        ModelFolder("\(goldens)/\(entry.folder)"), trainable: entry.adapter == nil ? .full : .nothing, format: entry.adapter == nil ? nil : .bfloat16,
        on: backend), adapter: entry.adapter)
    var (batch, targets) = (TokenBatch(), TokenTargets())
    for prompt in [[1, 2, 3], [30, 20, 10, 5, 6, 7], [9]] as [[Int32]] {
      batch.append(prompt: prompt, completions: [[4, 5, 6, 7, 8, 9, 10], [11], [12, 13, 3, 3, 3, 2]], targets: &targets)
    }
    trial.gradients.begin()
    let pass = try trial.forward(batch, retaining: retention)
    let scores = try trial.scores(pass, targets, temperature: 0.8)
    let d = targets.targets.indices.map { Float($0 % 5) / 5 - 0.3 }
    try trial.backward(pass, scores, dLogProb: d, dEntropy: d.map { 0.1 * $0 })
    trial.gradients.finish()
    return Result(
      logProbs: try scores.logProbs.value(), entropies: try scores.entropies.value(),
      gradients: try trial.parameters.map { ($0.name, try backend.read($0.gradient)) })
  }

  private func length(_ values: [Float]) -> Double { values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }

  @Test(arguments: BFloat16Tests.models.indices.map { $0 }, backends.filter { !$0.isFloat32 })
  func modelsAreFloat32sToARounding(_ index: Int, _ tested: TestedBackend) throws {
    let entry = Self.models[index]
    let expected = try result(index, on: CPUBackend(threads: 2))
    let found = try result(index, on: tested.open())
    let logProbs = zip(found.logProbs, expected.logProbs).reduce(0) { max($0, abs($1.0 - $1.1)) }
    let entropies = zip(found.entropies, expected.entropies).reduce(0) { max($0, abs($1.0 - $1.1)) }
    // The largest of some fifty numbers; gradients are many and have no such luck.
    #expect(logProbs < 1.25 * entry.logProb && entropies < 1.25 * entry.entropy, "\(entry): \(logProbs), \(entropies)")
    let whole = length(expected.gradients.flatMap(\.values))
    let off = length(zip(found.gradients, expected.gradients).flatMap { zip($0.values, $1.values).map { $0 - $1 } })
    #expect(off < entry.gradient * whole, "\(entry): \(off / whole)")
    // Of each gradient that is not next to nothing: scores do not feel a constant that is added to all keys.
    for (one, other) in zip(found.gradients, expected.gradients) where length(other.values) > 0.01 * whole && !one.name.hasSuffix("k_proj.bias") {
      let off = length(zip(one.values, other.values).map { $0 - $1 }) / length(other.values)
      #expect(off < 0.08, "\(entry) \(one.name): \(off)")
    }
  }

  /// The same bits from run to run, and whether activations are kept or made again; another order of warps and blocks changes nothing.
  @Test(arguments: BFloat16Tests.models.indices.map { $0 }, backends.filter { !$0.isFloat32 })
  func gradientsAreTheSameBitsEachTime(_ index: Int, _ tested: TestedBackend) throws {
    let first = try result(index, on: tested.open())
    let second = try result(index, on: tested.open(threads: 3), retaining: .checkpoints)
    #expect(first.logProbs.map(\.bitPattern) == second.logProbs.map(\.bitPattern))
    for (one, other) in zip(first.gradients, second.gradients) { #expect(one.values.map(\.bitPattern) == other.values.map(\.bitPattern), "\(one.name)") }
  }

  /// With NVIDIA's library the gradient of an input is the one that our kernels make, but for the order of its sums: the emulator's is theirs.
  @Test(arguments: [WeightFormat.bfloat16, .nf4(NF4Format(roundsToBFloat16: true))]) func aLibraryMakesTheSameGradients(_ format: WeightFormat) throws {
    let (rows, outputs, inputs) = (150, 200, 256)
    func numbers(_ count: Int, _ seed: UInt64) -> [Float] {
      var stream = RandomStream(seed: 5, stream: seed)
      return (0..<count).map { _ in Float(stream.nextNormal()) }
    }
    func gradients(_ backend: TensorCoreBackend) throws -> (input: [Float], adapted: [Float], a: [Float], name: String) {
      let arena = try Arena(on: backend)
      let weight = try backend.pack(numbers(outputs * inputs, 1).map { 0.05 * $0 }, outputs: outputs, inputs: inputs, as: format)
      let dy = try backend.activations(numbers(rows * outputs, 2), rows: rows, columns: outputs)
      let dx = try backend.tensor(numbers(rows * inputs, 3), rows: rows, columns: inputs)
      backend.linearBackward(dy, weight, into: dx, accumulate: true)
      let lora = LoRAWeights(
        a: try backend.pack(numbers(16 * inputs, 4), outputs: 16, inputs: inputs), b: try backend.pack(numbers(outputs * 16, 5), outputs: outputs, inputs: 16),
        scale: 2)
      let linear = LinearWeights(matrix: weight, lora: lora)
      let x = try backend.activations(numbers(rows * inputs, 6), rows: rows, columns: inputs)
      let low = try backend.residualProjection(x, linear, addingTo: backend.tensor(rows, outputs), into: backend.tensor(rows, outputs), in: arena)
      let da = try backend.activations(rows, inputs)
      let ofA = try backend.tensor(16, inputs)
      try backend.residualProjectionBackward(
        try backend.tensor(numbers(rows * outputs, 2), rows: rows, columns: outputs), a: x, projected: low, linear, LinearGradients(a: ofA), into: da,
        in: arena)
      return (try backend.read(dx), try backend.read(da), try backend.read(ofA), backend.name)
    }
    let ours = try gradients(TensorCoreBackend(Emulator.device()))
    let device = try Emulator.device()
    let theirs = try gradients(TensorCoreBackend(device, products: { try? Emulator.products() }))
    #expect(theirs.name.contains("cuBLASLt 13.0") && !ours.name.contains("cuBLASLt"))
    #expect(ours.input.map(\.bitPattern) == theirs.input.map(\.bitPattern) && ours.a.map(\.bitPattern) == theirs.a.map(\.bitPattern))
    // Rounded to bfloat16 once more between the layer and its low-rank addition.
    let scale = ours.adapted.reduce(0) { max($0, abs($1)) }
    let off = zip(ours.adapted, theirs.adapted).reduce(0) { max($0, abs($1.0 - $1.1)) } / scale
    #expect(off > 0 && off < 0x1p-7, "\(off)")
  }
}
