import Compute
import Rollouts
import Support
import Transformer

let goldens = Files.directory(of: #filePath) + "/Goldens"
/// The small random models of the Transformer room, made by transformers.
let models = Files.directory(of: Files.directory(of: #filePath)) + "/TransformerTests/Goldens"

func loadModel(_ name: String = "tied", adapter: String? = nil, threads: Int = 2) throws -> Transformer {
  let model = try Transformer(ModelFolder("\(models)/\(name)"), on: CPUBackend(threads: threads))
  if let adapter { try model.loadAdapter("\(models)/lora/\(adapter)") }
  return model
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

/// The failure that a call ends in; nil where it succeeds.
func failure<T>(_ body: () throws(Failure) -> T) -> Failure? {
  do throws(Failure) {
    _ = try body()
    return nil
  } catch { return error }
}
