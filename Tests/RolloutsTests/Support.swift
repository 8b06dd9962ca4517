import Compute
import Rollouts
import Support
import TestSupport
import Transformer

let goldens = Place.tests + "/RolloutsTests/Goldens"
/// The small random models of the Transformer room, made by transformers.
let models = Place.transformerGoldens

/// A policy and an engine that draws from it.
struct Trial {
  let policy: PolicySnapshot
  let adapter: Adapter?
  let engine: GenerationEngine
  let arena: Arena

  init(_ name: String = "tied", adapter folder: String? = nil, on backend: any Backend) throws {
    let model = try Transformer(ModelFolder("\(models)/\(name)"), on: backend)
    adapter = try folder.map { try Adapter("\(models)/lora/\($0)", for: model) }
    policy = PolicySnapshot(model, adapter: adapter?.weights)
    arena = try Arena(on: model.backend)
    engine = GenerationEngine(model, in: arena)
  }

  func generate(
    _ requests: [GenerationRequest], _ settings: GenerationSettings,
    progress: (GenerationProgress) -> Bool = { _ in true }, onToken: (Int, Int, Int32) -> Void = { _, _, _ in }
  ) throws(Failure) -> [[Completion]] {
    try engine.generate(requests, settings, by: policy, progress: progress, onToken: onToken)
  }

  func scores(_ batch: TokenBatch, _ targets: TokenTargets, temperature: Double) throws -> (logProbs: [Float], entropies: [Float]) {
    let pass = try policy.forward(batch, retaining: .everything, in: arena)
    let scores = try LossHead(policy.model).forward(pass.hidden, targets, temperature: temperature, in: arena)
    return (try scores.logProbs.value(), try scores.entropies.value())
  }
}

/// Prompts of different lengths and numbers of samples, from 1 token to more than a block of the cache.
func makeRequests(vocabulary: Int = 61) -> [GenerationRequest] {
  var random = RandomStream(seed: 77)
  let shapes = [(5, 3), (1, 1), (17, 4), (2, 1), (40, 2), (16, 5), (3, 0), (15, 1)]
  return shapes.enumerated().map { index, shape in
    GenerationRequest(
      prompt: (0..<shape.0).map { _ in Int32(random.next(below: vocabulary)) }, samples: shape.1, stream: UInt64(100 + index))
  }
}

/// The bits of what came out, so that a difference in the last place counts.
func bits(_ completions: [[Completion]]) -> [[[UInt32]]] {
  completions.map { $0.map { $0.tokens.map { UInt32(bitPattern: $0) } + ($0.logProbs + $0.entropies).map(\.bitPattern) } }
}
