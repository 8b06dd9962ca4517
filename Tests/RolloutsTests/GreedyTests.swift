import Compute
import Rollouts
import Support
import TestSupport
import Testing
import Transformer

/// Greedy decoding against transformers' `generate` (float64).
@Suite struct GreedyTests {
  private struct Row {
    let prompt: [Int32]
    let tokens: [Int32]
    let logProbs: [Double]
  }

  private static func tokens(_ json: JSON?) -> [Int32] { (json?.array ?? []).compactMap { $0.int.map { Int32($0) } } }

  private static func golden(_ name: String) throws -> (rows: [Row], stop: Set<Int32>, newTokens: Int) {
    let json = try JSON.read(goldens + "/greedy.json")
    let model = try #require(json["models"]?[name])
    let rows = try #require(model["rows"]?.array).map {
      Row(
        prompt: tokens($0["prompt"]), tokens: tokens($0["tokens"]),
        logProbs: ($0["log_probs"]?.array ?? []).compactMap(\.double))
    }
    return (rows, Set(tokens(model["stop"])), try #require(json["new_tokens"]?.int))
  }

  @Test(arguments: backends.filter(\.isFloat32), pairs(["tied", "untied", "bf16", "f16"], [1, 5, 12]))
  func greedyTokensEqualThoseOfTransformers(_ tested: TestedBackend, _ point: (name: String, batchSize: Int)) throws {
    let (name, batchSize) = point
    let (rows, stop, newTokens) = try Self.golden(name)
    #expect(rows.count == 12 && stop.count == 2)
    let model = try Trial(name, on: tested.open())
    #expect(Set(model.policy.model.endOfText) == stop)
    let settings = GenerationSettings(
      sampling: SamplingSettings(temperature: 0), maxNewTokens: newTokens, seed: 1, stopTokens: stop, batchSize: batchSize)
    let made = try model.generate(
      rows.enumerated().map { GenerationRequest(prompt: $0.element.prompt, stream: UInt64($0.offset)) }, settings)
    #expect(made.count == rows.count)
    for (row, completions) in zip(rows, made) {
      let completion = try #require(completions.first)
      #expect(completion.tokens == row.tokens)
      #expect(completion.isTruncated == !stop.contains(try #require(row.tokens.last)))
      #expect(completion.logProbs.count == row.logProbs.count)
      for (found, expected) in zip(completion.logProbs, row.logProbs) { #expect(abs(Double(found) - expected) < tested.tolerance(2e-5)) }
    }
  }

  @Test(arguments: backends) func aTopKOfOneIsGreedyAtAnyTemperature(_ tested: TestedBackend) throws {
    let model = try Trial(on: tested.open())
    let engine = model
    func tokens(_ sampling: SamplingSettings) throws -> [[[Int32]]] {
      let settings = GenerationSettings(sampling: sampling, maxNewTokens: 20, seed: 9, stopTokens: [2, 3])
      return try engine.generate(makeRequests(), settings).map { $0.map(\.tokens) }
    }
    let greedy = try tokens(SamplingSettings(temperature: 0))
    #expect(try tokens(SamplingSettings(temperature: 1.7, topK: 1)) == greedy)
    #expect(try tokens(SamplingSettings(temperature: 1, topP: 1e-6)) == greedy)
    #expect(try tokens(SamplingSettings(temperature: 1)) != greedy)
  }
}
