import Compute
import Support
import Telemetry
import Tokenization
import Transformer

/// A supervised run from its first step to its finished adapter or model.
package struct SFTRun {
  package let model: Transformer
  package let source: ModelFolder?
  package let sequences: [TrainingSequence]
  package let policySettings: PolicySettings
  package let batchSize: Int
  package let steps: Int
  package let shuffles: Bool
  package let seed: UInt64
  package let folder: RunFolder
  package let record: RunRecord
  package let keeping: RunKeeping
  /// What the base model is called in the adapter's settings.
  package let baseName: String
  /// How a wholly trained model is written.
  package var modelKind = WeightKind.float32
  /// Writes what belongs in the folder of a finished model beside weights and configuration, such as a new tokeniser.
  package var finishModel: (String) throws(Failure) -> Void = { _ in }
  /// Called after each step, with the trainer as it is now.
  package var afterStep: (SFTTrainer) throws(Failure) -> Metrics = { _ in [:] }

  package init(
    model: Transformer, source: ModelFolder?, sequences: [TrainingSequence], policy: PolicySettings, batchSize: Int,
    steps: Int, shuffles: Bool, seed: UInt64, folder: RunFolder, record: RunRecord, keeping: RunKeeping,
    baseName: String
  ) {
    self.model = model
    self.source = source
    self.sequences = sequences
    policySettings = policy
    self.batchSize = batchSize
    self.steps = steps
    self.shuffles = shuffles
    self.seed = seed
    self.folder = folder
    self.record = record
    self.keeping = keeping
    self.baseName = baseName
  }

  package func run(_ observer: any RunObserver) throws(Failure) -> RunOutcome {
    try folder.open(record, resuming: keeping.resumes)
    let policy = try Policy(model, policySettings)
    let trainer = SFTTrainer(policy, sequences: sequences, batchSize: batchSize, shuffles: shuffles, seed: seed)
    let loop = RunLoop(
      folder: folder, record: record, keeping: keeping, policy: policy, total: steps, baseName: baseName,
      hasSamples: false)
    return try loop.run(Steps(run: self, trainer: trainer), observer, finish: finish)
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
        "seconds/step": seconds, "peak_mebibytes": Double(run.model.backend.peakBytes) / 1_048_576,
      ]
      metrics.merge(try run.afterStep(trainer))
      return SteppedResult(metrics: metrics)
    }

    func state() -> TrainingState { TrainingState(step: trainer.step) }

    func resume(_ state: TrainingState, path: String) { trainer.resume(at: state.step) }
  }

  private func finish() throws(Failure) {
    if let adapter = policySettings.adapter {
      try model.saveAdapter(adapter, baseModel: baseName, to: folder.adapter)
    } else {
      try model.export(to: folder.model, source: source, kind: modelKind, chatTemplate: ChatTemplate().jinja, replaces: true)
      try finishModel(folder.model)
    }
  }
}
