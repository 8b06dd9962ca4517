// Decoupled clip and dynamic sampling policy optimisation.
// Q. Yu et al., DAPO: An Open-Source LLM Reinforcement Learning System at Scale, arXiv:2503.14476, §3.

import PluginAPI

struct DAPO: LossPlugin {

  // MARK: Parameters

  static let variant = Parameter.choice(
    "variant", ["default", "paper"],
    "default: rewards as they are; paper: with overlong filtering and soft overlong punishment")
  static let clipLow = Parameter.real(
    "clip_low", preset: 0.2, in: 0...1, "lower clip: the ratio counts down to 1 - clip_low")
  static let clipHigh = Parameter.real(
    "clip_high", preset: 0.28, in: 0...100, "upper clip, of positive advantages: the ratio counts up to 1 + clip_high")
  static let refill = Parameter.boolean(
    "refill", preset: true, "replace groups of equal rewards by fresh ones, as far as the host allows")
  static let overlongFilter = Parameter.boolean(
    "overlong_filter", presets: [false, true], "A = 0 for truncated completions")
  static let overlongShare = Parameter.real(
    "overlong_share", presets: [0, 0.2], in: 0...1,
    "last share of the token limit in which length is punished (L_cache / L_max, 4096 of 20480 in the paper); 0: never")
  static let overlongPenalty = Parameter.real(
    "overlong_penalty", preset: 1, in: 0...1000, "taken from the reward at the token limit, linearly less before")
  static let epsilon = Parameter.real(
    "epsilon", preset: 1e-6, in: 0...1, "added to the standard deviation of a group's rewards")

  static let filtered = Metric.mean("overlong_filtered_share", "share of completions with A = 0 as truncated")
  static let punishment = Metric.mean("overlong_penalty_mean", "mean of what length took from a reward")

  static let descriptor = Descriptor(
    id: "dapo", version: "1.0.0", title: "DAPO: decoupled clip and dynamic sampling policy optimisation",
    reference: "arXiv:2503.14476",
    card: """
      selection: groups whose rewards as given are all equal are dropped and, with refill, replaced by fresh ones (the host's --refill-rounds bounds it; its metrics dropped_groups, refilled_groups and wasted_* count them)
      advantage: A = (r - mean) / (std + epsilon) within a group, std with one degree of freedom removed
      aggregation: sum over tokens / tokens of the update
      clip: min(ratio A, clip(ratio) A) per token, ratio in [1 - clip_low, 1 + (clip_high where A > 0, else clip_low)]
      overlong: r loses overlong_penalty * (L - (limit - cache)) / cache in the last cache = overlong_share * limit tokens; overlong_filter sets A = 0 for truncated completions
      kl: none
      counted: tokens of filtered completions do not count in the divisor, as TRL and verl mask them (a host of ABI 1.0 counts them)
      differs from the paper: the default has neither overlong filtering nor punishment; rewards are the host's (1 and 0), the paper's are 1 and -1, which gives the same A
      """,
    parameters: [variant, clipLow, clipHigh, refill, overlongFilter, overlongShare, overlongPenalty, epsilon],
    metrics: ClipStatistics.metrics + [filtered, punishment])

  let refills, filtersOverlong: Bool
  let clipLow, clipHigh, overlongShare, overlongPenalty, epsilon: Double
  var needs: Needs { refills ? .refill : [] }

  init(_ settings: Settings) throws(PluginError) {
    refills = settings.boolean(Self.refill)
    filtersOverlong = settings.boolean(Self.overlongFilter)
    clipLow = settings[Self.clipLow]
    clipHigh = settings[Self.clipHigh]
    overlongShare = settings[Self.overlongShare]
    overlongPenalty = settings[Self.overlongPenalty]
    epsilon = settings[Self.epsilon]
  }

  // MARK: Advantages

  func select(_ rollout: Rollout, keep: Selection) throws(PluginError) {
    for group in rollout.groups {
      keep[group] = Moments(of: rollout.sequences(of: group)) { Double(rollout.rewards[$0]) }.deviation > 0
    }
  }

  /// The soft overlong punishment of a completion of some length (equation 13).
  private func punishment(_ length: Int, limit: Int) -> Double {
    let cache = overlongShare * Double(limit)
    let over = Double(length) - (Double(limit) - cache)
    return cache > 0 && over > 0 ? overlongPenalty * min(over / cache, 1) : 0
  }

  func advantages(_ rollout: Rollout, into result: Advantages, metrics: Metrics) throws(PluginError) {
    var punished = 0.0
    var filtered = 0.0
    for group in rollout.groups {
      let sequences = rollout.sequences(of: group)
      let reward = { (sequence: Int) in
        Double(rollout.rewards[sequence])
          - self.punishment(rollout.tokens(of: sequence).count, limit: rollout.tokenLimit)
      }
      let rewards = Moments(of: sequences, reward)
      for sequence in sequences {
        let isFiltered = filtersOverlong && rollout.isTruncated(sequence)
        let advantage = isFiltered ? 0 : rewards.standardized(reward(sequence), epsilon)
        result.fill(rollout.tokens(of: sequence), advantage)
        punished += Double(rollout.rewards[sequence]) - reward(sequence)
        if isFiltered {
          filtered += 1
          result.leaveOut(sequence)
        }
      }
    }
    let sequences = Double(rollout.sequenceCount)
    metrics.record(Self.filtered, sequences > 0 ? filtered / sequences : 0, weight: sequences)
    metrics.record(Self.punishment, sequences > 0 ? punished / sequences : 0, weight: sequences)
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

        // s = min(ρ A, clip(ρ) A): where the clip holds, s does not depend on the current policy. With A < 0 no upper
        // clip can hold, so the smaller one that the card names there never shows.
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

@c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(DAPO.self) }
