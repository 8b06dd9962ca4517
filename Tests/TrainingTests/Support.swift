import Compute
import PluginHost
import Rollouts
import Support
import Tasks
import TestSupport
import Testing
import Tokenization
import Training
import Transformer

extension Place {
  static let goldens = tests + "/TrainingTests/Goldens"

  static func plugin(_ id: String) throws(Failure) -> PluginLibrary { try PluginLibrary(library(id)) }
}

func loadModel(full: Bool = false, adapter: String? = nil, quantises: Bool = false, threads: Int = 2, on backend: (any Backend)? = nil)
  throws -> (Transformer, Adapter?)
{
  let model = try Transformer(
    ModelFolder(Place.model), trainable: full ? .full : .nothing, quantises: quantises,
    on: backend ?? CPUBackend(threads: threads))
  guard let adapter else { return (model, nil) }
  return (model, try Adapter("\(Place.goldens)/lora_steps/\(adapter)_adapter", for: model))
}

/// The lines of data.jsonl as the `tokenizers` package cuts them.
func goldenSequences() throws -> [TrainingSequence] {
  try sequences(SafetensorsFile(Place.goldens + "/tokens.safetensors")).map { TrainingSequence(tokens: $0) }
}

extension Policy {
  /// Of the model or its adapter.
  var parameters: [Parameter] { (adapter?.store ?? model.store)?.parameters ?? [] }
}

/// The bits of everything that is trained.
func bits(_ policy: Policy) throws -> [[UInt32]] {
  try (policy.parameters + (policy.valueHead?.store.parameters ?? [])).map {
    try policy.model.backend.download($0.value).value().map(\.bitPattern)
  }
}

/// Watches nothing, or asks to stop once a number of steps are done.
final class TrialObserver: RunObserver {
  private let stopsAfter: Int
  private let stopsAtLook: Int
  private(set) var steps: [RunStep] = []
  /// Looks at rollouts in the making.
  private(set) var looks = 0
  var onLook: (GenerationProgress) -> Void = { _ in }
  var isStopRequested: Bool { steps.count >= stopsAfter || looks >= stopsAtLook }

  init(stopsAfter: Int = .max, stopsAtLook: Int = .max) {
    self.stopsAfter = stopsAfter
    self.stopsAtLook = stopsAtLook
  }

  func draws(_ progress: GenerationProgress) {
    looks += 1
    onLook(progress)
  }

  func begin(stage: String, total: Int, resumedAt step: Int) {}
  func completed(_ step: RunStep) { steps.append(step) }
  func end(stage: String) {}
}

/// A completion is right by its tokens.
struct TrialReward: RewardFunction {
  let isRight: @Sendable (Attempt) -> Bool

  var name: String { "trial" }
  var partNames: [String] { ["correct"] }

  func judge(_ attempt: Attempt) -> Reward {
    let isRight = isRight(attempt)
    let verdict = Verdict(extracted: isRight ? "1" : "0", gold: "1", isCorrect: isRight, reason: "")
    return Reward(total: verdict.reward, parts: [verdict.reward], verdict, on: attempt)
  }
}

/// The bytes of every file below a folder that two equal runs have in common.
func expectSameResult(_ first: String, _ second: String, files: [String]) throws {
  for name in files {
    #expect(try Files.read("\(first)/\(name)") == Files.read("\(second)/\(name)"), "\(name) differs")
  }
  let records = try deterministicRecords(first + "/metrics.jsonl")
  #expect(!records.isEmpty)
  #expect(try deterministicRecords(second + "/metrics.jsonl") == records)
}
