import PluginHost
import Support
import Telemetry

/// A reinforcement learning run from its first step to its finished adapter or model.
package struct RLRun {
  package let trained: RunModel
  package let task: RLTask
  package let algorithm: any LossAlgorithm
  /// Keeps the rollouts; nil keeps none.
  package var capture: RolloutCapture?
  /// Ask of a step what they would make of it.
  package var shadows: ShadowAlgorithms?
  /// Asked before each step for a plugin to go over to; nil where it stays.
  package var reload: () throws(Failure) -> PluginChoice? = { nil }
  /// The policy the run begins with, for algorithms that measure a divergence from it.
  package let reference: ReferencePolicy?
  package let settings: RLSettings
  package let placement: RunPlacement
  /// Called after each step, with the model as it is now.
  package var afterStep: (Int) throws(Failure) -> Metrics = { _ in [:] }

  package init(
    _ trained: RunModel, task: RLTask, algorithm: any LossAlgorithm, reference: ReferencePolicy?, settings: RLSettings,
    placement: RunPlacement
  ) {
    self.trained = trained
    self.task = task
    self.algorithm = algorithm
    self.reference = reference
    self.settings = settings
    self.placement = placement
  }

  package func run(_ observer: any RunObserver) throws(Failure) -> RunOutcome {
    try placement.open()
    // Room for every step at once: rollouts differ in their prompts.
    try trained.engine.reserve(
      settings.capacity(
        longestPrompt: task.prompts.reduce(0) { max($0, $1.tokens.count) }, of: trained.model.configuration, on: trained.model.backend),
      stopTokens: Set(trained.model.endOfText))
    let policy = try trained.makePolicy(critic: algorithm.needs.contains(.critic))
    let trainer = RLTrainer(
      policy, engine: trained.engine, reference: reference, algorithm: algorithm, task: task, settings: settings)
    trainer.watch = { progress in
      observer.draws(progress)
      return !observer.isStopRequested
    }
    trainer.onSkippedFailure = { observer.warn("\($0.message); the update is skipped") }
    shadows?.onFailure = { observer.warn($0) }
    let loop = RunLoop(
      placement: placement, policy: policy, trained: trained, total: settings.steps, hasSamples: true)
    return try loop.run(Steps(run: self, trainer: trainer, warn: observer.warn), observer) { () throws(Failure) in
      try trained.write(to: trained.result(in: placement.folder))
    }
  }

  /// The trainer's steps as the loop takes them.
  private final class Steps: SteppedTraining {
    private let run: RLRun
    private let trainer: RLTrainer
    private let warn: (String) -> Void
    /// Completions without a reward that standard error may still name.
    private var unnamed = 5

    init(run: RLRun, trainer: RLTrainer, warn: @escaping (String) -> Void) {
      (self.run, self.trainer, self.warn) = (run, trainer, warn)
    }

    var step: Int { trainer.step }

    func makeStep(loggingSeconds: Double) throws(Failure) -> SteppedResult {
      takeUpNewPlugin()
      let result = try trainer.trainStep()
      name(result.unscored)
      var metrics = result.metrics
      if let shadows = run.shadows { metrics.merge(shadows.metrics(of: result)) }
      try run.capture?.write(result, step: trainer.step)
      metrics.merge(try run.afterStep(trainer.step))
      metrics["seconds/logging"] = loggingSeconds
      var proof = result.proof
      // Which library said it: another may say the same.
      if let library = Digest(hex: trainer.algorithm.identity.sha256) { proof.add("plugin", library) }
      return SteppedResult(
        metrics: metrics, proof: proof, samples: { [run] in run.samples(of: result) }, distributions: result.distributions)
    }

    /// Goes over to a plugin that was built anew; where it cannot be used, the run goes on with the one it has.
    private func takeUpNewPlugin() {
      do throws(Failure) {
        guard let choice = try run.reload() else { return }
        let (old, new) = (trainer.algorithm, try choice.instance())
        guard new.identity.id == old.identity.id else { throw .badData("it is now the plugin \(new.identity.id), not \(old.identity.id)") }
        let missing = new.needs.subtracting(old.needs).subtracting([.entropy, .sampler, .refill])
        guard missing.isEmpty else { throw .badData("it now needs \(missing.names.joined(separator: ", ")), which this run has not begun with") }
        let keepsState = new.identity.stateVersion == old.identity.stateVersion
        if keepsState, new.identity.stateVersion > 0 { try new.restore(try old.save()) }
        try PluginReload(step: trainer.step + 1, identity: new.identity, path: choice.card.path, hasKeptState: keepsState).append(to: run.placement.folder.path)
        trainer.algorithm = new
        warn("step \(trainer.step + 1): goes on with the plugin as it is now, SHA-256 \(new.identity.sha256.prefix(12))")
      } catch { warn("\(error.message); the run goes on with the plugin that it has") }
    }

    /// Says the first faults; all of them are counted by the metrics and stand beside their completions.
    private func name(_ unscored: [RolloutGroup.Unscored]) {
      let faults = unscored.compactMap { completion in
        completion.reward.fault.map { "step \(trainer.step), example \(completion.example + 1), completion \(completion.number + 1) is left out: \($0.text)" }
      }
      for fault in faults.prefix(unnamed) { warn(fault) }
      if unnamed > 0, faults.count >= unnamed { warn("further completions without a reward are counted (reward_errors) and named in samples.jsonl alone") }
      unnamed = max(0, unnamed - faults.count)
    }

    func state() throws(Failure) -> TrainingState {
      var state = TrainingState(step: trainer.step)
      state.cursor = trainer.cursor
      state.algorithm = trainer.algorithm.identity
      state.algorithmState = try trainer.algorithm.save()
      return state
    }

    func resume(_ state: TrainingState, path: String) throws(Failure) {
      let now = run.algorithm.identity
      guard state.algorithm?.id == now.id else {
        throw .badData("\(path): was made with the plugin \(state.algorithm?.id ?? "none"), now it is \(now.id)")
      }
      guard state.algorithm?.stateVersion == now.stateVersion else {
        throw .badData(
          "\(path): the plugin's state has version \(state.algorithm?.stateVersion ?? 0), \(now.id) now has \(now.stateVersion)")
      }
      if let bytes = state.algorithmState { try run.algorithm.restore(bytes) }
      trainer.resume(step: state.step, cursor: state.cursor)
    }
  }
}
