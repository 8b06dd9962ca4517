import Compute

/// How completions are drawn.
package struct GenerationSettings: Sendable {
  package var sampling: SamplingSettings
  package var maxNewTokens: Int
  package var seed: UInt64
  package var stopTokens: Set<Int32>
  /// Sequences decoded at once; nil chooses by memory.
  package var batchSize: Int?
  /// Whether tokens that may come next are read ahead; nil: where that costs little. Changes no result.
  package var drafts: Bool?

  package init(
    sampling: SamplingSettings, maxNewTokens: Int, seed: UInt64, stopTokens: Set<Int32>, batchSize: Int? = nil, drafts: Bool? = nil
  ) {
    self.sampling = sampling
    self.maxNewTokens = maxNewTokens
    self.seed = seed
    self.stopTokens = stopTokens
    self.batchSize = batchSize
    self.drafts = drafts
  }
}

/// What has been generated so far, for progress.
package struct GenerationProgress: Sendable {
  package let finished: Int
  package let total: Int
  package let tokens: Int
  package let seconds: Double
  package var tokensPerSecond: Double { Double(tokens) / max(1e-9, seconds) }
}
