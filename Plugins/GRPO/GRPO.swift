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
    metrics: ClipStatistics.metrics)

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
        }
        loss -= objective / divisor
        gradients.current[t] = Float(-derivative / divisor)
        statistics.add(low: clippedLow, high: clippedHigh, inside: inside)
      }
    }
    statistics.report(to: metrics)
    return loss
  }
}

@c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(GRPO.self) }
