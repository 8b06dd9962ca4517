// Dr. GRPO: group relative policy optimisation done right.
// Z. Liu et al., Understanding R1-Zero-Like Training: A Critical Perspective, arXiv:2503.20783, §3.2.

import PluginAPI

struct DrGRPO: LossPlugin {

  // MARK: Parameters

  static let variant = Parameter.choice(
    "variant", ["default", "paper"],
    "default: standardised A, length factor, one mean over all tokens; paper: A = r - mean, a constant divisor")
  static let clipLow = Parameter.real(
    "clip_low", preset: 0.2, in: 0...1, "lower clip: the ratio counts down to 1 - clip_low")
  static let clipHigh = Parameter.real(
    "clip_high", preset: 0.2, in: 0...100, "upper clip: the ratio counts up to 1 + clip_high")
  static let lengthFactor = Parameter.choice(
    "length_factor", ["divide", "multiply", "none"], presets: [0, 2],
    "what a sequence's length factor f = L / mean of the group's L does to its sum; multiply favours long completions")
  static let epsilon = Parameter.real(
    "epsilon", preset: 1e-6, in: 0...1, "added to the standard deviation of a group's rewards, where it divides")

  static let factorMax = Metric.maximum("length_factor_max", "largest f = L / mean of the group's L")

  static let descriptor = Descriptor(
    id: "dr-grpo", version: "1.0.0", title: "Dr. GRPO: group relative policy optimisation done right",
    reference: "arXiv:2503.20783",
    card: """
      advantage: default: A = (r - mean) / (std + epsilon) within a group, std with one degree of freedom removed; paper: A = r - mean; one sequence or equal rewards: A = 0
      aggregation: default: each sequence's sum over tokens, divided by its length factor, / tokens of the update; paper: sum over tokens / (sequences of the update * token limit)
      length factor: f = L / mean of L over the group, empty completions included; length_factor says whether it divides (default), multiplies or is left out (paper)
      clip: min(ratio A, clip(ratio) A) per token, ratio in [1 - clip_low, 1 + clip_high]
      kl: none
      counted: tokens of zero-variance groups count in the divisor
      differs from the paper: the default keeps the division by std and weighs sequences by f; the paper drops both and divides by a constant
      """,
    parameters: [variant, clipLow, clipHigh, lengthFactor, epsilon],
    metrics: ClipStatistics.metrics + [factorMax])

  let isPaper, divides, multiplies: Bool
  let clipLow, clipHigh, epsilon: Double
  /// What each sequence of the rollout is multiplied by; a micro-batch may hold only a part of a group.
  var weights: [Double] = []

  init(_ settings: Settings) throws(PluginError) {
    isPaper = settings.choice(Self.variant, is: "paper")
    divides = settings.choice(Self.lengthFactor, is: "divide")
    multiplies = settings.choice(Self.lengthFactor, is: "multiply")
    clipLow = settings[Self.clipLow]
    clipHigh = settings[Self.clipHigh]
    epsilon = settings[Self.epsilon]
  }

  // MARK: Advantages

  mutating func advantages(_ rollout: Rollout, into result: Advantages, metrics: Metrics) throws(PluginError) {
    var factorMax = 0.0
    weights = Array(repeating: 1, count: rollout.sequenceCount)
    for group in rollout.groups {
      let sequences = rollout.sequences(of: group)
      let rewards = Moments(of: sequences) { Double(rollout.rewards[$0]) }
      let lengths = Moments(of: sequences) { Double(rollout.tokens(of: $0).count) }
      for sequence in sequences {
        let reward = Double(rollout.rewards[sequence])
        let advantage = isPaper ? reward - rewards.mean : rewards.standardized(reward, epsilon)
        let tokens = rollout.tokens(of: sequence)
        result.fill(tokens, advantage)

        // An empty completion has no token to weigh.
        if tokens.isEmpty { continue }
        let factor = Double(tokens.count) / lengths.mean
        weights[sequence] = divides ? 1 / factor : multiplies ? factor : 1
        factorMax = max(factorMax, factor)
      }
    }
    let groups = Double(rollout.groupCount)
    metrics.record(Self.factorMax, factorMax, weight: groups)
  }

  // MARK: Loss

  func loss(_ batch: Batch, into gradients: Gradients, metrics: Metrics) throws(PluginError) -> Double {
    var loss = 0.0
    var statistics = ClipStatistics()
    for sequence in batch.sequences {
      let tokens = batch.tokens(of: sequence)
      let id = Int(batch.sequenceIDs[sequence])
      guard weights.indices.contains(id) else { throw .badArgument("a sequence that advantages did not see") }
      let divisor =
        isPaper ? Double(batch.updateSequences) * Double(batch.tokenLimit) : Double(batch.updateTokens)
      for t in tokens {
        let advantage = Double(batch.advantages[t])
        let current = Double(batch.current[t])

        // s = min(ρ A, clip(ρ) A): where the clip holds, s does not depend on the current policy.
        let (logRatio, inside) = clamp(current - Double(batch.old[t]))
        let ratio = exp(logRatio)
        let clippedLow = advantage < 0 && ratio < 1 - clipLow
        let clippedHigh = advantage > 0 && ratio > 1 + clipHigh
        let s = (clippedLow ? 1 - clipLow : clippedHigh ? 1 + clipHigh : ratio) * advantage
        let derivative = clippedLow || clippedHigh || !inside ? 0 : s

        loss -= weights[id] * s / divisor
        gradients.current[t] = Float(-weights[id] * derivative / divisor)
        statistics.add(low: clippedLow, high: clippedHigh, inside: inside)
      }
    }
    statistics.report(to: metrics)
    return loss
  }
}

@c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(DrGRPO.self) }
