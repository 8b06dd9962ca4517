// Group relative policy optimisation.
// Z. Shao et al., DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models, arXiv:2402.03300, §4.1.
// k3: J. Schulman, Approximating KL Divergence, http://joschu.net/blog/kl-approx.html

import PluginAPI

struct GRPO: LossPlugin {

  // MARK: Parameters

  static let variant = Parameter.choice(
    "variant", ["default", "paper"],
    "default: one mean over all tokens; paper: a mean per sequence, then over sequences")
  static let clipLow = Parameter.real(
    "clip_low", preset: 0.2, in: 0...1, "lower clip: the ratio counts down to 1 - clip_low")
  static let clipHigh = Parameter.real(
    "clip_high", preset: 0.2, in: 0...100, "upper clip: the ratio counts up to 1 + clip_high")
  static let beta = Parameter.real(
    "beta", presets: [0, 0.04], in: 0...1000, "weight β of the k3 KL to the reference model")
  static let epsilon = Parameter.real(
    "epsilon", preset: 1e-6, in: 0...1, "added to the standard deviation of a group's rewards")

  static let clipLowShare = Metric.mean("clip_low_share", "share of tokens whose ratio is below the clip and A < 0")
  static let clipHighShare = Metric.mean("clip_high_share", "share of tokens whose ratio is above the clip and A > 0")
  static let ratioMean = Metric.mean("ratio_mean", "mean of the ratio current / old")
  static let ratioMax = Metric.maximum("ratio_max", "largest ratio current / old")
  static let klOldK1 = Metric.mean("kl_old_k1", "KL(old, current) by k1: mean of old - current")
  static let klOldK3 = Metric.mean("kl_old_k3", "KL(old, current) by k3: mean of ratio - 1 - log ratio")
  static let klReference = Metric.mean("kl_reference_k3", "KL(current, reference) by k3, where beta > 0")
  static let clamped = Metric.sum("clamped_tokens", "tokens with a log-ratio beyond ±20, which get no gradient from it")
  static let zeroVariance = Metric.mean("zero_variance_share", "share of groups whose rewards are all equal: A = 0")
  static let deviation = Metric.mean("reward_deviation", "mean over groups of the standard deviation of rewards")

  static let descriptor = Descriptor(
    id: "grpo", version: "1.0.0", title: "GRPO: group relative policy optimisation",
    reference: "arXiv:2402.03300",
    card: """
      advantage: A = (r - mean) / (std + epsilon) within a group, std with one degree of freedom removed; one sequence or equal rewards: A = 0
      aggregation: default: sum over tokens / tokens of the update; paper: mean over a sequence's tokens, then over the update's sequences
      clip: min(ratio A, clip(ratio) A) per token, ratio in [1 - clip_low, 1 + clip_high]
      kl: beta * k3 to the reference, per token, in the loss; default beta 0 (no reference pass), paper 0.04
      counted: tokens of zero-variance groups count in the divisor
      differs from the paper: the default divides by tokens, so long completions weigh more; the clip range is not given there
      """,
    parameters: [variant, clipLow, clipHigh, beta, epsilon],
    metrics: [
      clipLowShare, clipHighShare, ratioMean, ratioMax, klOldK1, klOldK3, klReference, clamped, zeroVariance, deviation,
    ])

  let meanPerSequence: Bool
  let clipLow, clipHigh, beta, epsilon: Double
  var needs: Needs { beta > 0 ? .reference : [] }

  init(_ settings: Settings) throws(PluginError) {
    meanPerSequence = settings.choice(Self.variant, is: "paper")
    clipLow = settings[Self.clipLow]
    clipHigh = settings[Self.clipHigh]
    beta = settings[Self.beta]
    epsilon = settings[Self.epsilon]
  }

  // MARK: Advantages

