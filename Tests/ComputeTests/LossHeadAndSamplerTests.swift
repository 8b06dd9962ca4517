import Compute
import Support
import Testing

private func logSoftmax(_ logits: [Double], inverse: Double) -> (logProbs: [Double], entropy: Double) {
  let scaled = logits.map { $0 * inverse }
  let top = scaled.max() ?? 0
  let logSum = top + log(scaled.reduce(0) { $0 + exp($1 - top) })
  let logProbs = scaled.map { $0 - logSum }
  return (logProbs, -logProbs.reduce(0) { $0 + exp($1) * $1 })
}

@Suite struct LossHeadTests {
  @Test(arguments: [(1, 2), (3, 17), (5, 512), (2, 5003)], [1.0, 0.8, 2.5])
  func logProbabilityAndEntropyForwardAndBackward(shape: (Int, Int), temperature: Double) throws {
    let (rows, vocabulary) = shape
    let backend = try makeBackend()
    let logits = numbers(rows * vocabulary, seed: 1, scale: 3)
    let targets = (0..<rows).map { Int32(($0 * 7919) % vocabulary) }
    let (dLogProb, dEntropy) = (numbers(rows, seed: 2), numbers(rows, seed: 3))
    let inverse = Double(Float(1 / temperature))
    let tensor = try backend.tensor(logits, rows: rows, columns: vocabulary)
    let ids = try backend.indices(targets)
    let (logProb, entropy) = (try backend.tensor(rows, 1), try backend.tensor(rows, 1))
    let logSum = try backend.tensor(rows, 1)
    backend.logSoftmax(
      tensor, inverseTemperature: Float(inverse), targets: ids, logProb: logProb, entropy: entropy, logSum: logSum)
    let reference = (0..<rows).map { logSoftmax(doubles(Array(logits[($0 * vocabulary)..<(($0 + 1) * vocabulary)])), inverse: inverse) }
    #expect(relativeError(try backend.read(logProb), (0..<rows).map { reference[$0].logProbs[Int(targets[$0])] }, floor: 3) < 1e-6)
    #expect(relativeError(try backend.read(entropy), reference.map(\.entropy), floor: 3) < 1e-6)

    backend.logSoftmaxBackward(
      tensor, inverseTemperature: Float(inverse), targets: ids, logSum: logSum, entropy: entropy,
      dLogProb: try backend.tensor(dLogProb, rows: rows, columns: 1),
      dEntropy: try backend.tensor(dEntropy, rows: rows, columns: 1))
    let gradient = try backend.read(tensor)
    for row in 0..<rows {
      let point = doubles(Array(logits[(row * vocabulary)..<((row + 1) * vocabulary)]))
      let checked = vocabulary > 600 ? Array(stride(from: 0, to: vocabulary, by: 97)) + [Int(targets[row])] : Array(0..<vocabulary)
      for index in checked {
        func value(_ step: Double) -> Double {
          var moved = point
          moved[index] += step
          let result = logSoftmax(moved, inverse: inverse)
          return Double(dLogProb[row]) * result.logProbs[Int(targets[row])] + Double(dEntropy[row]) * result.entropy
        }
        let expected = (value(1e-4) - value(-1e-4)) / 2e-4
        #expect(abs(Double(gradient[row * vocabulary + index]) - expected) < 2e-6 * max(1, abs(expected)))
      }
    }
  }

  @Test func hugeLogitsStayNumbers() throws {
    let backend = try makeBackend()
    let logits = try backend.tensor([1e30, -1e30, 0, 5, 88, -88], rows: 2, columns: 3)
    let ids = try backend.indices([1, 0])
    let (logProb, entropy, logSum) = (try backend.tensor(2, 1), try backend.tensor(2, 1), try backend.tensor(2, 1))
    backend.logSoftmax(logits, inverseTemperature: 1, targets: ids, logProb: logProb, entropy: entropy, logSum: logSum)
    #expect(try backend.read(entropy).allSatisfy { $0.isFinite && abs($0) < 1e-6 })
  }
}

@Suite struct SamplerTests {
  /// One token a row; row i is a sequence of its own with a stream of its own.
  private func draw(_ logits: [Float], _ settings: SamplingSettings, columns: Int, seed: UInt64 = 5) throws -> DrawnTokens {
    let backend = try makeBackend()
    let rows = logits.count / columns
    let state = try DecodeState(rows: rows, stopTokens: [], on: backend)
    state.load(
      (0..<rows).map {
        DecodeSequence(promptSlot: 0, promptLength: 1, slot: Int32($0), remaining: 9, random: RandomStream(seed: seed, stream: UInt64($0)))
      }, on: backend)
    try backend.sampleStep(try backend.tensor(logits, rows: rows, columns: columns), settings, state, in: Arena(on: backend))
    return try backend.drawn(state).value()
  }

