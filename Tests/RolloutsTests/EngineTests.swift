import Compute
import Rollouts
import Support
import TestSupport
import Testing
import Transformer

@Suite struct EngineTests {
  private let settings = GenerationSettings(
    sampling: SamplingSettings(temperature: 1), maxNewTokens: 30, seed: 4, stopTokens: Set(2..<8), batchSize: 4)

  /// With four places and completions of different lengths, a place that is free is taken by the next completion: fewer
  /// rounds of decoding than if each four waited for their longest.
  @Test(arguments: backends) func aFinishedSequenceLeavesItsPlaceToTheNext(_ tested: TestedBackend) throws {
    let requests = (0..<24).map { GenerationRequest(prompt: [Int32(10 + $0), 9], stream: UInt64($0)) }
    var rounds = 0
    var finished: [Int] = []
    let backend = try tested.open()
    let made = try Trial(on: backend).generate(requests, settings) { progress in
      rounds += 1
      finished.append(progress.finished)
      #expect(progress.total == 24)
      return true
    }
    let lengths = made.map { $0[0].tokens.count }
    let waiting = stride(from: 0, to: 24, by: 4).reduce(0) { $0 + (lengths[$1..<($1 + 4)].max() ?? 0) }
    #expect(Set(lengths).count > 3, "the lengths differ: \(lengths)")
    #expect(rounds < waiting, "\(rounds) rounds; waiting for the longest of each four takes \(waiting)")
    // The work there is, spread over four places, is the fewest rounds there can be.
    #expect(rounds * backend.stepsTogether >= (lengths.reduce(0, +) - 24) / 4)
    #expect(finished == finished.sorted() && finished.last == 24)
  }

  @Test(arguments: backends) func nothingAskedForGivesNothing(_ tested: TestedBackend) throws {
    let engine = try Trial(on: tested.open())
    #expect(try engine.generate([], settings).isEmpty)
    #expect(try engine.generate([GenerationRequest(prompt: [1], samples: 0, stream: 0)], settings) == [[]])
    var none = settings
    none.maxNewTokens = 0
    #expect(try engine.generate([GenerationRequest(prompt: [1], stream: 0)], none) == [[Completion()]])
  }

  @Test(arguments: backends) func aPromptWithoutTokensIsAnError(_ tested: TestedBackend) throws {
    let engine = try Trial(on: tested.open())
    let failure = failure { () throws(Failure) in
      try engine.generate([GenerationRequest(prompt: [], stream: 0)], settings)
    }
    #expect(failure?.code == .badData)
    #expect(failure?.message.contains("without tokens") == true)
  }

  @Test(arguments: backends, [-1, 61, Int32.max])
  func aTokenThatTheModelDoesNotKnowIsAnError(_ tested: TestedBackend, _ token: Int32) throws {
    let engine = try Trial(on: tested.open())
    let failure = failure { () throws(Failure) in
      try engine.generate([GenerationRequest(prompt: [1, token], stream: 0)], settings)
    }
    #expect(failure?.code == .badData)
    #expect(failure?.message.contains("\(token)") == true)
  }

  @Test(arguments: backends) func aPromptLongerThanTheModelsPositionsIsAnErrorThatNamesBoth(_ tested: TestedBackend) throws {
    let model = try Trial(on: tested.open())
    let limit = model.policy.model.configuration.maxPositions
    let failure = failure { () throws(Failure) in
      try model.generate(
        [GenerationRequest(prompt: Array(repeating: 5, count: limit + 1), stream: 0)], settings)
    }
    #expect(failure?.code == .badData)
    #expect(failure?.message.contains("\(limit + 1)") == true && failure?.message.contains("\(limit)") == true)
  }

  /// A completion ends where the context does, and what lies inside is what it would have been.
  @Test(arguments: backends) func nothingGrowsPastTheContext(_ tested: TestedBackend) throws {
    let model = try Trial(on: tested.open())
    let limit = model.policy.model.configuration.maxPositions
    var unending = settings
    unending.stopTokens = []
    unending.maxNewTokens = 10
    let prompts = [3, 1, 30, 10].map { room in Array(repeating: Int32(5), count: limit - room) }
    let requests = prompts.enumerated().map { GenerationRequest(prompt: $1, samples: 2, stream: UInt64($0)) }
    let made = try model.generate(requests, unending)
    #expect(made.map { $0.map(\.tokens.count) } == [[3, 3], [1, 1], [10, 10], [10, 10]])
    #expect(made.joined().allSatisfy { $0.isTruncated })
    unending.maxNewTokens = Int.max
    let most = try model.generate(requests, unending)
    #expect(most.map { $0.map(\.tokens.count) } == [[3, 3], [1, 1], [30, 30], [10, 10]])
    for (short, long) in zip(made.joined(), most.joined()) { #expect(Array(long.tokens.prefix(short.tokens.count)) == short.tokens) }
    let full = failure { () throws(Failure) in
      try model.generate([GenerationRequest(prompt: Array(repeating: 5, count: limit), stream: 0)], unending)
    }
    #expect(full?.code == .badData)
  }

  @Test(arguments: backends) func everyTokenIsToldOnceAsItIsDrawn(_ tested: TestedBackend) throws {
    var told: [[[Int32]]] = makeRequests().map { Array(repeating: [], count: $0.samples) }
    let backend = try tested.open()
    let made = try Trial(on: backend).generate(makeRequests(), settings, onToken: { told[$0][$1].append($2) })
    #expect(told == made.map { $0.map(\.tokens) })
  }

  @Test(arguments: backends) func aRequestToStopEndsWithTheCodeOfAnInterruption(_ tested: TestedBackend) throws {
    let engine = try Trial(on: tested.open())
    let failure = failure { () throws(Failure) in try engine.generate(makeRequests(), settings) { _ in false } }
    #expect(failure?.code == .interrupted)
  }

  @Test(arguments: backends) func weightsThatAreNotNumbersAreAnErrorAndNotAToken(_ tested: TestedBackend) throws {
    let model = try Trial(adapter: "r4", on: tested.open())
    let store = try #require(model.adapter?.store)
    let parameter = store.parameters[0]
    store.backend.upload(Array(repeating: .nan, count: parameter.value.count), to: parameter.value)
    store.repack()
    let failure = failure { () throws(Failure) in try model.generate(makeRequests(), settings) }
    #expect(failure?.code == .internalError)
    #expect(failure?.message.contains("not numbers") == true)
  }
}
