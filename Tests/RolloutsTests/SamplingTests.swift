import Compute
import Rollouts
import Support
import TestSupport
import Testing
import Transformer

/// What is drawn depends on prompt, settings and stream, and on nothing else.
@Suite struct SamplingTests {
  private func settings(
    seed: UInt64 = 5, temperature: Float = 0.8, topK: Int = 0, topP: Float = 1, batchSize: Int? = nil,
    stop: Set<Int32> = [2, 3], maxNewTokens: Int = 24
  ) -> GenerationSettings {
    GenerationSettings(
      sampling: SamplingSettings(temperature: Double(temperature), topK: topK, topP: topP), maxNewTokens: maxNewTokens,
      seed: seed, stopTokens: stop, batchSize: batchSize)
  }

  @Test(arguments: backends, [(1, 1), (1, 2), (2, 2), (3, 1), (5, 3), (17, 2), (100, 2)])
  func theSameSeedGivesTheSameBitsWhateverTheBatchSizeAndTheThreads(_ tested: TestedBackend, _ point: (batchSize: Int, threads: Int)) throws {
    let (batchSize, threads) = point
    let expected = bits(try Trial(adapter: "r16", on: tested.open(threads: 2)).generate(makeRequests(), settings()))
    let found = try Trial(adapter: "r16", on: tested.open(threads: threads)).generate(
      makeRequests(), settings(batchSize: batchSize))
    #expect(bits(found) == expected)
  }