  /// What a step of the sampler leaves of a state: the next position, the next random number, and what became of the sequence.
  @Test func aStepMovesTheStateOn() throws {
    let backend = try makeBackend()
    let state = try DecodeState(rows: 3, stopTokens: [1], on: backend)
    let sequences = [(9, 4), (9, 1), (9, 4)].map { (prompt: Int, remaining: Int) in
      DecodeSequence(
        promptSlot: 0, promptLength: Int32(prompt), slot: 0, drawn: 2, remaining: Int32(remaining), random: RandomStream(seed: 1, stream: 2))
    }
    state.load(sequences, on: backend)
    let logits: [Float] = [5, 0, 0, 5, 0, 0, 0, 5, 0]
    let arena = try Arena(on: backend)
    try backend.sampleStep(try backend.tensor(logits, rows: 3, columns: 3), SamplingSettings(temperature: 0), state, in: arena)
    let drawn = try backend.drawn(state).value()
    #expect(drawn.tokens == [0, 0, 1])
    #expect(drawn.outcomes == [.goesOn, .reachedLimit, .stopped])
    // Rows whose third random numbers differ from their first draw other tokens: the number counts tokens, not steps of the batch.
    let even = try backend.tensor([Float](repeating: 0, count: 3 * 1000), rows: 3, columns: 1000)
    state.load(sequences, on: backend)
    try backend.sampleStep(even, SamplingSettings(temperature: 1), state, in: arena)
    let expected = Int32(RandomStream(seed: 1, stream: 2).uniform(at: 2) * 1000)
    #expect(try backend.drawn(state).value().tokens.allSatisfy { abs($0 - expected) <= 1 })
  }

  @Test func greedyTakesTheLargestAndTheFirstOfEquals() throws {
    let drawn = try draw([0, 3, 3, 1, -5, -6, -4, -4], SamplingSettings(temperature: 0), columns: 4)
    #expect(drawn.tokens == [1, 2])
  }

  @Test(arguments: [SamplingSettings(temperature: 0.7), SamplingSettings(temperature: 1, topK: 3), SamplingSettings(temperature: 1.3, topP: 0.6)])
  func frequenciesFollowTheDistribution(_ settings: SamplingSettings) throws {
    let logits: [Float] = [1.2, -0.3, 0.8, 2.0, -1.5, 0.1]
    let (probabilities, _) = logSoftmax(doubles(logits), inverse: 1 / Double(settings.temperature))
    var kept = probabilities.map { exp($0) }
    let order = kept.indices.sorted { kept[$0] > kept[$1] }
    if settings.topK > 0 { for index in order.dropFirst(settings.topK) { kept[index] = 0 } }
    if settings.topP < 1 {
      var reached = 0.0
      for index in order {
        if reached >= Double(settings.topP) { kept[index] = 0 } else { reached += kept[index] }
      }
    }
    let sum = kept.reduce(0, +)
    let count = 20_000
    let rows = (0..<count).flatMap { _ in logits }
    let drawn = try draw(rows, settings, columns: logits.count)
    for token in logits.indices {
      let share = Double(drawn.tokens.count { $0 == Int32(token) }) / Double(count)
      let expected = kept[token] / sum
      #expect(abs(share - expected) < 5 * (expected * (1 - expected) / Double(count)).squareRoot() + 1e-12)
    }
    for (token, logProb) in zip(drawn.tokens, drawn.logProbs).prefix(100) {
      #expect(abs(Double(logProb) - log(kept[Int(token)] / sum)) < 1e-5)
    }
  }

  @Test func theSamplersLogProbabilityIsTheLossHeadsBitForBit() throws {
    let backend = try makeBackend()
    let (rows, vocabulary) = (40, 777)
    let logits = numbers(rows * vocabulary, seed: 9, scale: 2)
    let drawn = try draw(logits, SamplingSettings(temperature: 0.8), columns: vocabulary, seed: 6)
    let (logProb, entropy, logSum) = (
      try backend.tensor(rows, 1), try backend.tensor(rows, 1), try backend.tensor(rows, 1)
    )
    backend.logSoftmax(
      try backend.tensor(logits, rows: rows, columns: vocabulary), inverseTemperature: 1 / Float(0.8),
      targets: try backend.indices(drawn.tokens), logProb: logProb, entropy: entropy, logSum: logSum)
    #expect(try backend.read(logProb).map(\.bitPattern) == drawn.logProbs.map(\.bitPattern))
    #expect(try backend.read(entropy).map(\.bitPattern) == drawn.entropies.map(\.bitPattern))
  }

