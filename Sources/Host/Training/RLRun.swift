import PluginHost
import Support
import Telemetry

/// A reinforcement learning run from its first step to its finished adapter or model.
package struct RLRun {
  package let trained: RunModel
  package let task: RLTask
  package let algorithm: any LossAlgorithm
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
    let loop = RunLoop(
      placement: placement, policy: policy, trained: trained, total: settings.steps, hasSamples: true)
    return try loop.run(Steps(run: self, trainer: trainer), observer) { () throws(Failure) in
      try trained.write(to: trained.result(in: placement.folder))
    }
  }

  /// The trainer's steps as the loop takes them.
  private final class Steps: SteppedTraining {
    private let run: RLRun
    private let trainer: RLTrainer

    init(run: RLRun, trainer: RLTrainer) {
      self.run = run
      self.trainer = trainer
    }

    var step: Int { trainer.step }

    func makeStep(loggingSeconds: Double) throws(Failure) -> SteppedResult {
      let result = try trainer.trainStep()
      var metrics = result.metrics
      metrics.merge(try run.afterStep(trainer.step))
      metrics["seconds/logging"] = loggingSeconds
      var proof = result.proof
      // Which library said it: another may say the same.
      if let library = Digest(hex: run.algorithm.identity.sha256) { proof.add("plugin", library) }
      return SteppedResult(
        metrics: metrics, proof: proof, samples: { [run] in run.samples(of: result) }, distributions: result.distributions)
    }

    func state() throws(Failure) -> TrainingState {
      var state = TrainingState(step: trainer.step)
      state.cursor = trainer.cursor
      state.algorithm = run.algorithm.identity
      state.algorithmState = try run.algorithm.save()
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
