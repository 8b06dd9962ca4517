import PluginHost
import Support
import Tasks
import Telemetry

/// The metrics of one step while it runs: means over tokens, seconds per stage, what the plugin says of itself.
struct StepMetrics {
  private(set) var values = Metrics()
  private var seconds: [(stage: String, seconds: Double)] = []
  private var stopwatch = Stopwatch()
  private var pluginMetrics: PluginMetricFold
  private var losses: [Double] = []
  private var gradientNorms: [Double] = []
  private var learningRate = 0.0
  private var k1 = 0.0
  private var k3 = 0.0
  private var referenceK1 = 0.0
  private var referenceK3 = 0.0
  private var hasReference = false
  private var scoredTokens = 0
  private var updateLoss = 0.0
  private var mismatch = 0.0
  private var generatedTokens = 0
  private var clippedLow = 0
  private var clippedHigh = 0
  private var ratios = 0.0
  private var largestRatio = 0.0

  init(plugin metrics: PluginMetricFold) { pluginMetrics = metrics }

  private mutating func set(_ name: String, _ value: Double) { values[name] = value }

  /// Runs a stage and adds its time.
  mutating func time<T>(_ stage: String, _ body: () throws(Failure) -> T) throws(Failure) -> T {
    let watch = Stopwatch()
    let result = try body()
    add(watch.seconds, of: stage)
    return result
  }

  mutating func add(_ pass: PassSeconds) {
    add(pass.forward, of: "forward")
    add(pass.backward, of: "backward")
  }

  private mutating func add(_ time: Double, of stage: String) {
    if let index = seconds.firstIndex(where: { $0.stage == stage }) {
      seconds[index].seconds += time
    } else {
      seconds.append((stage, time))
    }
  }

  /// What the rollout says: rewards, lengths, entropy.
  mutating func describe(_ collected: CollectedGroups, by reward: any RewardFunction) {
    let groups = collected.all
    // What has no reward was drawn all the same.
    let unscored = collected.unscored
    let completions = groups.flatMap(\.completions) + unscored.map(\.completion)
    let count = Double(max(1, completions.count))
    let lengths = completions.map(\.tokens.count)
    generatedTokens = lengths.reduce(0, +)
    let entropies = completions.flatMap(\.entropies)
    let rewards = groups.flatMap(\.rewards)
    if !rewards.isEmpty { set("reward", rewards.reduce(0) { $0 + Double($1.total) } / Double(rewards.count)) }
    set("reward_deviation", Self.deviation(rewards.map(\.total)))
    let within = groups.reduce(0) { $0 + Self.deviation($1.rewards.map(\.total)) }
    set("reward_deviation_within_groups", within / Double(max(1, groups.count)))
    let judged = rewards + unscored.map(\.reward)
    set("accuracy", Double(judged.count { $0.flags.contains(.correct) }) / count)
    set("format", Double(judged.count { $0.verdict.extracted != nil }) / count)
    set("entropy", entropies.reduce(0) { $0 + Double($1) } / Double(max(1, entropies.count)))
    set("length_mean", Double(generatedTokens) / count)
    set("length_max", Double(lengths.max() ?? 0))
    set("truncated", Double(judged.count { $0.flags.contains(.truncated) }) / count)
    set("zero_variance", Double(groups.count { !$0.hasVariance }) / Double(max(1, groups.count)))
    set("groups", Double(collected.kept.count))
    set("dropped_groups", Double(collected.dropped.count))
    set("refilled_groups", Double(collected.refilled))
    let dropped = collected.dropped.flatMap(\.completions) + unscored.map(\.completion)
    let droppedTokens = dropped.reduce(0) { $0 + $1.tokens.count }
    set("wasted_completions", Double(dropped.count) / count)
    set("wasted_tokens", Double(droppedTokens) / Double(max(1, generatedTokens)))
    if !reward.reportsParts { return }
    for (part, name) in reward.partNames.enumerated() {
      let values = judged.compactMap { $0.silent.contains(part) ? nil : Double($0.parts[part]) }
      if !values.isEmpty { set("reward/\(name)", values.reduce(0, +) / Double(values.count)) }
    }
    set("reward_errors", Double(unscored.count { $0.reward.fault != nil }))
  }

