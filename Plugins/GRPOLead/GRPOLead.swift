// GRPO-LEAD: GRPO with length-dependent rewards, explicit penalties and difficulty-aware advantages.
// J. Zhang, C. Zuo, GRPO-LEAD: A Difficulty-Aware Reinforcement Learning Approach for Concise Mathematical Reasoning in
// Language Models, arXiv:2504.09696, §3.

import PluginAPI

struct GRPOLead: LossPlugin {

  // MARK: Parameters

  static let variant = Parameter.choice(
    "variant", ["default", "paper"],
    "default: |z|, weight linear in the pass rate; paper: signed z, logistic weight")
  static let clipLow = Parameter.real(
    "clip_low", preset: 0.2, in: 0...1, "lower clip: the ratio counts down to 1 - clip_low")
  static let clipHigh = Parameter.real(
    "clip_high", preset: 0.2, in: 0...100, "upper clip: the ratio counts up to 1 + clip_high")
  static let alpha = Parameter.real(
    "alpha", presets: [0.1, 0.05], in: 0...100, "α: how much a correct answer's length z costs")
  static let scope = Parameter.choice(
    "scope", ["group", "batch"], "the correct answers that z compares lengths with")
  static let wrongReward = Parameter.real(
    "wrong_reward", preset: -1, in: -1000...1000, "paper: reward of a wrong answer; the default leaves it as given")
  static let offset = Parameter.real(
    "weight_offset", preset: 2, in: 1...100, "default: weight = weight_offset - pass rate")
  static let low = Parameter.real("weight_low", preset: 0.4, in: 0...100, "paper: A, the weight of the easiest")
  static let high = Parameter.real("weight_high", preset: 1.5, in: 0...100, "paper: B, the weight of the hardest")
  static let middle = Parameter.real("weight_middle", preset: 0.75, in: 0...1, "paper: ρ0, the pass rate half-way")
  static let slope = Parameter.real("weight_slope", preset: 10, in: 0...1000, "paper: k, its steepness there")
  static let epsilon = Parameter.real(
    "epsilon", preset: 1e-6, in: 0...1, "added to the standard deviations of rewards and of lengths")

  static let lengthReward = Metric.mean("length_reward_mean", "mean of the factor of length on correct rewards")
  static let weightMean = Metric.mean("difficulty_weight_mean", "mean over completions of the difficulty weight")
  static let weightMin = Metric.minimum("difficulty_weight_min", "smallest difficulty weight")
  static let weightMax = Metric.maximum("difficulty_weight_max", "largest difficulty weight")
  static let zeroVariance = Metric.mean("shaped_zero_variance", "share of groups of equal shaped rewards: A = 0")
  static let deviation = Metric.mean("shaped_reward_deviation", "mean over groups of the standard deviation of shaped rewards")

  static let descriptor = Descriptor(
    id: "grpo-lead", version: "1.0.0", title: "GRPO-LEAD: length-dependent rewards and difficulty-aware advantages",
    reference: "arXiv:2504.09696",
    card: """
      reward: correct: r exp(-alpha |z|), paper r exp(-alpha z), z = (L - mean) / (std + epsilon) over the correct answers of the scope; one of them or equal lengths: z = 0; alpha z held within ±20; wrong: as given, paper wrong_reward
      weight: default weight_offset - pass rate; paper w(p) if A > 0 else w(1 - p), w(p) = low + (high - low) / (1 + exp(slope (p - middle))); p = share of correct answers of the group
      advantage: A = weight (r - mean) / (std + epsilon) within a group, of shaped rewards, std with one degree of freedom removed; one sequence or equal rewards: A = 0
      aggregation: sum over tokens / tokens of the update
      clip: min(ratio A, clip(ratio) A) per token, ratio in [1 - clip_low, 1 + clip_high]
      kl: none
      counted: tokens of zero-variance groups count in the divisor
      differs from the paper: the default punishes short answers like long ones, leaves wrong rewards as they are and weighs both signs of A alike
      """,
    parameters: [variant, clipLow, clipHigh, alpha, scope, wrongReward, offset, low, high, middle, slope, epsilon],
    metrics: ClipStatistics.metrics + [
      lengthReward, weightMean, weightMin, weightMax, zeroVariance, deviation,
    ])

