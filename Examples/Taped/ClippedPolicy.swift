// PPO's clipped objective with the mean of a group's rewards as baseline, and an entropy bonus: no derivative is written down.
// J. Schulman et al., Proximal Policy Optimization Algorithms, arXiv:1707.06347, equation 7.

import PluginAPI

struct ClippedPolicy: TapedLossPlugin {
  static let clip = Parameter.real("clip", preset: 0.2, in: 0...1, "the ratio counts from 1 - clip to 1 + clip")
  static let entropyWeight = Parameter.real("entropy_weight", preset: 0, in: 0...10, "weight of the policy's entropy")
  static let clippedShare = Metric.mean("clipped_share", "share of tokens whose ratio lies beyond the clip")

  static let descriptor = Descriptor(
    id: "clipped-policy", version: "1.0.0", title: "PPO's clip with a group baseline", reference: "arXiv:1707.06347",
    card: "advantage: A = r - mean of the group's rewards\naggregation: sum over tokens / tokens of the update",
    parameters: [clip, entropyWeight], metrics: [clippedShare])

  let clip, entropyWeight: Double
  var needs: Needs { entropyWeight > 0 ? .entropy : [] }

  init(_ settings: Settings) throws(PluginError) {
    (clip, entropyWeight) = (settings[Self.clip], settings[Self.entropyWeight])
  }

  func advantages(_ rollout: Rollout, into result: Advantages, metrics: Metrics) throws(PluginError) {
    for group in rollout.groups {
      let rewards = Moments(of: rollout.sequences(of: group)) { Double(rollout.rewards[$0]) }
      for sequence in rollout.sequences(of: group) {
        result.fill(rollout.tokens(of: sequence), Double(rollout.rewards[sequence]) - rewards.mean)
      }
    }
  }

  func loss(_ tape: Tape) -> Scalar {
    let ratio = exp(clamp(tape.current - tape.old))
    let clipped = clamp(ratio, 1 - clip, 1 + clip)
    var objective = min(ratio * tape.advantages, clipped * tape.advantages)
    if entropyWeight > 0 { objective += entropyWeight * tape.entropy }
    tape.record(Self.clippedShare, abs(ratio - 1) .> clip)
    return -objective.sum() / tape.updateTokens
  }
}

@c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(ClippedPolicy.self) }
