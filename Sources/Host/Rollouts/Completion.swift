/// A prompt and how many completions of it are wanted.
package struct GenerationRequest: Sendable {
  package let prompt: [Int32]
  package let samples: Int
  /// Names the random numbers of this request: the same seed and stream give the same completions, whatever else runs.
  package let stream: UInt64

  package init(prompt: [Int32], samples: Int = 1, stream: UInt64) {
    self.prompt = prompt
    self.samples = samples
    self.stream = stream
  }
}

/// What a model wrote after a prompt. The token that ended it is part of it: stopping is a choice of the policy.
package struct Completion: Sendable, Equatable {
  package var tokens: [Int32] = []
  /// Under the distribution each token was drawn from (at temperature 1 for greedy decoding), nats.
  package var logProbs: [Float] = []
  package var entropies: [Float] = []
  /// The length limit ended it.
  package var isTruncated = false

  package init() {}
}
