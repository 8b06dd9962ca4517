import Compute
import Foundations
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
    try folder.open(record.description, identity: record.identity, resuming: keeping.resumes)
    let policy = try Policy(model, policySettings)
    let trainer = SFTTrainer(policy, sequences: sequences, batchSize: batchSize, shuffles: shuffles, seed: seed)
    let checkpoints = CheckpointStore(run: folder.path)
    if keeping.resumes, let newest = try checkpoints.newest() {
      let state = try TrainingState(from: checkpoints.path(step: newest), into: policy)
      trainer.resume(at: state.step)
    }
    let clock = Stopwatch()
    var log = try folder.metricLog(stage: record.stage, after: trainer.step, resuming: keeping.resumes)
    let secondsBefore = folder.secondsBefore(resuming: keeping.resumes)
    var sinks = keeping.monitoring.open(
      folder.path, stage: record.stage, after: trainer.step, resuming: keeping.resumes, warn: observer.warn)
    defer { sinks.close(finished: trainer.step >= steps) }
    observer.begin(stage: record.stage, total: steps, resumedAt: trainer.step)
    var saved = trainer.step
    var sinceCheckpoint = Stopwatch()
    func checkpoint() throws(Failure) {
      guard saved != trainer.step else { return }
      try log.sync()
      try checkpoints.write(step: trainer.step) { temporary throws(Failure) in
        try TrainingState(step: trainer.step).write(to: temporary, policy: policy)
        if let adapter = policySettings.adapter {
          try model.saveAdapter(adapter, baseModel: baseName, to: temporary + "/adapter")
        }
      }
      saved = trainer.step
      sinceCheckpoint = Stopwatch()
    }
    while trainer.step < steps {
      let watch = Stopwatch()
      let result: SFTTrainer.StepResult
      do throws(Failure) {
        result = try trainer.trainStep()
      } catch {
        // An update is one whole step: an error leaves the policy as the step before did.
        try? checkpoint()
        throw error.after(step: saved, of: trainer.step)
      }
      let seconds = watch.seconds
      let metrics: Metrics = [
        "loss": result.loss, "gradient_norm": result.gradientNorm, "learning_rate": result.learningRate,
        "tokens": Double(result.predictedTokens), "training_tokens_per_second": Double(result.rows) / max(1e-9, seconds),
        "seconds/step": seconds, "peak_mebibytes": Double(model.backend.peakBytes) / 1_048_576,
      ]
      let step = try StepRecord(
        MetricRecord(
          stage: record.stage, step: trainer.step, elapsed: secondsBefore + clock.seconds, metrics: metrics))
      try log.append(step)
      sinks.write(step)
      observer.completed(RunStep(stage: record.stage, step: trainer.step, total: steps, metrics: metrics))
      let stops = observer.isStopRequested || trainer.step == keeping.stopAfter
      if stops, trainer.step < steps {
        try checkpoint()
        observer.end(stage: record.stage)
        return .interrupted(step: trainer.step)
      }
      if trainer.step % keeping.checkpointEvery == 0 || sinceCheckpoint.seconds > 60 * keeping.checkpointMinutes {
        try checkpoint()
      }
    }
    try checkpoint()
    try finish()
    observer.end(stage: record.stage)
    return .finished
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
