import Compute
import PluginHost
import Rollouts
import Support
import Tasks
import Telemetry
import Transformer

/// What an RL run learns from: prompts as tokens, and the judge of what follows them.
package struct RLTask {
  package struct Prompt: Sendable {
    package let tokens: [Int32]
    package let key: UInt64

    package init(tokens: [Int32], key: UInt64) {
      self.tokens = tokens
      self.key = key
    }
  }

  package let prompts: [Prompt]
  /// Judges a completion of the prompt at an index.
  package let judge: (Int, Completion) throws -> Verdict
  /// The text of each token of a completion, for the samples; nil where nobody knows.
  package var tokenTexts: (([Int32]) throws -> [String])?

  package init(prompts: [Prompt], judge: @escaping (Int, Completion) throws -> Verdict) {
    self.prompts = prompts
    self.judge = judge
  }
}

/// Reinforcement learning with an algorithm it knows nothing about: roll out, reward, select, score, advantages, loss.
package final class RLTrainer {
  private let policy: Policy
  private let reference: ReferencePolicy?
  private let plugin: PluginInstance
  private let task: RLTask
  private let settings: RLSettings
  private let engine: GenerationEngine
  private let shouldStop: () -> Bool
  private var order: DataOrder
  /// Steps made so far.
  package private(set) var step = 0
  /// Prompts taken so far, refilled ones included.
  package private(set) var cursor = 0

  package init(
    _ policy: Policy, reference: ReferencePolicy?, plugin: PluginInstance, task: RLTask, settings: RLSettings,
    shouldStop: @escaping () -> Bool = { false }
  ) {
    self.policy = policy
    self.reference = reference
    self.plugin = plugin
    self.task = task
    self.settings = settings
    self.shouldStop = shouldStop
    engine = GenerationEngine(policy.model)
    order = DataOrder(count: task.prompts.count, seed: settings.seed, shuffles: settings.shuffles)
  }

  /// One step of the diagram: returns its metrics and the rollout it learned from.
  package func trainStep() throws(Failure) -> RLStepResult {
    var metrics = StepMetrics(plugin: plugin.metricFold)
    let collected = try metrics.time("rollout") { () throws(Failure) in try collect() }
    metrics.describe(collected, settings: settings)
    var rollout = Rollout(collected.kept)
    var advantages: [Float] = []
    if rollout.tokenCount > 0 {
      try metrics.time("score") { () throws(Failure) in try score(&rollout) }
      let stage1 = try metrics.time("plugin") { () throws(Failure) in
        try plugin.advantages(
          rollout.forPlugin(
            step: step, totalSteps: settings.steps, seed: settings.seed, tokenLimit: settings.maxNewTokens))
      }
      metrics.add(plugin: stage1.metrics)
      metrics.describe(advantages: stage1.advantages)
      advantages = stage1.advantages
      for epoch in 0..<settings.innerEpochs {
        for (index, groups) in minibatches(rollout.groups.count).enumerated() {
          try update(rollout, groups: groups, stage1, epoch: epoch, minibatch: index, &metrics)
        }
      }
    }
    step += 1
    metrics.finish(peakBytes: policy.model.backend.peakBytes)
    return RLStepResult(
      metrics: metrics.values, rollout: rollout, dropped: collected.dropped, advantages: advantages,
      latest: metrics.latest)
  }

  // MARK: Rollout, reward, select, refill

  private func collect() throws(Failure) -> CollectedGroups {
    var collected = CollectedGroups()
    for round in 0...settings.refillRounds {
      let wanted = settings.prompts(ofStep: step) - collected.kept.count
      guard wanted > 0, round == 0 || plugin.needs.contains(.refill) else { break }
      let groups = try rollOut(wanted)
      if round > 0 { collected.refilled += groups.count }
      collected.all += groups
      let seen = Rollout(groups).forPlugin(
        step: step, totalSteps: settings.steps, seed: settings.seed, tokenLimit: settings.maxNewTokens)
      for (group, keep) in zip(groups, try plugin.select(seen)) {
        if keep { collected.kept.append(group) } else { collected.dropped.append(group) }
      }
    }
    return collected
  }

  /// Fresh prompts, G completions each, judged.
  private func rollOut(_ count: Int) throws(Failure) -> [RolloutGroup] {
    let positions = cursor..<(cursor + count)
    cursor = positions.upperBound
    let examples = order.indices(positions)
    let requests = zip(positions, examples).map { position, example in
      GenerationRequest(
        prompt: task.prompts[example].tokens, samples: settings.groupSize, stream: UInt64(position))
    }
    let generation = GenerationSettings(
      sampling: SamplingSettings(temperature: settings.temperature), maxNewTokens: settings.maxNewTokens,
      seed: settings.seed, stopTokens: Set(policy.model.endOfText))
    let completions = try engine.generate(requests, generation) { _ in !shouldStop() }
    var groups: [RolloutGroup] = []
    for (index, example) in examples.enumerated() {
      var verdicts: [Verdict] = []
      for completion in completions[index] {
        do { verdicts.append(try task.judge(example, completion)) } catch {
          throw (error as? Failure) ?? .internalError("the reward failed: \(error)")
        }
      }
      groups.append(
        RolloutGroup(
          position: positions.lowerBound + index, example: example, key: task.prompts[example].key,
          prompt: requests[index].prompt, completions: completions[index], rewards: verdicts.map { $0.isCorrect ? 1 : 0 },
          verdicts: verdicts))
    }
    return groups
  }

  // MARK: Score

  private var logProbTemperature: Double { settings.logProbTemperature ?? settings.temperature }

  /// Log-probabilities before the update, values and reference, as far as they are needed. Where a row is the same bits
  /// in decoding and training, the sampler's log-probabilities are the old ones.
  private func score(_ rollout: inout Rollout) throws(Failure) {
    let sampled = policy.model.backend.isRowExact && logProbTemperature == settings.temperature
    if !sampled || policy.valueHead != nil {
      var old: [Float] = []
      var values: [Float] = []
      try forEachMicroBatch(rollout) { batch, targets throws(Failure) in
        let hidden = try policy.model.forward(batch).hidden
        if !sampled { old += try policy.head.forward(hidden, targets, temperature: logProbTemperature).logProbs }
        if let head = policy.valueHead { values += try head.forward(hidden, rows: targets.rows).values }
      }
      if !sampled { rollout.old = old }
      if policy.valueHead != nil { rollout.values = values }
    }
    if let reference {
      var logProbs: [Float] = []
      try forEachMicroBatch(rollout) { batch, targets throws(Failure) in
        logProbs += try reference.logProbs(batch, targets, temperature: logProbTemperature)
      }
      rollout.reference = logProbs
    }
  }

  private func forEachMicroBatch(
    _ rollout: Rollout, _ body: (TokenBatch, TokenTargets) throws(Failure) -> Void
  ) throws(Failure) {
    let slices = rollout.slices(groups: 0..<rollout.groups.count, limit: policy.microBatchRows)
    for range in microBatches(rows: slices.map(\.rows), limit: policy.microBatchRows) {
      let (batch, targets) = rollout.batch(slices[range])
      try body(batch, targets)
    }
  }

  // MARK: Update

  /// Consecutive runs of groups, as equal as can be.
  private func minibatches(_ groups: Int) -> [Range<Int>] {
    let count = min(settings.minibatches, groups)
    return (0..<count).map { (groups * $0 / count)..<(groups * ($0 + 1) / count) }
  }

  /// One optimiser update over some groups, micro-batch after micro-batch.
  private func update(
    _ rollout: Rollout, groups: Range<Int>, _ stage1: PluginAdvantages, epoch: Int, minibatch: Int,
    _ metrics: inout StepMetrics
  ) throws(Failure) {
    let slices = rollout.slices(groups: groups, limit: policy.microBatchRows)
    let sequences =
      rollout.sequences(of: groups.lowerBound).lowerBound..<rollout.sequences(of: groups.upperBound - 1).upperBound
    // Those of completions that the plugin dropped do not count; where none counts there is no update.
    let counted = sequences.reduce(0) { stage1.counted[$1] ? $0 + rollout.tokens(of: $1..<($1 + 1)).count : $0 }
    guard counted > 0 else { return }
    policy.beginUpdate()
    for range in microBatches(rows: slices.map(\.rows), limit: policy.microBatchRows) {
      let (batch, targets) = rollout.batch(slices[range])
      let pass = try metrics.time("forward") { () throws(Failure) in try policy.forward(batch) }
      let scores = try metrics.time("forward") { () throws(Failure) in
        try policy.head.forward(pass.hidden, targets, temperature: logProbTemperature)
      }
      let values = try policy.valueHead?.forward(pass.hidden, rows: targets.rows)
      let part = slices[range.lowerBound].sequences.lowerBound..<slices[range.upperBound - 1].sequences.upperBound
      let input = pluginBatch(
        rollout, part, stage1, current: scores.logProbs, entropy: scores.entropies, values: values?.values,
        epoch: epoch, minibatch: minibatch, totals: (counted, sequences.count, groups.count))
      let result = try metrics.time("plugin") { () throws(Failure) in try plugin.loss(input) }
      metrics.add(
        result, rollout: rollout, tokens: rollout.tokens(of: part), current: scores.logProbs,
        advantages: stage1.advantages, isFirst: epoch == 0 && minibatch == 0)
      try metrics.time("backward") { () throws(Failure) in
        let dHidden = try policy.model.backend.zeros(pass.hidden.rows, pass.hidden.columns)
        try policy.head.backward(scores, dLogProb: result.dCurrent, dEntropy: result.dEntropy, into: dHidden)
        if let head = policy.valueHead, let values, let dValues = result.dValues {
          try head.backward(values, dValues: dValues, into: dHidden)
        }
        try policy.model.backward(pass, dHidden: dHidden)
      }
    }
    let outcome = try metrics.time("optimizer") { () throws(Failure) in try policy.finishUpdate() }
    metrics.finishUpdate(gradientNorm: outcome.gradientNorm, learningRate: outcome.learningRate)
  }

  private func pluginBatch(
    _ rollout: Rollout, _ sequences: Range<Int>, _ stage1: PluginAdvantages, current: [Float], entropy: [Float],
    values: [Float]?, epoch: Int, minibatch: Int, totals: (tokens: Int, sequences: Int, groups: Int)
  ) -> PluginBatch {
    let tokens = rollout.tokens(of: sequences)
    let needs = plugin.needs
    var batch = PluginBatch(
      tokenOffsets: rollout.tokenOffsets[sequences.lowerBound...sequences.upperBound].map { $0 - tokens.lowerBound },
      sequenceIDs: Array(sequences), updateTokens: totals.tokens, updateSequences: totals.sequences,
      updateGroups: totals.groups, tokenLimit: settings.maxNewTokens, current: current, old: Array(rollout.old[tokens]),
      advantages: Array(stage1.advantages[tokens]))
    batch.step = step
    batch.epoch = epoch
    batch.minibatch = minibatch
    batch.reference = rollout.reference.map { Array($0[tokens]) }
    batch.sampler = needs.contains(.sampler) ? Array(rollout.sampler[tokens]) : nil
    batch.entropy = needs.contains(.entropy) ? entropy : nil
    batch.values = values
    batch.oldValues = rollout.values.map { Array($0[tokens]) }
    batch.returns = stage1.returns.map { Array($0[tokens]) }
    return batch
  }

  /// Continues where a checkpoint stopped.
  package func resume(step: Int, cursor: Int) {
    self.step = step
    self.cursor = cursor
  }
}

/// The groups a step generated.
struct CollectedGroups {
  var kept: [RolloutGroup] = []
  var dropped: [RolloutGroup] = []
  var all: [RolloutGroup] = []
  /// Groups generated to replace dropped ones.
  var refilled = 0
}

package struct RLStepResult: Sendable {
  package let metrics: Metrics
  package let rollout: Rollout
  package let dropped: [RolloutGroup]
  /// Of the rollout's tokens; empty where it has none.
  package let advantages: [Float]
  /// Log-probabilities of the rollout's tokens in the last pass over it; empty where it has none.
  package let latest: [Float]
}
