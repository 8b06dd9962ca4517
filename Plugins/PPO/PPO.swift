// Proximal policy optimisation with a critic.
// J. Schulman et al., Proximal Policy Optimization Algorithms, arXiv:1707.06347; advantages: arXiv:1506.02438, §3.
// KL in the reward, value clip: L. Ouyang et al., arXiv:2203.02155, and TRL's PPOTrainer, whose constants the paper variant has.

import PluginAPI

struct PPO: LossPlugin {

  // MARK: Parameters

  static let variant = Parameter.choice(
    "variant", ["default", "paper"],
    "default: γ .99, λ .95; paper: KL in the reward, value clip, γ = λ = 1, as usual for LLMs")
  static let clipLow = Parameter.real(
    "clip_low", preset: 0.2, in: 0...1, "lower clip: the ratio counts down to 1 - clip_low")
  static let clipHigh = Parameter.real(
    "clip_high", preset: 0.2, in: 0...100, "upper clip: the ratio counts up to 1 + clip_high")
  static let gamma = Parameter.real("gamma", presets: [0.99, 1], in: 0...1, "discount γ")
  static let lambda = Parameter.real("lambda", presets: [0.95, 1], in: 0...1, "λ of the advantage estimator")
  static let beta = Parameter.real(
    "beta", presets: [0, 0.05], in: 0...1000, "weight β of the KL to the reference, taken from the rewards")
  static let kl = Parameter.choice("kl", ["k1", "k3"], "estimator of that KL")
  static let valueWeight = Parameter.real("value_weight", preset: 0.5, in: 0...1000, "weight of the value loss")
  static let valueClip = Parameter.real(
    "value_clip", presets: [0, 0.2], in: 0...1000, "how far from the rollout's value V may gain; 0: freely")
  static let valueWarmup = Parameter.integer(
    "value_warmup_steps", preset: 0, in: 0...1_000_000, "first steps of a run that train the critic alone")
  static let whiten = Parameter.boolean("whiten", preset: true, "A to mean 0, std 1 over the rollout's tokens")
  static let epsilon = Parameter.real("epsilon", preset: 1e-6, in: 0...1, "added to the standard deviation of A")

  static let valueLoss = Metric.mean("value_loss", "value_weight * mean of (V - R)², clipped")
  static let valueMean = Metric.mean("value_mean", "mean of the critic's value V")
  static let valueClipShare = Metric.mean("value_clip_share", "share of tokens whose value loss is clipped")
  static let returnMean = Metric.mean("return_mean", "mean of the return R")
  static let explained = Metric.mean("explained_variance", "1 - var(R - V) / var(R) when the rollout was made")
  static let klReference = Metric.mean("kl_reference_reward", "mean KL(old, reference) in the reward, where beta > 0")

  static let descriptor = Descriptor(
    id: "ppo", version: "1.0.0", title: "PPO: proximal policy optimisation with a critic",
    reference: "arXiv:1707.06347",
    card: """
      advantage: GAE(gamma, lambda) over a sequence's tokens, the reward on the last one, the value after it 0; then whitened over all real tokens of the rollout, std with one degree of freedom removed; one token or equal A: 0
      return: R = A + V before whitening
      aggregation: sum over tokens / tokens of the update, policy and value alike
      clip: min(ratio A, clip(ratio) A) per token, ratio in [1 - clip_low, 1 + clip_high]
      value: value_weight (V - R)², with value_clip the larger of it and that of V held within ± value_clip of the rollout's V; its gradient reaches the trunk, also in the steps of value_warmup_steps, which leave out the policy's part
      kl: beta * k1 or k3 of the rollout's policy to the reference, per token, in the reward; default beta 0 (no reference pass), paper 0.05
      differs from the paper: no entropy bonus; the default has no value clip and no KL; gamma and lambda are parameters in the paper
      """,
    parameters: [
      variant, clipLow, clipHigh, gamma, lambda, beta, kl, valueWeight, valueClip, valueWarmup, whiten, epsilon,
    ],
    metrics: ClipStatistics.metrics + [valueLoss, valueMean, valueClipShare, returnMean, explained, klReference])

  let isK3, whitens: Bool
  let clipLow, clipHigh, gamma, lambda, beta, valueWeight, valueClip, epsilon: Double
  let valueWarmup: Int
  var needs: Needs { beta > 0 ? [.critic, .reference] : .critic }

