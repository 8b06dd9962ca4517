import Compute
import Support
import TestSupport
import Testing

@Suite struct SamplerTests {
  /// One token a row; row i is a sequence of its own with a stream of its own.
  private func draw(_ tested: TestedBackend, _ logits: [Float], _ settings: SamplingSettings, columns: Int, seed: UInt64 = 5) throws
    -> DrawnTokens
  {
    let backend = try tested.open()
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
  @Test(arguments: backends) func aStepMovesTheStateOn(_ tested: TestedBackend) throws {
    let backend = try tested.open()
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

  @Test(arguments: backends) func greedyTakesTheLargestAndTheFirstOfEquals(_ tested: TestedBackend) throws {
    let drawn = try draw(tested, [0, 3, 3, 1, -5, -6, -4, -4], SamplingSettings(temperature: 0), columns: 4)
    #expect(drawn.tokens == [1, 2])
  }

  @Test(arguments: backends, [SamplingSettings(temperature: 0.7), SamplingSettings(temperature: 1, topK: 3), SamplingSettings(temperature: 1.3, topP: 0.6)])
  func frequenciesFollowTheDistribution(_ tested: TestedBackend, _ settings: SamplingSettings) throws {
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
    let count = tested.isEmulated ? 2000 : 20_000
    let rows = (0..<count).flatMap { _ in logits }
    let drawn = try draw(tested, rows, settings, columns: logits.count)
    for token in logits.indices {
      let share = Double(drawn.tokens.count { $0 == Int32(token) }) / Double(count)
      let expected = kept[token] / sum
      #expect(abs(share - expected) < 5 * (expected * (1 - expected) / Double(count)).squareRoot() + 1e-12)
    }
    for (token, logProb) in zip(drawn.tokens, drawn.logProbs).prefix(100) {
      #expect(abs(Double(logProb) - log(kept[Int(token)] / sum)) < tested.tolerance(1e-5))
    }
  }

  @Test(arguments: backends, [(40, 777), (40, 1025), (12, 5003), (5, 151_936)])
  func theSamplersLogProbabilityIsTheLossHeadsBitForBit(_ tested: TestedBackend, _ shape: (rows: Int, vocabulary: Int)) throws {
    let backend = try tested.open()
    let (rows, vocabulary) = shape
    let logits = numbers(rows * vocabulary, seed: 9, scale: 2)
    let drawn = try draw(tested, logits, SamplingSettings(temperature: 0.8), columns: vocabulary, seed: 6)
    let (logProb, entropy, logSum) = (
      try backend.tensor(rows, 1), try backend.tensor(rows, 1), try backend.tensor(rows, 1)
    )
    backend.logSoftmax(
      try backend.tensor(logits, rows: rows, columns: vocabulary), inverseTemperature: 1 / Float(0.8),
      targets: try backend.indices(drawn.tokens), logProb: logProb, entropy: entropy, logSum: logSum)
    #expect(drawn.tokens.allSatisfy { (0..<Int32(vocabulary)).contains($0) })
    expectTheSameRows(try backend.read(logProb), drawn.logProbs, on: backend, within: tested.tolerance(1e-6))
    expectTheSameRows(try backend.read(entropy), drawn.entropies, on: backend, within: tested.tolerance(1e-6))
  }

  /// At a temperature that is nearly 0 all probability is the likeliest token's, however small the reciprocal's room.
  @Test(
    arguments: backends,
    pairs([1e-3, 1e-10, 1e-20, 1e-37, 1e-38, 1e-40, 1e-45, 1e-50, 1e-300], [(0, 1), (3, 1), (0, 0.5)] as [(Int, Float)]))
  func aTemperatureNearZeroIsGreedyWithLogProbabilitiesOfZero(
    _ tested: TestedBackend, _ point: (temperature: Double, cut: (topK: Int, topP: Float))
  ) throws {
    let (temperature, cut) = point
    let (rows, vocabulary) = (24, 777)
    var logits = numbers(rows * vocabulary, seed: 11, scale: 30)
    for row in 0..<rows { logits[row * vocabulary + 7 * row] += 100 }
    let greedy = try draw(tested, logits, SamplingSettings(temperature: 0), columns: vocabulary)
    let settings = SamplingSettings(temperature: temperature, topK: cut.topK, topP: cut.topP)
    let drawn = try draw(tested, logits, settings, columns: vocabulary)
    #expect(drawn.tokens == greedy.tokens)
    #expect(drawn.logProbs.allSatisfy { $0 == 0 })
    #expect(drawn.entropies.allSatisfy { $0 == 0 })
    // The loss head says the same of the same rows, and a finite number of any other token.
    let backend = try tested.open()
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

  @Test(arguments: backends) func equalLogitsShareTheProbabilityAtAnyTemperature(_ tested: TestedBackend) throws {
    for temperature in [1e-12, 1e-38, 1e-50] {
      let rows = (0..<40).flatMap { _ in [9, 9, 1, 0] as [Float] }
      let drawn = try draw(tested, rows, SamplingSettings(temperature: temperature), columns: 4)
      #expect(Set(drawn.tokens) == [0, 1])
      #expect(drawn.logProbs.allSatisfy { abs($0 + log(Float(2))) < 1e-6 })
      #expect(drawn.entropies.allSatisfy { abs($0 - log(Float(2))) < 1e-6 })
    }
  }

  @Test(arguments: backends) func aRowThatIsNotANumberGivesNoToken(_ tested: TestedBackend) throws {
    for temperature in [0, 1, 1e-40] {
      let drawn = try draw(tested, [0, .nan, 1], SamplingSettings(temperature: temperature), columns: 3)
      #expect(drawn.tokens == [-1] && drawn.outcomes == [.notANumber])
    }
  }

  // MARK: More than one block of the vocabulary

  private static let widths = [1025, 5003, 151_936]
  private static let settings = [
    SamplingSettings(temperature: 1), SamplingSettings(temperature: 0.7), SamplingSettings(temperature: 1, topK: 40),
    SamplingSettings(temperature: 1.3, topP: 0.9), SamplingSettings(temperature: 0.9, topK: 1030, topP: 0.95),
  ]

  /// The distribution that is drawn from, in float64, in the order in which its sums run: by index, or most likely first where some
  /// are cut off.
  private func distribution(_ logits: [Float], _ settings: SamplingSettings) -> [(token: Int, probability: Double)] {
    let probabilities = logSoftmax(doubles(logits), inverse: 1 / Double(settings.temperature)).logProbs.map { exp($0) }
    guard settings.topK > 0 && settings.topK < logits.count || settings.topP < 1 else {
      return probabilities.enumerated().map { (token: $0, probability: $1) }
    }
    var order = logits.indices.sorted { logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1 }
    if settings.topK > 0 { order = Array(order.prefix(settings.topK)) }
    let mass = order.reduce(0) { $0 + probabilities[$1] }
    var (kept, reached) = ([Int](), 0.0)
    for token in order where reached < Double(settings.topP) * mass || settings.topP >= 1 {
      kept.append(token)
      reached += probabilities[token]
    }
    return kept.map { ($0, probabilities[$0] / reached) }
  }

  /// Every token drawn is the one whose share of [0, 1) the row's random number lies in.
  @Test(arguments: backends, pairs(widths, settings))
  func aTokenIsTheOneThatItsRandomNumberPointsAt(_ tested: TestedBackend, _ point: (width: Int, settings: SamplingSettings)) throws {
    let (width, settings) = point
    let rows = width > 100_000 ? 3 : 24
    let logits = numbers(rows * width, seed: 13, scale: 2)
    let drawn = try draw(tested, logits, settings, columns: width)
    let tolerance = tested.tolerance(2e-6)
    var beyond = 0
    for row in 0..<rows {
      let kept = distribution(Array(logits[(row * width)..<((row + 1) * width)]), settings)
      let number = RandomStream(seed: 5, stream: UInt64(row)).uniform(at: 0)
      let token = Int(drawn.tokens[row])
      let place = try #require(kept.firstIndex { $0.token == token }, "token \(token) of row \(row) is cut off")
      let before = kept[..<place].reduce(0) { $0 + $1.probability }
      #expect(before - tolerance <= number && number <= before + kept[place].probability + tolerance, "row \(row)")
      #expect(abs(Double(drawn.logProbs[row]) - log(kept[place].probability)) < tested.tolerance(2e-5))
      let entropy = -kept.reduce(0) { $0 + ($1.probability > 0 ? $1.probability * log($1.probability) : 0) }
      #expect(abs(Double(drawn.entropies[row]) - entropy) < tested.tolerance(2e-5))
      if token >= 1024 { beyond += 1 }
    }
    if width > 2048 { #expect(beyond > 0, "every token lies in the first block") }
  }

  @Test(arguments: backends, settings)
  func frequenciesFollowTheDistributionBeyondOneBlock(_ tested: TestedBackend, _ settings: SamplingSettings) throws {
    let (width, rows) = (2500, tested.isEmulated ? 600 : 3000)
    var logits = numbers(width, seed: 14)
    for token in [3, 1023, 1024, 2047, 2048, 2499] { logits[token] += 6 }
    let drawn = try draw(tested, (0..<rows).flatMap { _ in logits }, settings, columns: width)
    // The likely tokens, which stand at the ends of the blocks, one by one; the others by block.
    func place(_ token: Int) -> Int { [3, 1023, 1024, 2047, 2048, 2499].firstIndex(of: token) ?? 6 + token / 1024 }
    var (expected, found) = ([Double](repeating: 0, count: 9), [Double](repeating: 0, count: 9))
    for (token, probability) in distribution(logits, settings) { expected[place(token)] += probability }
    for token in drawn.tokens { found[place(Int(token))] += 1 / Double(rows) }
    for (found, expected) in zip(found, expected) {
      #expect(abs(found - expected) < 5 * (expected * (1 - expected) / Double(rows)).squareRoot() + 1e-9)
    }
  }

  @Test(arguments: backends, widths)
  func equalLogitsAreTakenByIndex(_ tested: TestedBackend, _ width: Int) throws {
    let pairs = [(0, width - 1), (1023, 1024), (1024, width - 1), (17, 1020), (width - 1, width - 1)]
    var logits = numbers(pairs.count * width, seed: 15)
    for (row, pair) in pairs.enumerated() {
      for token in [pair.0, pair.1] { logits[row * width + token] = 20 }
    }
    let greedy = try draw(tested, logits, SamplingSettings(temperature: 0), columns: width)
    #expect(greedy.tokens == pairs.map { Int32($0.0) })
    let top = try draw(tested, logits, SamplingSettings(temperature: 1, topK: 1), columns: width)
    #expect(top.tokens == greedy.tokens)
    #expect(top.logProbs.allSatisfy { $0 == 0 })

    // Of equal logits the first are kept, though they lie in several blocks.
    let rows = 200
    let even = [Float](repeating: 0.5, count: width)
    for (settings, kept) in [
      (SamplingSettings(temperature: 1, topK: 7), 7), (SamplingSettings(temperature: 1, topK: 1025), 1025),
      (SamplingSettings(temperature: 1, topP: 0.25), (width + 3) / 4),
    ] where width < 100_000 {
      let drawn = try draw(tested, (0..<rows).flatMap { _ in even }, settings, columns: width)
      for (row, token) in drawn.tokens.enumerated() {
        let number = RandomStream(seed: 5, stream: UInt64(row)).uniform(at: 0)
        #expect(abs(Double(token) + 0.5 - number * Double(kept)) < 0.51, "\(settings), row \(row)")
        #expect(abs(Double(drawn.logProbs[row]) + log(Double(kept))) < tested.tolerance(1e-6))
      }
    }
  }

  @Test(arguments: backends, widths)
  func aRowThatIsNotANumberAnywhereGivesNoTokenAndLeavesTheOthers(_ tested: TestedBackend, _ width: Int) throws {
    let places = [0, 15, 1023, 1024, width - 1]
    let good = numbers(width, seed: 16)
    var rows = [good]
    for bad in [Float.nan, .infinity] {
      for place in places {
        var row = good
        row[place] = bad
        rows.append(row)
      }
    }
    rows.append([Float](repeating: -.infinity, count: width))
    rows.append(good)
    for settings in [SamplingSettings(temperature: 0)] + Self.settings.prefix(width > 100_000 ? 1 : 5) {
      let drawn = try draw(tested, rows.flatMap { $0 }, settings, columns: width)
      let alone = try draw(tested, good, settings, columns: width)
      for row in rows.indices.dropFirst().dropLast() {
        #expect(drawn.tokens[row] == -1 && drawn.outcomes[row] == .notANumber && drawn.logProbs[row].isNaN, "row \(row)")
      }
      #expect(drawn.tokens[0] == alone.tokens[0] && drawn.logProbs[0] == alone.logProbs[0] && drawn.outcomes[0] == .goesOn)
      #expect(drawn.outcomes.last == .goesOn)
    }
    // What is impossible is never drawn, and the only thing possible always is.
    var single = [Float](repeating: -.infinity, count: width)
    single[width - 1] = -3
    for settings in Self.settings {
      let drawn = try draw(tested, single, settings, columns: width)
      #expect(drawn.tokens == [Int32(width - 1)] && drawn.logProbs == [0] && drawn.entropies == [0], "\(settings)")
    }
  }
}
