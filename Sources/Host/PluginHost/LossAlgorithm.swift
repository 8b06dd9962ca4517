import Support

/// What tells an algorithm from others, for checkpoints.
package struct AlgorithmIdentity: Sendable, Equatable {
  package let id: String
  package let version: String
  /// The digest of its library.
  package let sha256: String
  /// Checkpoints of another state version are refused; 0 where it has no state.
  package let stateVersion: Int

  package init(id: String, version: String, sha256: String, stateVersion: Int) {
    self.id = id
    self.version = version
    self.sha256 = sha256
    self.stateVersion = stateVersion
  }
}

/// What the trainer asks of an algorithm: rewards become advantages, log-probabilities a loss and its derivatives. One thread at a
/// time.
package protocol LossAlgorithm: AnyObject {
  var identity: AlgorithmIdentity { get }
  /// The same in every call.
  var needs: PluginNeeds { get }
  /// An empty fold for its metrics.
  var metricFold: PluginMetricFold { get }

  /// Which groups to train on. Log-probabilities are not computed yet, and not shown.
  func select(_ rollout: PluginRollout) throws(Failure) -> [Bool]
  /// Stage 1, once for a rollout with `old` and what the algorithm needs.
  func advantages(_ rollout: PluginRollout) throws(Failure) -> PluginAdvantages
  /// Stage 2, for one micro-batch.
  func loss(_ batch: PluginBatch) throws(Failure) -> PluginGradients

  /// The state for a checkpoint; empty where there is none.
  func save() throws(Failure) -> [UInt8]
  /// Takes back what ``save()`` gave.
  func restore(_ state: [UInt8]) throws(Failure)
}

extension LossAlgorithm {
  /// Whether it gives a completion that is alone in its group no advantage, whatever its reward: then there is nothing to learn from
  /// groups of one. The instance is for this question only: it may have a state.
  package func teachesNothingAlone() throws(Failure) -> Bool {
    let rewards: [Float] = [1, 0, 1, 1, 0]
    var rollout = PluginRollout(
      groupKeys: rewards.indices.map { UInt64($0) }, groupOffsets: Array(0...rewards.count),
      tokenOffsets: (0...rewards.count).map { 3 * $0 }, rewards: rewards, sequenceFlags: rewards.map { $0 > 0 ? PluginRollout.correct : 0 }, tokenLimit: 8)
    rollout.rewardNames = ["correct"]
    rollout.rewardParts = rewards
    rollout.old = Array(repeating: -1, count: rollout.tokenCount)
    rollout.reference = rollout.old
    rollout.values = Array(repeating: 0, count: rollout.tokenCount)
    return try advantages(rollout).advantages.allSatisfy { $0 == 0 }
  }
}