  /// At a temperature that is nearly 0 all probability is the likeliest token's, however small the reciprocal's room.
  @Test(arguments: [1e-3, 1e-10, 1e-20, 1e-37, 1e-38, 1e-40, 1e-45, 1e-50, 1e-300], [(0, 1), (3, 1), (0, 0.5)] as [(Int, Float)])
  func aTemperatureNearZeroIsGreedyWithLogProbabilitiesOfZero(_ temperature: Double, _ cut: (topK: Int, topP: Float)) throws {
    let (rows, vocabulary) = (24, 777)
    var logits = numbers(rows * vocabulary, seed: 11, scale: 30)
    for row in 0..<rows { logits[row * vocabulary + 7 * row] += 100 }
    let greedy = try draw(logits, SamplingSettings(temperature: 0), columns: vocabulary)
    let settings = SamplingSettings(temperature: temperature, topK: cut.topK, topP: cut.topP)
    let drawn = try draw(logits, settings, columns: vocabulary)
    #expect(drawn.tokens == greedy.tokens)
    #expect(drawn.logProbs.allSatisfy { $0 == 0 })
    #expect(drawn.entropies.allSatisfy { $0 == 0 })
    // The loss head says the same of the same rows, and a finite number of any other token.
    let backend = try makeBackend()
    let (logProb, entropy, logSum) = (try backend.tensor(rows, 1), try backend.tensor(rows, 1), try backend.tensor(rows, 1))
    let inverse = SamplingSettings.inverse(of: temperature)
    for targets in [drawn.tokens, drawn.tokens.map { ($0 + 1) % Int32(vocabulary) }] {
      backend.logSoftmax(
        try backend.tensor(logits, rows: rows, columns: vocabulary), inverseTemperature: inverse,
        targets: try backend.indices(targets), logProb: logProb, entropy: entropy, logSum: logSum)
      let found = try backend.read(logProb)
      #expect(targets == drawn.tokens ? found.allSatisfy { $0 == 0 } : found.allSatisfy { $0 < -100 && $0.isFinite })
      #expect(try backend.read(entropy).allSatisfy { $0 == 0 })
    }
  }

  @Test func equalLogitsShareTheProbabilityAtAnyTemperature() throws {
    for temperature in [1e-12, 1e-38, 1e-50] {
      let rows = (0..<40).flatMap { _ in [9, 9, 1, 0] as [Float] }
      let drawn = try draw(rows, SamplingSettings(temperature: temperature), columns: 4)
      #expect(Set(drawn.tokens) == [0, 1])
      #expect(drawn.logProbs.allSatisfy { abs($0 + log(Float(2))) < 1e-6 })
      #expect(drawn.entropies.allSatisfy { abs($0 - log(Float(2))) < 1e-6 })
    }
  }

  @Test func aRowThatIsNotANumberGivesNoToken() throws {
    for temperature in [0, 1, 1e-40] {
      let drawn = try draw([0, .nan, 1], SamplingSettings(temperature: temperature), columns: 3)
      #expect(drawn.tokens == [-1] && drawn.outcomes == [.notANumber])
    }
  }
}

@Suite struct OptimizerKernelTests {
  @Test func adamWFollowsItsDefinition() throws {
    let backend = try makeBackend()
    let count = 1000
    let start = numbers(count, seed: 1)
    let (p, m, v) = (try backend.vector(start), try backend.tensor(1, count), try backend.tensor(1, count))
    var (p64, m64, v64) = (doubles(start), [Double](repeating: 0, count: count), [Double](repeating: 0, count: count))
    let settings = AdamWSettings(learningRate: 1e-2, weightDecay: 0.1)
    for step in 1...5 {
      let g = numbers(count, seed: UInt64(10 + step))
      backend.adamW(settings, step: step, parameter: p, gradient: try backend.vector(g), m: m, v: v, gradientFactor: 0.5)
      for i in 0..<count {
        let gradient = 0.5 * Double(g[i])
        p64[i] *= 1 - 1e-2 * 0.1
        m64[i] = 0.9 * m64[i] + 0.1 * gradient
        v64[i] = 0.999 * v64[i] + 0.001 * gradient * gradient
        p64[i] -= 1e-2 / (1 - pow(0.9, Double(step))) * m64[i] / ((v64[i] / (1 - pow(0.999, Double(step)))).squareRoot() + 1e-8)
      }
    }
    #expect(relativeError(try backend.read(p), p64) < 1e-6)
  }

  @Test func theSumOfSquaresIsExactEnoughAndKnowsInfinity() throws {
    let backend = try makeBackend()
    let x = numbers(100_003, seed: 1)
    let expected = x.reduce(0.0) { $0 + Double($1) * Double($1) }
    let found = try backend.sumOfSquares(try backend.vector(x), parts: [0..<x.count]).value()
    #expect(abs(found - expected) < 1e-9 * expected)
    let infinite = try backend.sumOfSquares(try backend.vector([1, .infinity]), parts: [0..<2]).value()
    #expect(!infinite.isFinite)
    // Part after part, whatever lies between them; the bits of adding up the parts by themselves.
    let parts = [0..<40_000, 40_016..<40_017, 40_032..<40_032, 50_000..<100_003]
    let apart = try parts.map { try backend.sumOfSquares(try backend.vector(Array(x[$0])), parts: [0..<$0.count]).value() }
    #expect(try backend.sumOfSquares(try backend.vector(x), parts: parts).value() == apart.reduce(0, +))
  }
}
