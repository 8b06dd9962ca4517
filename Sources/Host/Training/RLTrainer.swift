import PluginHost
import Rollouts
import Support
import Telemetry

/// Reinforcement learning with an algorithm it knows nothing about: roll out, reward, select, score, advantages, loss.
package final class RLTrainer {
  private let policy: Policy
  private let reference: ReferencePolicy?
  /// May be another from a step on.
  var algorithm: any LossAlgorithm
  private let task: RLTask
  private let settings: RLSettings
  private var source: RolloutSource
  /// Told how far a rollout is, after each of its steps; returning false stops it.
  var watch: (GenerationProgress) -> Bool = { _ in true }
  /// Told what the plugin failed with where its update is left out.
  var onSkippedFailure: (Failure) -> Void = { _ in }
  private var skippedFailures = 0
  /// What the plugin failed with last; nothing else of a step is ever left out.
  private var pluginFailure: Failure?
  /// Steps made so far.
  package private(set) var step = 0
  /// Prompts taken so far, refilled ones included.
  package var cursor: Int { source.cursor }

  package init(
    _ policy: Policy, engine: GenerationEngine, reference: ReferencePolicy?, algorithm: any LossAlgorithm, task: RLTask,
    settings: RLSettings
  ) {
    self.policy = policy
    self.reference = reference
    self.algorithm = algorithm
    self.task = task
    self.settings = settings
    source = RolloutSource(engine, task, settings)
  }

  /// One step of the diagram: returns its metrics and the rollout it learned from.
  package func trainStep() throws(Failure) -> RLStepResult {
    var metrics = StepMetrics(plugin: algorithm.metricFold)
    var proof = StepProof()
    let collected = try metrics.time("rollout") { () throws(Failure) in try collect() }
    metrics.describe(collected, by: task.reward)
    proof.add(collected)
    var rollout = packed(collected.kept)
    var advantages: [Float] = []
    var pass: LastPass?
    if rollout.tokenCount > 0 {
      try metrics.time("score") { () throws(Failure) in try score(&rollout) }
      proof.add(scored: rollout)
      try leavingOutFailures { () throws(Failure) in
        let stage = try metrics.time("plugin") { () throws(Failure) in try plugin { algorithm throws(Failure) in try algorithm.advantages(rollout.packed) } }
        metrics.describe(stage)
        proof.add(stage)
        advantages = stage.advantages
        for epoch in 0..<settings.innerEpochs {
          for (minibatch, groups) in settings.minibatches(of: rollout.groups.count).enumerated() {
            var update = PluginUpdate(groups, of: rollout.packed, counted: stage.counted)
            (update.epoch, update.minibatch) = (epoch, minibatch)
            // Where no token counts there is no update.
            if update.tokens > 0 { try leavingOutFailures { () throws(Failure) in try make(update, groups, of: rollout, stage, &metrics, &proof, &pass) } }
          }
        }
      }
    }
    if settings.skippedFailures > 0 { metrics.count(skippedFailures: skippedFailures) }
    step += 1
    metrics.finish(peakBytes: policy.peakBytes)
    proof.finish()
    return RLStepResult(
      metrics: metrics.values, rollout: rollout, dropped: collected.dropped, unscored: collected.unscored, advantages: advantages, pass: pass,
      proof: proof.digests)
  }

  /// Roll out, reward, select; refill where the algorithm asks for it.
  private func collect() throws(Failure) -> CollectedGroups {
    var collected = CollectedGroups()
    for round in 0...settings.refillRounds {
      let wanted = settings.prompts(ofStep: step) - collected.kept.count
      guard wanted > 0, round == 0 || algorithm.needs.contains(.refill) else { break }
      let groups = try source.groups(wanted, by: policy.current, watch)
      try collected.add(groups) { rewarded throws(Failure) in
        var keep = rewarded.map { _ in false }
        try leavingOutFailures { () throws(Failure) in keep = try plugin { algorithm throws(Failure) in try algorithm.select(packed(rewarded).packed) } }
        return keep
      }
    }
    return collected
  }

  /// A call of the plugin.
  private func plugin<Result>(_ call: (any LossAlgorithm) throws(Failure) -> Result) throws(Failure) -> Result {
    do throws(Failure) { return try call(algorithm) } catch {
      pluginFailure = error
      throw error
    }
  }

  /// Goes on without what the plugin failed in, as often as the settings allow. An update of which a part failed is not made: its
  /// gradients are cleared by the next.
  private func leavingOutFailures(_ body: () throws(Failure) -> Void) throws(Failure) {
    do throws(Failure) { try body() } catch {
      guard error == pluginFailure, settings.skippedFailures > 0 else { throw error }
      pluginFailure = nil
      skippedFailures += 1
      guard skippedFailures <= settings.skippedFailures else {
        throw Failure(error.code, "\(error.message); \(settings.skippedFailures) updates were skipped before, no more are allowed (--plugin-failures)")
      }
      onSkippedFailure(error)
    }
  }

  private func packed(_ groups: [RolloutGroup]) -> Rollout {
    Rollout(groups, rewardNames: task.reward.partNames, step: step, settings)
  }

  /// Log-probabilities before the update, values and reference, as far as they are needed. Where a row is the same bits
  /// in decoding and training and the policy is the one that drew, the sampler's log-probabilities are the old ones.
  private func score(_ rollout: inout Rollout) throws(Failure) {
    func parts(_ rollout: Rollout) -> [RolloutPart] { rollout.parts(of: 0..<rollout.groups.count, limit: policy.microBatchRows) }
    let temperature = settings.temperatureOfLogProbs
    let isSampled = policy.isRowExact && temperature == settings.temperature && rollout.version == policy.updates
    if !isSampled || algorithm.needs.contains(.critic) {
      var (old, values): ([Float], [Float]) = ([], [])
      for part in parts(rollout) {
        let scores = try policy.score(part.batch, part.targets, temperature: isSampled ? nil : temperature)
        old += scores.logProbs
        values += scores.values ?? []
      }
      if !isSampled { rollout.packed.old = old }
      rollout.packed.values = algorithm.needs.contains(.critic) ? values : nil
    }
    if let reference {
      var logProbs: [Float] = []
      for part in parts(rollout) { logProbs += try reference.logProbs(part.batch, part.targets, temperature: temperature) }
      rollout.packed.reference = logProbs
    }
  }

  /// One optimiser update over some groups, micro-batch after micro-batch.
  private func make(
    _ update: PluginUpdate, _ groups: Range<Int>, of rollout: Rollout, _ stage: PluginAdvantages,
    _ metrics: inout StepMetrics, _ proof: inout StepProof, _ pass: inout LastPass?
  ) throws(Failure) {
    policy.beginUpdate()
    metrics.beginUpdate()
    // What an update that fails has said of itself is none of the step's.
    var attempt = proof
    for part in rollout.parts(of: groups, limit: policy.microBatchRows) {
      let seconds = try policy.accumulate(part.batch, part.targets, temperature: settings.temperatureOfLogProbs) {
        scores throws(Failure) in
        let batch = rollout.packed.batch(part.sequences, of: update, stage, scores)
        let gradients = try metrics.time("plugin") { () throws(Failure) in try plugin { algorithm throws(Failure) in try algorithm.loss(batch) } }
        metrics.add(gradients, on: batch, of: rollout)
        pass = pass ?? LastPass(rollout)
        pass?.add(scores, gradients, on: batch, of: rollout)
        attempt.add(gradients, on: batch)
        return TokenDerivatives(
          dLogProbs: gradients.dCurrent, dEntropies: gradients.dEntropy, dValues: gradients.dValues)
      }
      metrics.add(seconds)
    }
    let outcome = try metrics.time("optimizer") { () throws(Failure) in try policy.finishUpdate() }
    attempt.finishUpdate(outcome, policy.settings)
    proof = attempt
    metrics.finishUpdate(gradientNorm: outcome.gradientNorm, learningRate: outcome.learningRate)
  }

  /// Continues where a checkpoint stopped.
  package func resume(step: Int, cursor: Int) {
    self.step = step
    source.cursor = cursor
  }
}
