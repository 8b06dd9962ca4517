import PluginHost

/// What the last pass over a rollout said of its tokens, each array `[tokens]` of the whole rollout.
package struct LastPass: Sendable {
  /// Log-probabilities; before any pass those of the policy that drew.
  package private(set) var current: [Float]
  package private(set) var entropy: [Float]
  /// The critic's; nil without one.
  package private(set) var values: [Float]?
  /// The loss's derivative by the log-probabilities.
  package private(set) var dCurrent: [Float]

  init(_ rollout: Rollout) {
    current = rollout.old
    entropy = rollout.groups.flatMap(\.completions).flatMap(\.entropies)
    values = rollout.packed.values
    dCurrent = Array(repeating: 0, count: rollout.tokenCount)
  }

  /// A micro-batch: its sequences are adjacent in the rollout.
  mutating func add(_ scores: PluginScores, _ gradients: PluginGradients, on batch: PluginBatch, of rollout: Rollout) {
    let first = batch.sequenceIDs.first.map { rollout.packed.tokenOffsets[$0] } ?? 0
    let range = first..<(first + batch.tokenCount)
    current.replaceSubrange(range, with: scores.logProbs)
    if let entropies = scores.entropies { entropy.replaceSubrange(range, with: entropies) }
    if let new = scores.values { values?.replaceSubrange(range, with: new) }
    dCurrent.replaceSubrange(range, with: gradients.dCurrent)
  }
}
