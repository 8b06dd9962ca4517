// Group sequence policy optimisation.
// C. Zheng et al., Group Sequence Policy Optimization, arXiv:2507.18071, §4.1; clip range: §5.1.

import PluginAPI

struct GSPO: LossPlugin {

  // MARK: Parameters

  static let variant = Parameter.choice(
    "variant", ["default", "paper"],
    "default: the usual clip range of token ratios; paper: three orders of magnitude smaller")
  static let clipLow = Parameter.real(
    "clip_low", presets: [0.2, 3e-4], in: 0...1, "lower clip: the sequence's ratio counts down to 1 - clip_low")
  static let clipHigh = Parameter.real(
    "clip_high", presets: [0.2, 4e-4], in: 0...100, "upper clip: the sequence's ratio counts up to 1 + clip_high")
  static let epsilon = Parameter.real(
    "epsilon", preset: 1e-6, in: 0...1, "added to the standard deviation of a group's rewards")

  static let ratioMax = Metric.maximum("sequence_ratio_max", "largest ratio of a sequence")

  static let descriptor = Descriptor(
    id: "gspo", version: "1.0.0", title: "GSPO: group sequence policy optimisation",
    reference: "arXiv:2507.18071",
    card: """
      advantage: A = (r - mean) / (std + epsilon) within a group, std with one degree of freedom removed; one sequence or equal rewards: A = 0
      ratio: of the sequence: exp(mean over its tokens of current - old); its gradient reaches every token of the sequence
      aggregation: mean over the update's sequences, empty completions included
      clip: min(ratio A, clip(ratio) A) per sequence, ratio in [1 - clip_low, 1 + clip_high]; its metrics count sequences
      kl: none
      counted: zero-variance groups count in the divisor
      differs from the paper: the default clips at 0.2 on both sides, where a sequence's ratio hardly ever arrives; the paper at 3e-4 and 4e-4
      """,
    parameters: [variant, clipLow, clipHigh, epsilon],
    metrics: ClipStatistics.metrics + [ratioMax])

  let clipLow, clipHigh, epsilon: Double

  init(_ settings: Settings) throws(PluginError) {
    clipLow = settings[Self.clipLow]
    clipHigh = settings[Self.clipHigh]
    epsilon = settings[Self.epsilon]
  }

  // MARK: Advantages

  func advantages(_ rollout: Rollout, into result: Advantages, metrics: Metrics) throws(PluginError) {
    for group in rollout.groups {
      let sequences = rollout.sequences(of: group)
      let rewards = Moments(of: sequences) { Double(rollout.rewards[$0]) }
      for sequence in sequences {
        let advantage = rewards.standardized(Double(rollout.rewards[sequence]), epsilon)
        result.fill(rollout.tokens(of: sequence), advantage)
      }
    }
  }

  // MARK: Loss

  func loss(_ batch: Batch, into gradients: Gradients, metrics: Metrics) throws(PluginError) -> Double {
    var loss = 0.0
    var statistics = ClipStatistics()
    var largest = 0.0
    for sequence in batch.sequences {
      let tokens = batch.tokens(of: sequence)
      let divisor = Double(batch.updateSequences)
      guard let first = tokens.first else { continue }
      let length = Double(tokens.count)
      let advantage = Double(batch.advantages[first])
      let sum = tokens.reduce(0.0) { $0 + (Double(batch.current[$1]) - Double(batch.old[$1])) }

      // s = min(ρ A, clip(ρ) A): where the clip holds, s does not depend on the current policy.
      let (logRatio, inside) = clamp(sum / length)
      let ratio = exp(logRatio)
      let clippedLow = advantage < 0 && ratio < 1 - clipLow
      let clippedHigh = advantage > 0 && ratio > 1 + clipHigh
      let s = (clippedLow ? 1 - clipLow : clippedHigh ? 1 + clipHigh : ratio) * advantage
      let derivative = clippedLow || clippedHigh || !inside ? 0 : s / length

      loss -= s / divisor
      for t in tokens { gradients.current[t] = Float(-derivative / divisor) }
      statistics.add(low: clippedLow, high: clippedHigh, inside: inside)
      largest = max(largest, ratio)
    }
    statistics.report(to: metrics)
    if largest > 0 { metrics.record(Self.ratioMax, largest) }
    return loss
  }
}

@c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(GSPO.self) }