  init(_ settings: Settings) throws(PluginError) {
    clipLow = settings[Self.clipLow]
    clipHigh = settings[Self.clipHigh]
    (gamma, lambda) = (settings[Self.gamma], settings[Self.lambda])
    beta = settings[Self.beta]
    isK3 = settings.choice(Self.kl, is: "k3")
    (valueWeight, valueClip) = (settings[Self.valueWeight], settings[Self.valueClip])
    valueWarmup = settings.integer(Self.valueWarmup)
    whitens = settings.boolean(Self.whiten)
    epsilon = settings[Self.epsilon]
  }

  // MARK: Advantages

  func advantages(_ rollout: Rollout, into result: Advantages, metrics: Metrics) throws(PluginError) {
    var raw = [Double](repeating: 0, count: rollout.tokenCount)
    var klReference = 0.0
    for sequence in rollout.sequences {
      // A = Σ (γ λ)^l δ, δ = r + γ V' - V, from the last token backwards; nothing is read past a sequence's end.
      var (next, advantage) = (0.0, 0.0)
      var reward = Double(rollout.rewards[sequence])
      for t in rollout.tokens(of: sequence).reversed() {
        if beta > 0 {
          let x = Double(rollout.reference[t]) - Double(rollout.old[t])
          let divergence = isK3 ? exp(clamp(x).value) - clamp(x).value - 1 : -x
          reward -= beta * divergence
          klReference += divergence
        }
        let value = Double(rollout.values[t])
        advantage = reward + gamma * next - value + gamma * lambda * advantage
        raw[t] = advantage
        result.returns[t] = Float(advantage + value)
        (next, reward) = (value, 0)
      }
    }
    let moments = Moments(of: raw) { $0 }
    for t in raw.indices {
      result.advantages[t] = Float(whitens ? moments.standardized(raw[t], epsilon) : raw[t])
    }
    let tokens = Double(rollout.tokenCount)
    if tokens == 0 { return }
    let returns = Moments(of: raw.indices) { raw[$0] + Double(rollout.values[$0]) }
    metrics.record(Self.returnMean, returns.mean, weight: tokens)
    if returns.deviation > 0 {
      let unexplained = moments.deviation / returns.deviation
      metrics.record(Self.explained, 1 - unexplained * unexplained, weight: tokens)
    }
    if beta > 0 { metrics.record(Self.klReference, klReference / tokens, weight: tokens) }
  }

  // MARK: Loss

  func loss(_ batch: Batch, into gradients: Gradients, metrics: Metrics) throws(PluginError) -> Double {
    var loss = 0.0
    var (valueLoss, values, valuesClipped) = (0.0, 0.0, 0.0)
    var statistics = ClipStatistics()
    let divisor = Double(batch.updateTokens)
    for t in 0..<batch.tokenCount {
      let advantage = batch.step < valueWarmup ? 0 : Double(batch.advantages[t])
      let current = Double(batch.current[t])

      // s = min(ρ A, clip(ρ) A): where the clip holds, s does not depend on the current policy.
      let (logRatio, inside) = clamp(current - Double(batch.old[t]))
      let ratio = exp(logRatio)
      let clippedLow = advantage < 0 && ratio < 1 - clipLow
      let clippedHigh = advantage > 0 && ratio > 1 + clipHigh
      let s = (clippedLow ? 1 - clipLow : clippedHigh ? 1 + clipHigh : ratio) * advantage
      let derivative = clippedLow || clippedHigh || !inside ? 0 : s

      // (V - R)², or with a clip the larger of it and (V_old ± clip - R)², which does not depend on V.
      let value = Double(batch.values[t])
      let old = Double(batch.oldValues[t])
      let error = value - Double(batch.returns[t])
      let held = valueClip > 0 ? min(max(value, old - valueClip), old + valueClip) : value
      let heldError = held - Double(batch.returns[t])
      let isHeld = held != value && heldError * heldError > error * error
      let square = isHeld ? heldError * heldError : error * error

      loss -= (s - valueWeight * square) / divisor
      gradients.current[t] = Float(-derivative / divisor)
      gradients.values[t] = Float(isHeld ? 0 : 2 * valueWeight * error / divisor)
      statistics.add(low: clippedLow, high: clippedHigh, inside: inside)
      (valueLoss, values) = (valueLoss + valueWeight * square, values + value)
      if isHeld { valuesClipped += 1 }
    }
    statistics.report(to: metrics)
    let tokens = Double(batch.tokenCount)
    if tokens == 0 { return loss }
    metrics.record(Self.valueLoss, valueLoss / tokens, weight: tokens)
    metrics.record(Self.valueMean, values / tokens, weight: tokens)
    metrics.record(Self.valueClipShare, valuesClipped / tokens, weight: tokens)
    return loss
  }
}

@c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(PPO.self) }
