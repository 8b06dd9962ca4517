import Support
import Telemetry

/// A supervised run from its first step to its finished adapter or model.
package struct SFTRun {
  package let trained: RunModel
  package let batches: SFTBatches
  package let steps: Int
  package let placement: RunPlacement
  /// Writes what belongs in the folder of a finished model beside weights and configuration, such as a new tokeniser.
  package var finishModel: (String) throws(Failure) -> Void = { _ in }
  /// Called after each step, with the trainer as it is now.
  package var afterStep: (SFTTrainer) throws(Failure) -> Metrics = { _ in [:] }

  package init(_ trained: RunModel, _ batches: SFTBatches, steps: Int, placement: RunPlacement) {
    self.trained = trained
    self.batches = batches
    self.steps = steps
    self.placement = placement
  }

  package func run(_ observer: any RunObserver) throws(Failure) -> RunOutcome {
    try placement.open()
    let policy = try trained.makePolicy()
    let trainer = SFTTrainer(policy, batches)
    let loop = RunLoop(placement: placement, policy: policy, trained: trained, total: steps, hasSamples: false)
    return try loop.run(Steps(run: self, trainer: trainer), observer) { () throws(Failure) in
      let result = trained.result(in: placement.folder)
      try trained.write(to: result)
      if trained.adapter == nil { try finishModel(result) }
    }
  }

  /// The trainer's steps as the loop takes them.
  private final class Steps: SteppedTraining {
    private let run: SFTRun
    private let trainer: SFTTrainer

    init(run: SFTRun, trainer: SFTTrainer) {
      self.run = run
      self.trainer = trainer
    }

    var step: Int { trainer.step }

    func makeStep(loggingSeconds: Double) throws(Failure) -> SteppedResult {
      let watch = Stopwatch()
      let result = try trainer.trainStep()
      let seconds = watch.seconds
      var metrics: Metrics = [
        "loss": result.loss, "gradient_norm": result.gradientNorm, "learning_rate": result.learningRate,
        "tokens": Double(result.predictedTokens), "training_tokens_per_second": Double(result.rows) / max(1e-9, seconds),
        "seconds/step": seconds, "peak_mebibytes": Double(trainer.peakBytes) / 1_048_576,
      ]
      metrics.merge(try run.afterStep(trainer))
      return SteppedResult(metrics: metrics, proof: result.proof)
    }

    func state() -> TrainingState { TrainingState(step: trainer.step) }

    func resume(_ state: TrainingState, path: String) { trainer.resume(at: state.step) }
  }
}