  let isPaper, comparesBatch: Bool
  let clipLow, clipHigh, alpha, wrongReward, offset, low, high, middle, slope, epsilon: Double

  init(_ settings: Settings) throws(PluginError) {
    isPaper = settings.choice(Self.variant, is: "paper")
    comparesBatch = settings.choice(Self.scope, is: "batch")
    clipLow = settings[Self.clipLow]
    clipHigh = settings[Self.clipHigh]
    alpha = settings[Self.alpha]
    wrongReward = settings[Self.wrongReward]
    offset = settings[Self.offset]
    (low, high) = (settings[Self.low], settings[Self.high])
    (middle, slope) = (settings[Self.middle], settings[Self.slope])
    epsilon = settings[Self.epsilon]
  }

  // MARK: Advantages

  private func weight(_ passRate: Double, _ advantage: Double) -> Double {
    if !isPaper { return offset - passRate }
    return low + (high - low) / (1 + exp(slope * ((advantage > 0 ? passRate : 1 - passRate) - middle)))
  }

  func advantages(_ rollout: Rollout, into result: Advantages, metrics: Metrics) throws(PluginError) {
    var zeroVarianceGroups = 0.0
    var deviations = 0.0
    var (answers, lengthRewards, weights) = (0.0, 0.0, 0.0)
    var (weightMin, weightMax) = (Double.infinity, -Double.infinity)
    let length = { (sequence: Int) in Double(rollout.tokens(of: sequence).count) }
    let batchLengths = Moments(of: rollout.sequences.filter { rollout.isCorrect($0) }, length)
    for group in rollout.groups {
      let sequences = rollout.sequences(of: group)
      let correct = sequences.filter { rollout.isCorrect($0) }
      let passRate = sequences.isEmpty ? 0 : Double(correct.count) / Double(sequences.count)
      let lengths = comparesBatch ? batchLengths : Moments(of: correct, length)
      var shaped: [Double] = []
      for sequence in sequences {
        let reward = Double(rollout.rewards[sequence])
        if rollout.isCorrect(sequence) {
          let z = lengths.standardized(length(sequence), epsilon)
          let factor = exp(clamp(-alpha * (isPaper ? z : abs(z))).value)
          shaped.append(reward * factor)
          lengthRewards += factor
        } else {
          shaped.append(isPaper ? wrongReward : reward)
        }
      }
      let rewards = Moments(of: shaped) { $0 }
      if rewards.deviation == 0 { zeroVarianceGroups += 1 }
      deviations += rewards.deviation
      for (sequence, reward) in zip(sequences, shaped) {
        let advantage = rewards.standardized(reward, epsilon)
        let weight = weight(passRate, advantage)
        result.fill(rollout.tokens(of: sequence), weight * advantage)
        weights += weight
        (weightMin, weightMax) = (min(weightMin, weight), max(weightMax, weight))
      }
      answers += Double(correct.count)
    }
    let groups = Double(rollout.groupCount)
    let sequences = Double(rollout.sequenceCount)
    if answers > 0 { metrics.record(Self.lengthReward, lengthRewards / answers, weight: answers) }
    if sequences > 0 {
      metrics.record(Self.weightMean, weights / sequences, weight: sequences)
      metrics.record(Self.weightMin, weightMin)
      metrics.record(Self.weightMax, weightMax)
    }
    metrics.record(Self.zeroVariance, groups > 0 ? zeroVarianceGroups / groups : 0, weight: groups)
    metrics.record(Self.deviation, groups > 0 ? deviations / groups : 0, weight: groups)
  }

  // MARK: Loss

  func loss(_ batch: Batch, into gradients: Gradients, metrics: Metrics) throws(PluginError) -> Double {
    var loss = 0.0
    var statistics = ClipStatistics()
    for sequence in batch.sequences {
      let tokens = batch.tokens(of: sequence)
      let divisor = Double(batch.updateTokens)
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

        loss -= s / divisor
        gradients.current[t] = Float(-derivative / divisor)
        statistics.add(low: clippedLow, high: clippedHigh, inside: inside)
      }
    }
    statistics.report(to: metrics)
    return loss
  }
}

@c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(GRPOLead.self) }
