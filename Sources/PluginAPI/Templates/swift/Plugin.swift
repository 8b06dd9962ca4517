// @ID@: REINFORCE with the mean of a group's rewards as baseline. A beginning: change it into your algorithm.
// R. J. Williams, Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning, 1992.

import PluginAPI

struct @TYPE@: TapedLossPlugin {
  // What users may set with --set entropy_weight=0.01. Ranges are checked before `init` is called.
  static let entropyWeight = Parameter.real("entropy_weight", preset: 0, in: 0...10, "weight of the policy's entropy")
  // What is logged at every step, beside what the host logs anyway.
  static let size = Metric.mean("advantage_size", "mean |A| over sequences")

  static let descriptor = Descriptor(
    id: "@ID@", version: "0.1.0", title: "REINFORCE with a group baseline", reference: "Williams 1992",
    card: "advantage: A = r - mean of the group's rewards\naggregation: sum over tokens / tokens of the update",
    parameters: [entropyWeight], metrics: [size])

  let entropyWeight: Double
  // Entropies are computed only where they are needed, as are reference log-probabilities and a critic's values.
  var needs: Needs { entropyWeight > 0 ? .entropy : [] }

  init(_ settings: Settings) throws(PluginError) { entropyWeight = settings[Self.entropyWeight] }

  /// Stage 1, once per rollout: rewards to advantages. Here you may look across sequences and groups.
  func advantages(_ rollout: Rollout, into result: Advantages, metrics: Metrics) throws(PluginError) {
    var size = 0.0
    for group in rollout.groups {
      let sequences = rollout.sequences(of: group)
      let mean = sequences.reduce(0.0) { $0 + Double(rollout.rewards[$1]) } / Double(sequences.count)
      for sequence in sequences {
        let advantage = Double(rollout.rewards[sequence]) - mean
        result.fill(rollout.tokens(of: sequence), advantage)
        size += abs(advantage)
      }
    }
    let count = Double(rollout.sequenceCount)
    if count > 0 { metrics.record(Self.size, size / count, weight: count) }
  }

  /// Stage 2, once per micro-batch: log-probabilities to a scalar, of which the overlay takes the derivatives. Micro-batches hold
  /// whole sequences of one optimiser update and their losses are added up, so divide by the update's totals.
  func loss(_ tape: Tape) -> Scalar {
    var objective = tape.advantages * tape.current
    if entropyWeight > 0 { objective += entropyWeight * tape.entropy }
    return -objective.sum() / tape.updateTokens
  }
}

@c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(@TYPE@.self) }
