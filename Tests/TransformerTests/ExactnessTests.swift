import Compute
import Support
import Testing
import Transformer

/// What the design promises: bits do not depend on batch, split, cache or threads.
@Suite struct ExactnessTests {
  private func model(threads: Int = 2) throws -> Transformer {
    let model = try Transformer(ModelFolder("\(goldens)/tied"), on: makeBackend(threads: threads))
    try model.loadAdapter("\(goldens)/lora/r16")
    return model
  }

  private let prompt: [Int32] = [5, 9, 33, 1, 60, 2, 17]
  private let completions: [[Int32]] = [[4, 4, 8, 2], [7], [12, 30, 31, 32, 33, 34, 35, 36, 37, 38, 2], []]

  /// Log-probabilities of all completion tokens.
  private func scores(_ model: Transformer, shared: Bool) throws -> [Float] {
    var batch = TokenBatch()
    var targets = TokenTargets()
    if shared {
      batch.append(prompt: prompt, completions: completions, targets: &targets)
    } else {
      for completion in completions { batch.append(prompt: prompt, completions: [completion], targets: &targets) }
    }
    return try LossHead(model).forward(try model.forward(batch).hidden, targets, temperature: 0.8).logProbs
  }

  @Test func aSharedPromptGivesTheBitsOfSeparateSequences() throws {
    let model = try model()
    #expect(try scores(model, shared: true).map(\.bitPattern) == scores(model, shared: false).map(\.bitPattern))
  }

  @Test func threadsDoNotChangeABit() throws {
    #expect(try scores(model(threads: 1), shared: true) == scores(model(threads: 3), shared: true))
  }

  @Test func decodingGivesTheHiddenStatesOfTheWholeSequence() throws {
    let model = try model()
    let sequence: [Int32] = (0..<40).map { Int32(($0 * 37 + 5) % 61) }
    var batch = TokenBatch()
    batch.append(sequence)
    let whole = try model.backend.download(try model.forward(batch).hidden)
    let width = model.configuration.hiddenSize
    for read in [1, 15, 16, 17] {
      let cache = try KVCache(model.configuration, slots: 2, capacity: 48, on: model.backend)
      var start = TokenBatch()
      start.append(sequence.prefix(read))
      _ = try model.forward(start, sink: (cache, Array(repeating: 1, count: read)))
      for position in read..<sequence.count {
        let hidden = try model.backend.download(
          try model.decode(tokens: [sequence[position]], slots: [1], positions: [Int32(position)], cache: cache))
        #expect(hidden.map(\.bitPattern) == whole[(position * width)..<((position + 1) * width)].map(\.bitPattern))
      }
    }
  }

  @Test(arguments: ["adapter", "tied", "untied"])
  func gradientsAreTheSameBitsHoweverGroupsAreSplitIntoMicroBatches(_ trained: String) throws {
    func gradients(_ split: [Range<Int>]) throws -> [[UInt32]] {
      let model =
        trained == "adapter"
        ? try model() : try Transformer(ModelFolder("\(goldens)/\(trained)"), trainable: .full, on: makeBackend())
      let prompts: [[Int32]] = [[1, 2, 3], [50, 40, 30, 20], [9]]
      let head = LossHead(model)
      for range in split {
        var batch = TokenBatch()
        var targets = TokenTargets()
        for index in range { batch.append(prompt: prompts[index], completions: completions, targets: &targets) }
        let pass = try model.forward(batch, retaining: .everything)
        let scores = try head.forward(pass.hidden, targets, temperature: 0.8)
        let dHidden = try model.backend.zeros(pass.hidden.rows, pass.hidden.columns)
        let weights = targets.targets.map { Float($0) / 61 - 0.3 }
        try head.backward(scores, dLogProb: weights, dEntropy: nil, into: dHidden)
        try model.backward(pass, dHidden: dHidden)
      }
      model.finishGradients()
      return try model.parameters.map { try model.backend.download($0.gradient).map(\.bitPattern) }
    }
    let whole = try gradients([0..<3])
    #expect(try gradients([0..<1, 1..<3]) == whole)
    #expect(try gradients([0..<1, 1..<2, 2..<3]) == whole)
  }
}