  @Test(arguments: backends) func aCompletionDoesNotDependOnWhatElseIsAskedFor(_ tested: TestedBackend) throws {
    let engine = try Trial(on: tested.open())
    let requests = makeRequests()
    let together = try engine.generate(requests, settings(batchSize: 3))
    for (request, completions) in zip(requests, together) {
      #expect(bits([try engine.generate([request], settings())[0]]) == bits([completions]))
    }
    let fewer = requests.map { GenerationRequest(prompt: $0.prompt, samples: min(1, $0.samples), stream: $0.stream) }
    let singles = try engine.generate(fewer, settings())
    #expect(singles.count == together.count)
    for (all, one) in zip(together, singles) { #expect(Array(all.prefix(1)) == one) }
  }

  @Test(arguments: backends) func otherSeedsStreamsAndSamplesGiveOtherTokens(_ tested: TestedBackend) throws {
    let engine = try Trial(on: tested.open())
    let request = GenerationRequest(prompt: [5, 6, 7], samples: 3, stream: 1)
    let first = try engine.generate([request], settings(stop: []))[0]
    #expect(first[0].tokens != first[1].tokens)
    #expect(first[1].tokens != first[2].tokens)
    #expect(try engine.generate([request], settings(seed: 6, stop: []))[0][0].tokens != first[0].tokens)
    let other = GenerationRequest(prompt: [5, 6, 7], samples: 3, stream: 2)
    #expect(try engine.generate([other], settings(stop: []))[0][0].tokens != first[0].tokens)
  }

  /// The design's central promise: the ratio of the first update is exactly 1.
  @Test(
    arguments: backends,
    pairs(["tied", "untied", "bf16", "f16", "llama", "llama-biases", "qwen3", "qwen3-untied"], [0.8, 1, 1.3]))
  func theSamplersLogProbabilitiesAreTheTrainersBitForBit(_ tested: TestedBackend, _ point: (name: String, temperature: Double)) throws {
    let (name, temperature) = point
    let model = try Trial(name, adapter: name == "tied" ? "r16" : nil, on: tested.open())
    let requests = makeRequests(vocabulary: min(61, model.policy.model.configuration.vocabularySize))
    let made = try model.generate(
      requests, settings(temperature: Float(temperature), batchSize: 4))
    var batch = TokenBatch()
    var targets = TokenTargets()
    for (request, completions) in zip(requests, made) where !completions.isEmpty {
      batch.append(prompt: request.prompt, completions: completions.map(\.tokens), targets: &targets)
    }
    let scores = try model.scores(batch, targets, temperature: temperature)
    let sampled = made.joined()
    #expect(scores.logProbs.map(\.bitPattern) == sampled.flatMap(\.logProbs).map(\.bitPattern))
    #expect(scores.entropies.map(\.bitPattern) == sampled.flatMap(\.entropies).map(\.bitPattern))
    #expect(scores.logProbs.count > 100)
  }

  @Test(arguments: backends) func aStopTokenEndsACompletionAndIsPartOfIt(_ tested: TestedBackend) throws {
    let engine = try Trial(on: tested.open())
    let free = try engine.generate(makeRequests(), settings(stop: []))
    let stop = try #require(free[0][0].tokens.dropFirst(3).first)
    let stopped = try engine.generate(makeRequests(), settings(stop: [stop]))
    for (long, short) in zip(free.joined(), stopped.joined()) {
      #expect(long.isTruncated && long.tokens.count == 24)
      guard let end = long.tokens.firstIndex(of: stop) else {
        #expect(short == long)
        continue
      }
      #expect(short.tokens == Array(long.tokens[...end]))
      #expect(short.logProbs == Array(long.logProbs[...end]))
      #expect(!short.isTruncated)
    }
    #expect(stopped[0][0].tokens.last == stop)
  }

  @Test(arguments: backends) func aStopTokenAtTheLengthLimitIsNotATruncation(_ tested: TestedBackend) throws {
    let engine = try Trial(on: tested.open())
    let request = GenerationRequest(prompt: [5, 6, 7], stream: 1)
    let token = try engine.generate([request], settings(stop: [], maxNewTokens: 1))[0][0]
    #expect(token.tokens.count == 1 && token.isTruncated)
    #expect(try !engine.generate([request], settings(stop: [token.tokens[0]], maxNewTokens: 1))[0][0].isTruncated)
  }

  /// Draws the first token many times and compares with the distribution that the model's scores say.
  @Test(arguments: backends, [(0, 1), (5, 1), (0, 0.6), (8, 0.8)] as [(Int, Float)])
  func drawnTokensFollowTheTruncatedDistribution(_ tested: TestedBackend, _ cut: (topK: Int, topP: Float)) throws {
    let (topK, topP) = cut
    let model = try Trial(on: tested.open())
    let prompt: [Int32] = [5, 9, 33]
    var batch = TokenBatch()
    var targets = TokenTargets()
    for token in 0..<61 as Range<Int32> { batch.append(prompt: prompt, completions: [[token]], targets: &targets) }
    let scores = try model.scores(batch, targets, temperature: 1.5)
    let probabilities = scores.logProbs.map { exp(Double($0)) }
    var allowed = Array((0..<61).sorted { probabilities[$0] > probabilities[$1] }.prefix(topK == 0 ? 61 : topK))
    // The smallest set that holds topP of what top-k left, as transformers truncates one after the other.
    let total = allowed.reduce(0) { $0 + probabilities[$1] }
    var mass = 0.0
    let size = allowed.firstIndex { index in
      mass += probabilities[index] / total
      return mass >= Double(topP)
    }
    if let size, topP < 1 { allowed = Array(allowed[...size]) }
    let kept = allowed.reduce(0) { $0 + probabilities[$1] }

    let samples = 4000
    let made = try model.generate(
      [GenerationRequest(prompt: prompt, samples: samples, stream: 3)],
      settings(temperature: 1.5, topK: topK, topP: topP, maxNewTokens: 1))[0]
    var counts = [Int](repeating: 0, count: 61)
    for completion in made {
      let token = Int(completion.tokens[0])
      counts[token] += 1
      // ALGORITHMS.md: log-probabilities are those of the truncated distribution the sampler used.
      #expect(abs(Double(completion.logProbs[0]) - log(probabilities[token] / kept)) < tested.tolerance(1e-4))
    }
    for token in 0..<61 {
      guard allowed.contains(token) else {
        #expect(counts[token] == 0, "token \(token) is outside")
        continue
      }
      let share = probabilities[token] / kept
      let deviation = (share * (1 - share) / Double(samples)).squareRoot()
      #expect(abs(Double(counts[token]) / Double(samples) - share) < 4.5 * deviation + 1e-3, "token \(token)")
    }
  }
}