  func advantages(_ rollout: Rollout, into result: Advantages, metrics: Metrics) throws(PluginError) {
    let rewards = rollout.rewards
    var zeroVarianceGroups = 0.0
    var deviations = 0.0
    for group in rollout.groups {
      let sequences = rollout.sequences(of: group)
      guard let first = sequences.first else { continue }
      if sequences.allSatisfy({ rewards[$0] == rewards[first] }) {
        zeroVarianceGroups += 1
        continue
      }
      let count = Double(sequences.count)
      let mean = sequences.reduce(0.0) { $0 + Double(rewards[$1]) } / count
      let squares = sequences.reduce(0.0) { $0 + (Double(rewards[$1]) - mean) * (Double(rewards[$1]) - mean) }
      let std = sqrt(squares / (count - 1))
      deviations += std
      for sequence in sequences {
        result.fill(rollout.tokens(of: sequence), (Double(rewards[sequence]) - mean) / (std + epsilon))
      }
    }
    let groups = Double(rollout.groupCount)
    metrics.record(Self.zeroVariance, groups > 0 ? zeroVarianceGroups / groups : 0, weight: groups)
    metrics.record(Self.deviation, groups > 0 ? deviations / groups : 0, weight: groups)
  }

  // MARK: Loss

  func loss(_ batch: Batch, into gradients: Gradients, metrics: Metrics) throws(PluginError) -> Double {
    var loss = 0.0
    var statistics = Statistics()
    for sequence in batch.sequences {
      let tokens = batch.tokens(of: sequence)
      let divisor =
        meanPerSequence ? Double(batch.updateSequences) * Double(tokens.count) : Double(batch.updateTokens)
      for t in tokens {
        let advantage = Double(batch.advantages[t])
        let current = Double(batch.current[t])

        // s = min(ρ A, clip(ρ) A): where the clip holds, s does not depend on the current policy.
        let (logRatio, inside) = clamp(current - Double(batch.old[t]))
        let ratio = exp(logRatio)
        let clippedLow = advantage < 0 && ratio < 1 - clipLow
        let clippedHigh = advantage > 0 && ratio > 1 + clipHigh
        let s = (clippedLow ? 1 - clipLow : clippedHigh ? 1 + clipHigh : ratio) * advantage
        var objective = s
        var derivative = clippedLow || clippedHigh || !inside ? 0 : s

        if beta > 0 {
          // k3 = exp(x) - x - 1 with x = reference - current.
          let (x, insideReference) = clamp(Double(batch.reference[t]) - current)
          let k3 = exp(x) - x - 1
          objective -= beta * k3
          if insideReference { derivative -= beta * (1 - exp(x)) }
          statistics.klReference += k3
        }
        loss -= objective / divisor
        gradients.current[t] = Float(-derivative / divisor)
        statistics.add(ratio, logRatio, clippedLow, clippedHigh, inside)
      }
    }
    report(statistics, to: metrics)
    return loss
  }

  // MARK: Helpers

  /// The log-ratio held within ±20, and whether it was there already: beyond, its derivative is zero.
  private func clamp(_ logRatio: Double) -> (value: Double, inside: Bool) {
    (min(max(logRatio, -20), 20), logRatio >= -20 && logRatio <= 20)
  }

  private struct Statistics {
    var tokens = 0.0, low = 0.0, high = 0.0, ratio = 0.0, ratioMax = 0.0, k1 = 0.0, k3 = 0.0, klReference = 0.0,
      clamped = 0.0

    mutating func add(_ ratio: Double, _ logRatio: Double, _ low: Bool, _ high: Bool, _ inside: Bool) {
      tokens += 1
      if low { self.low += 1 }
      if high { self.high += 1 }
      if !inside { clamped += 1 }
      self.ratio += ratio
      ratioMax = max(ratioMax, ratio)
      k1 -= logRatio
      k3 += ratio - 1 - logRatio
    }
  }

  private func report(_ sums: Statistics, to metrics: Metrics) {
    let tokens = sums.tokens
    metrics.record(Self.clamped, sums.clamped)
    if tokens == 0 { return }
    metrics.record(Self.clipLowShare, sums.low / tokens, weight: tokens)
    metrics.record(Self.clipHighShare, sums.high / tokens, weight: tokens)
    metrics.record(Self.ratioMean, sums.ratio / tokens, weight: tokens)
    metrics.record(Self.ratioMax, sums.ratioMax, weight: tokens)
    metrics.record(Self.klOldK1, sums.k1 / tokens, weight: tokens)
    metrics.record(Self.klOldK3, sums.k3 / tokens, weight: tokens)
    if beta > 0 { metrics.record(Self.klReference, sums.klReference / tokens, weight: tokens) }
  }
}

@c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(GRPO.self) }
