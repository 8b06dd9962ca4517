import Compute
import Rollouts
import Support
import TestSupport
import Testing
import Transformer

/// Tokens that are read ahead change nothing but the number of passes.
@Suite struct DraftTests {
  /// Near greedy decoding a small random model repeats itself: most of it can be foreseen.
  private func settings(_ temperature: Double, drafts: Bool?) -> GenerationSettings {
    GenerationSettings(
      sampling: SamplingSettings(temperature: temperature), maxNewTokens: 60, seed: 4, stopTokens: [2], drafts: drafts)
  }

  @Test(arguments: backends.filter { !$0.isEmulated }, [0, 0.2, 1] as [Double])
  func theTextIsTheOneThatDrawingOneByOneGives(_ tested: TestedBackend, _ temperature: Double) throws {
    for (name, adapter) in [("tied", "r4"), ("tied", nil), ("qwen3", nil)] as [(String, String?)] {
      let trial = try Trial(name, adapter: adapter, on: tested.open())
      let prompts = [[7, 8, 9, 7, 8, 9, 7, 8], [5], [30, 31, 32, 33, 31, 32, 33]] as [[Int32]]
      let requests = prompts.enumerated().map { GenerationRequest(prompt: $1, samples: temperature == 0 ? 1 : 3, stream: UInt64($0)) }
      let plain = try trial.generate(requests, settings(temperature, drafts: false))
      let passes = trial.engine.passes
      var told: [[[Int32]]] = requests.map { Array(repeating: [], count: $0.samples) }
      let drafted = try trial.generate(requests, settings(temperature, drafts: true), onToken: { told[$0][$1].append($2) })
      #expect(bits(drafted) == bits(plain))
      #expect(told == plain.map { $0.map(\.tokens) })
      #expect(drafted.map { $0.map(\.isTruncated) } == plain.map { $0.map(\.isTruncated) })
      if temperature == 0 { #expect(trial.engine.passes < passes - 10, "\(name): \(trial.engine.passes) passes, \(passes) without drafts") }
    }
  }

  /// A device that is asked once in several steps is not asked after each of them.
  @Test func aGPUReadsNothingAhead() throws {
    let trial = try Trial(on: TensorCoreBackend(Emulator.device()))
    let request = GenerationRequest(prompt: [7, 8, 9, 7, 8, 9, 7, 8], stream: 0)
    _ = try trial.generate([request], settings(0, drafts: true))
    #expect(trial.engine.passes >= 60)
  }

  /// A model whose weights lie in the cache gains nothing by it.
  @Test func nothingIsReadAheadForASmallModelUnlessAskedFor() throws {
    let trial = try Trial(on: CPUBackend(threads: 2))
    let request = GenerationRequest(prompt: [7, 8, 9, 7, 8, 9, 7, 8], stream: 0)
    let passes = try [nil, false, true].map { drafts in
      _ = try trial.generate([request], settings(0, drafts: drafts))
      return trial.engine.passes
    }
    #expect(passes[0] == passes[1] && passes[2] < passes[1], "\(passes)")
  }

  @Test func whatFollowedBeforeIsWhatMayFollow() {
    var drafts = Drafts()
    drafts.begin(0, prompt: [1, 2, 3, 4, 5, 1, 2, 3])
    #expect(drafts.next(of: 0, of: 0, most: 9) == [4, 5, 1, 2])
    #expect(drafts.next(of: 0, of: 0, most: 1) == [4] && drafts.next(of: 0, of: 0, most: 0) == [] && drafts.next(of: 0, of: 1, most: 9) == [])
    // What a sibling said is newer than the prompt.
    for token in [9, 8, 7] as [Int32] { drafts.append(token, to: 1, of: 0) }
    #expect(drafts.next(of: 0, of: 0, most: 9) == [9, 8, 7] && drafts.next(of: 1, of: 0, most: 9) == [])
    drafts.append(9, to: 0, of: 0)
    #expect(drafts.next(of: 0, of: 0, most: 9) == [8, 7])
    // Longer while right, shorter when not.
    drafts.begin(3, prompt: Array(repeating: 6, count: 40))
    drafts.learn(accepted: 4, of: 4, sample: 0, request: 3)
    #expect(drafts.next(of: 0, of: 3, most: 20).count <= 8)
    drafts.learn(accepted: 0, of: 8, sample: 0, request: 3)
    #expect(drafts.next(of: 0, of: 3, most: 20).count == 1)
    drafts.forget(3)
    #expect(drafts.next(of: 0, of: 3, most: 20) == [])
  }
}
