// Clipped importance sampling, as Examples/C/cispo.c: the ratio is clipped and held fixed, so that no token loses its gradient.
// MiniMax-M1: Scaling Test-Time Compute Efficiently with Lightning Attention, arXiv:2506.13585, §3.1.

import PluginAPI

struct TapedCISPO: TapedLossPlugin {
  static let clipHigh = Parameter.real("clip_high", preset: 4, in: 0...100, "the weight counts up to 1 + clip_high")
  static let epsilon = Parameter.real("epsilon", preset: 1e-6, in: 0...1, "added to the standard deviation")
  static let clipShare = Metric.mean("clip_high_share", "share of tokens whose weight is clipped")

  static let descriptor = Descriptor(
    id: "taped-cispo", version: "1.0.0", title: "CISPO on the tape", reference: "arXiv:2506.13585",
    card: "aggregation: sum over tokens / tokens of the update\nclip: the weight min(ratio, 1 + clip_high) is held fixed",
    parameters: [clipHigh, epsilon], metrics: [clipShare])

  let clipHigh, epsilon: Double
  /// The weight is a function of `current` that is held fixed. Without this line the first call of the loss would ask for it.
  var stoppedGradients: StoppedGradients { .current }

  init(_ settings: Settings) throws(PluginError) { (clipHigh, epsilon) = (settings[Self.clipHigh], settings[Self.epsilon]) }

  func advantages(_ rollout: Rollout, into result: Advantages, metrics: Metrics) throws(PluginError) {
    for group in rollout.groups {
      let rewards = Moments(of: rollout.sequences(of: group)) { Double(rollout.rewards[$0]) }
      for sequence in rollout.sequences(of: group) {
        let advantage = rewards.standardized(Double(rollout.rewards[sequence]), epsilon)
        result.fill(rollout.tokens(of: sequence), advantage)
      }
    }
  }

  func loss(_ tape: Tape) -> Scalar {
    let ratio = exp(clamp(tape.current - tape.old))
    let weight = stopGradient(min(ratio, 1 + clipHigh))
    tape.record(Self.clipShare, ratio .> 1 + clipHigh)
    return -(weight * tape.advantages * tape.current).sum() / tape.updateTokens
  }
}

@c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(TapedCISPO.self) }
