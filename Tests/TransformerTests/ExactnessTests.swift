import Compute
import Support
import TestSupport
import Testing
import Transformer

/// What the design promises: bits do not depend on batch, split, cache or threads.
@Suite struct ExactnessTests {
  /// Models with an adapter.
  private static let models = [("tied", "r16"), ("nf4", "../nf4/adapter")]

  private func trial(_ tested: TestedBackend, _ model: (name: String, adapter: String) = models[0], threads: Int = 2) throws -> Trial {
    try Trial(model.name, adapter: model.adapter, on: tested.open(threads: threads))
  }

  private let prompt: [Int32] = [5, 9, 33, 1, 60, 2, 17]
  private let completions: [[Int32]] = [[4, 4, 8, 2], [7], [12, 30, 31, 32, 33, 34, 35, 36, 37, 38, 2], []]

  /// Log-probabilities of all completion tokens.
  private func scores(_ trial: Trial, shared: Bool) throws -> [Float] {
    var batch = TokenBatch()
    var targets = TokenTargets()
    if shared {
      batch.append(prompt: prompt, completions: completions, targets: &targets)
    } else {
      for completion in completions { batch.append(prompt: prompt, completions: [completion], targets: &targets) }
    }
    return try trial.scores(trial.forward(batch), targets, temperature: 0.8).logProbs.value()
  }

  @Test(arguments: backends, models) func aSharedPromptGivesTheBitsOfSeparateSequences(_ tested: TestedBackend, _ model: (String, String)) throws {
    let trial = try trial(tested, model)
    #expect(try scores(trial, shared: true).map(\.bitPattern) == scores(trial, shared: false).map(\.bitPattern))
  }

  @Test(arguments: backends, models) func threadsDoNotChangeABit(_ tested: TestedBackend, _ model: (String, String)) throws {
    #expect(try scores(trial(tested, model, threads: 1), shared: true) == scores(trial(tested, model, threads: 3), shared: true))
  }

  @Test(arguments: backends, models) func decodingGivesTheHiddenStatesOfTheWholeSequence(_ tested: TestedBackend, _ model: (String, String)) throws {
    let trial = try trial(tested, model)
    let (model, backend) = (trial.model, trial.backend)
    let sequence: [Int32] = (0..<40).map { Int32(($0 * 37 + 5) % 61) }
    var batch = TokenBatch()
    batch.append(sequence)
    let whole = try backend.read(try trial.forward(batch).hidden)
    let width = model.configuration.hiddenSize
    for read in [1, 15, 16, 17] {
      let prompts = try KVCache(model.configuration, slots: 2, capacity: 17, on: backend)
      let own = try KVCache(model.configuration, slots: 2, capacity: 48, on: backend)
      var start = TokenBatch()
      start.append(sequence.prefix(read))
      _ = try model.forward(
        start, adapter: trial.adapter?.weights, sink: (prompts, Array(repeating: 1, count: read)), in: trial.arena)
      let state = try DecodeState(rows: 1, stopTokens: [], on: backend)
      for position in read..<sequence.count {
        state.load(
          [
            DecodeSequence(
              newest: sequence[position], promptSlot: 1, promptLength: Int32(read), slot: 1, drawn: Int32(position - read + 1),
              remaining: 1, random: RandomStream(seed: 0))
          ], on: backend)
        let hidden = try backend.read(
          try model.decode(state, adapter: trial.adapter?.weights, prompts: prompts, cache: own, in: trial.arena))
        #expect(hidden.map(\.bitPattern) == whole[(position * width)..<((position + 1) * width)].map(\.bitPattern))
      }
    }
  }

  /// What a scope takes is given back, and a step that has been made once takes no memory of the system again.
  @Test(arguments: backends) func aStepThatIsMadeAgainTakesNoMemory(_ tested: TestedBackend) throws {
    let trial = try trial(tested)
    func step() throws {
      trial.gradients.begin()
      try trial.arena.scope {
        var batch = TokenBatch()
        var targets = TokenTargets()
        batch.append(prompt: prompt, completions: completions, targets: &targets)
        let pass = try trial.forward(batch, retaining: .everything)
        try trial.backward(pass, trial.scores(pass, targets), dLogProb: Array(repeating: -1, count: targets.count))
      }
      trial.gradients.finish()
    }
    try step()
    let before = trial.backend.memory
    for _ in 0..<5 { try step() }
    #expect(trial.backend.memory == before)
  }

  /// Two policies at once: what one computes does not depend on the other, and a frozen one does not change with training.
  @Test(arguments: backends) func twoAdaptersOfOneModelExistAtOnce(_ tested: TestedBackend) throws {
    let trial = try trial(tested)
    let first = try #require(trial.adapter)
    let frozen = try first.frozen()
    var batch = TokenBatch()
    batch.append(prompt)
    func hidden(_ adapter: AdapterWeights?) throws -> [Float] {
      try trial.backend.read(try trial.model.forward(batch, adapter: adapter, in: trial.arena).hidden)
    }
    let (base, before) = (try hidden(nil), try hidden(first.weights))
    #expect(base != before)
    #expect(try hidden(frozen) == before)
    let optimizer = try Optimizer([Optimizer.Group(first.store, AdamWSettings(learningRate: 0.1, weightDecay: 0.5))], on: trial.backend)
    _ = try optimizer.update(maximumNorm: 1)
    #expect(try hidden(first.weights) != before)
    #expect(try hidden(frozen) == before)
    #expect(try hidden(nil) == base)
  }

  @Test(arguments: backends.filter(\.isFloat32), ["adapter", "nf4", "tied", "untied", "llama-biases", "qwen3"])
  func gradientsAreTheSameBitsHoweverGroupsAreSplitIntoMicroBatches(_ tested: TestedBackend, _ trained: String) throws {
    func gradients(_ split: [Range<Int>]) throws -> [[UInt32]] {
      let frozen = ["adapter": Self.models[0], "nf4": Self.models[1]][trained]
      let trial = try frozen.map { try self.trial(tested, $0) } ?? Trial(trained, trainable: .full, on: tested.open())
      let prompts: [[Int32]] = [[1, 2, 3], [50, 40, 30, 20], [9]]
      trial.gradients.begin()
      for range in split {
        try trial.arena.scope {
          var batch = TokenBatch()
          var targets = TokenTargets()
          for index in range { batch.append(prompt: prompts[index].map { $0 % 40 }, completions: completions.map { $0.map { $0 % 40 } }, targets: &targets) }
          let pass = try trial.forward(batch, retaining: .everything)
          let scores = try trial.scores(pass, targets, temperature: 0.8)
          try trial.backward(pass, scores, dLogProb: targets.targets.map { Float($0) / 61 - 0.3 })
        }
      }
      trial.gradients.finish()
      return try trial.parameters.map { try trial.backend.read($0.gradient).map(\.bitPattern) }
    }
    let whole = try gradients([0..<3])
    #expect(try gradients([0..<1, 1..<3]) == whole)
    #expect(try gradients([0..<1, 1..<2, 2..<3]) == whole)
  }
}
