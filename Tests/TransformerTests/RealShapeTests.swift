import Compute
import Support
import TestSupport
import Testing
import Transformer

/// The heads of Qwen2.5-1.5B, 12 of 128 channels over 2 for keys and values, and more rows than the CPU's attention takes in one task, in
/// a model that is small in everything else.
@Suite struct RealShapeTests {
  private func trial(_ tested: TestedBackend, threads: Int = 2) throws -> Trial {
    let configuration = ModelConfiguration(
      vocabularySize: 1100, hiddenSize: 48, intermediateSize: 80, layerCount: 2,
      heads: HeadShape(queryHeads: 12, keyValueHeads: 2, channels: 128))
    return try Trial(Transformer(random: configuration, seed: 3, endOfText: [2], on: tested.open(threads: threads)))
  }

  private func batch() -> (TokenBatch, TokenTargets) {
    var batch = TokenBatch()
    var targets = TokenTargets()
    func tokens(_ count: Int) -> [Int32] { (0..<count).map { Int32(($0 * 397 + count) % 1100) } }
    batch.append(prompt: tokens(21), completions: [tokens(133), tokens(1), tokens(18)], targets: &targets)
    batch.append(prompt: tokens(3), completions: [tokens(14)], targets: &targets)
    return (batch, targets)
  }

  @Test(arguments: backends) func checkpointingAndThreadsDoNotChangeABitOfAGradient(_ tested: TestedBackend) throws {
    func gradients(_ retention: Retention, threads: Int) throws -> [[UInt32]] {
      let trial = try trial(tested, threads: threads)
      let (batch, targets) = batch()
      trial.gradients.begin()
      let pass = try trial.forward(batch, retaining: retention)
      let scores = try trial.scores(pass, targets, temperature: 0.8)
      let weights = targets.targets.map { Float($0) / 1100 - 0.3 }
      try trial.backward(pass, scores, dLogProb: weights, dEntropy: weights.map { 0.1 * $0 })
      trial.gradients.finish()
      return try trial.parameters.map { try trial.backend.read($0.gradient).map(\.bitPattern) }
    }
    let expected = try gradients(.everything, threads: 2)
    #expect(expected.count > 20 && expected.allSatisfy { gradient in gradient.contains { $0 & 0x7FFF_FFFF != 0 } })
    #expect(try gradients(.checkpoints, threads: 2) == expected)
    #expect(try gradients(.checkpoints, threads: 1) == expected)
  }

  /// Finite differences of the whole model's loss along a direction, in float32: what a sign or a factor that is wrong would not pass.
  @Test(arguments: backends.filter(\.isFloat32)) func theGradientIsTheSlopeOfTheLoss(_ tested: TestedBackend) throws {
    let trial = try trial(tested)
    let (batch, targets) = batch()
    func loss() throws -> Double {
      try trial.arena.scope {
        try trial.scores(trial.forward(batch), targets).logProbs.value().reduce(0.0) { $0 - Double($1) } / Double(targets.count)
      }
    }
    trial.gradients.begin()
    let pass = try trial.forward(batch, retaining: .checkpoints)
    try trial.backward(
      pass, trial.scores(pass, targets), dLogProb: Array(repeating: -1 / Float(targets.count), count: targets.count))
    trial.gradients.finish()
    let store = try #require(trial.model.store)
    for name in ["q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight", "k_proj.bias", "embed_tokens.weight"] {
      let parameter = try #require(store.parameters.first { $0.name.hasSuffix(name) })
      let (start, gradient) = (try trial.backend.read(parameter.value), try trial.backend.read(parameter.gradient))
      let length = gradient.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      #expect(length > 1e-5, "\(name)")
      // Along the gradient itself the slope is its length.
      func moved(_ step: Double) throws -> Double {
        trial.backend.upload(zip(start, gradient).map { $0 + Float(step * Double($1) / length) }, to: parameter.value)
        store.repack()
        return try loss()
      }
      let step = min(0.02, 1e-3 / length)
      let slope = (try moved(step) - moved(-step)) / (2 * step)
      _ = try moved(0)
      #expect(abs(slope - length) < 0.03 * length, "\(name): \(slope), and the gradient is \(length) long")
    }
  }

  @Test(arguments: backends) func decodingGivesTheHiddenStatesOfTheWholeSequence(_ tested: TestedBackend) throws {
    let trial = try trial(tested)
    let (model, backend) = (trial.model, trial.backend)
    let sequence = (0..<150).map { Int32(($0 * 37 + 5) % 1100) }
    var batch = TokenBatch()
    batch.append(sequence)
    let whole = try backend.read(try trial.forward(batch).hidden)
    let (width, read) = (model.configuration.hiddenSize, 131)
    let prompts = try KVCache(model.configuration, slots: 1, capacity: read, on: backend)
    let own = try KVCache(model.configuration, slots: 2, capacity: sequence.count - read, on: backend)
    var start = TokenBatch()
    start.append(sequence.prefix(read))
    _ = try model.forward(start, sink: (prompts, Array(repeating: 0, count: read)), in: trial.arena)
    let state = try DecodeState(rows: 1, stopTokens: [], on: backend)
    for position in read..<sequence.count {
      state.load(
        [
          DecodeSequence(
            newest: sequence[position], promptSlot: 0, promptLength: Int32(read), slot: 1, drawn: Int32(position - read + 1), remaining: 1,
            random: RandomStream(seed: 0))
        ], on: backend)
      let hidden = try backend.read(try model.decode(state, adapter: nil, prompts: prompts, cache: own, in: trial.arena))
      #expect(hidden.map(\.bitPattern) == whole[(position * width)..<((position + 1) * width)].map(\.bitPattern), "position \(position)")
    }
  }
}