  /// What stage 1 says.
  mutating func describe(_ stage: PluginAdvantages) {
    pluginMetrics.add(stage.metrics)
    let advantages = stage.advantages
    set("advantage_mean", advantages.reduce(0) { $0 + Double($1) } / Double(max(1, advantages.count)))
    set("advantage_deviation", Self.deviation(advantages))
  }

  /// The standard deviation with one degree of freedom removed; 0 for a single value.
  private static func deviation(_ values: [Float]) -> Double {
    guard values.count > 1 else { return 0 }
    let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
    let squares = values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    return (squares / Double(values.count - 1)).squareRoot()
  }

  /// A micro-batch: its share of the loss, and how far the policy is from the one that acted.
  mutating func add(_ gradients: PluginGradients, on batch: PluginBatch, of rollout: Rollout) {
    updateLoss += gradients.loss
    scoredTokens += batch.tokenCount
    pluginMetrics.add(gradients.metrics)
    let isFirst = batch.update.epoch == 0 && batch.update.minibatch == 0
    for token in 0..<batch.tokenCount {
      let now = Double(batch.current[token])
      let ratio = now - Double(batch.old[token])
      k1 -= ratio
      let quotient = exp(ratio)
      k3 += quotient - 1 - ratio
      ratios += quotient
      largestRatio = max(largestRatio, quotient)
      switch ClipSide(derivative: gradients.dCurrent[token], advantage: batch.advantages[token], logRatio: ratio) {
      case .low?: clippedLow += 1
      case .high?: clippedHigh += 1
      case nil: break
      }
      if let reference = batch.reference {
        hasReference = true
        let difference = Double(reference[token]) - now
        referenceK1 -= difference
        referenceK3 += exp(min(20, difference)) - 1 - difference
      }
      if isFirst, let sampler = batch.sampler { mismatch = max(mismatch, abs(now - Double(sampler[token]))) }
    }
  }

  /// Updates of the run that were left out because the plugin failed in them.
  mutating func count(skippedFailures: Int) { set("skipped_failures", Double(skippedFailures)) }

  /// What an update before has left of its loss because it failed is none of the next one's.
  mutating func beginUpdate() { updateLoss = 0 }

  mutating func finishUpdate(gradientNorm: Double, learningRate: Double) {
    losses.append(updateLoss)
    updateLoss = 0
    gradientNorms.append(gradientNorm)
    self.learningRate = learningRate
  }

  mutating func finish(peakBytes: Int) {
    let updates = Double(max(1, losses.count))
    let tokens = Double(max(1, scoredTokens))
    // 0 where every group of the step was dropped: then the policy stays as it is, and loss and norm are 0.
    set("updates", Double(losses.count))
    set("loss", losses.reduce(0, +) / updates)
    set("gradient_norm", gradientNorms.reduce(0, +) / updates)
    set("learning_rate", learningRate)
    set("kl_old_k1", k1 / tokens)
    set("kl_old_k3", k3 / tokens)
    if hasReference {
      set("kl_reference_k1", referenceK1 / tokens)
      set("kl_reference_k3", referenceK3 / tokens)
    }
    // A plugin that counts its clip is believed: it alone knows it, and another term of its loss may keep a clipped token's gradient
    // from being zero.
    var plugin = pluginMetrics.results
    for (name, own, clipped) in [("clip_low", "clip_low_share", clippedLow), ("clip_high", "clip_high_share", clippedHigh)] {
      set(name, plugin.first { $0.name == own }?.value ?? Double(clipped) / tokens)
      plugin.removeAll { $0.name == own }
    }
    set("ratio_mean", scoredTokens > 0 ? ratios / tokens : 1)
    set("ratio_max", scoredTokens > 0 ? largestRatio : 1)
    set("sampler_mismatch", mismatch)
    for metric in plugin { set("plugin/\(metric.name)", metric.value) }
    let seconds = seconds
    let spent = { (stages: [String]) in seconds.filter { stages.contains($0.stage) }.reduce(0) { $0 + $1.seconds } }
    set("rollout_tokens_per_second", Double(generatedTokens) / max(1e-9, spent(["rollout"])))
    set("training_tokens_per_second", Double(scoredTokens) / max(1e-9, spent(["forward", "backward", "plugin", "optimizer"])))
    for (stage, time) in seconds { set("seconds/\(stage)", time) }
    set("seconds/step", stopwatch.seconds)
    set("peak_mebibytes", Double(peakBytes) / 1_048_576)
  }
}
