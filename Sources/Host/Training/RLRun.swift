import Compute
import Foundations
import PluginHost
import Tasks
import Telemetry
import Tokenization
import Transformer

/// A reinforcement learning run from its first step to its finished adapter or model.
package struct RLRun {
  package let model: Transformer
  package let source: ModelFolder
  package let policySettings: PolicySettings
  package let settings: RLSettings
  package let plugin: PluginInstance
  package let task: RLTask
  /// Text of a completion, for the samples.
  package let text: ([Int32]) throws -> String
  /// The question at an index, for the samples.
  package let question: (Int) -> String
  package let folder: RunFolder
  package let record: RunRecord
  package let keeping: RunKeeping
  package let baseName: String
  /// The policy the run begins with, for plugins that measure a divergence from it.
  package let reference: ReferencePolicy?
  /// Called after each step, with the model as it is now.
  package var afterStep: (Int) throws(Failure) -> Metrics = { _ in [:] }

  package init(
    model: Transformer, source: ModelFolder, policy: PolicySettings, settings: RLSettings, plugin: PluginInstance,
    task: RLTask, text: @escaping ([Int32]) throws -> String,
    question: @escaping (Int) -> String, reference: ReferencePolicy?, folder: RunFolder, record: RunRecord,
    keeping: RunKeeping, baseName: String
  ) {
    self.model = model
    self.source = source
    policySettings = policy
    self.settings = settings
    self.plugin = plugin
    self.task = task
    self.text = text
    self.question = question
    self.reference = reference
    self.folder = folder
    self.record = record
    self.keeping = keeping
    self.baseName = baseName
  }

  private var library: PluginLibrary { plugin.library }

  package func run(_ observer: any RunObserver) throws(Failure) -> RunOutcome {
    try folder.open(record.description, identity: record.identity, resuming: keeping.resumes)
    let policy = try Policy(model, policySettings, critic: plugin.needs.contains(.critic))
    let trainer = RLTrainer(
      policy, reference: reference, plugin: plugin, task: task, settings: settings)
    let checkpoints = CheckpointStore(run: folder.path)
    if keeping.resumes, let newest = try checkpoints.newest() {
      let state = try TrainingState(from: checkpoints.path(step: newest), into: policy)
      try restorePlugin(state, path: checkpoints.path(step: newest))
      trainer.resume(step: state.step, cursor: state.cursor)
    }
    let clock = Stopwatch()
    var log = try folder.metricLog(stage: record.stage, after: trainer.step, resuming: keeping.resumes)
    var samples = try folder.sampleLog(stage: record.stage, after: trainer.step, resuming: keeping.resumes)
    let secondsBefore = folder.secondsBefore(resuming: keeping.resumes)
    var sinks = keeping.monitoring.open(
      folder.path, stage: record.stage, after: trainer.step, resuming: keeping.resumes, warn: observer.warn)
    defer { sinks.close(finished: trainer.step >= settings.steps) }
    observer.begin(stage: record.stage, total: settings.steps, resumedAt: trainer.step)
    /// What the records and sinks of the step before took.
    var loggingSeconds = 0.0
    var saved = trainer.step
    var sinceCheckpoint = Stopwatch()
    /// Where the last whole step left the run.
    var boundary = try state(of: trainer)
    func checkpoint() throws(Failure) {
      guard saved != boundary.step else { return }
      try log.sync()
      try samples.sync()
      try checkpoints.write(step: boundary.step) { temporary throws(Failure) in
        try boundary.write(to: temporary, policy: policy)
        if let adapter = policySettings.adapter {
          try model.saveAdapter(adapter, baseModel: baseName, to: temporary + "/adapter")
        }
      }
      saved = boundary.step
      sinceCheckpoint = Stopwatch()
    }
    while trainer.step < settings.steps {
      let updates = policy.updates
      let result: RLStepResult
      do throws(Failure) {
        result = try trainer.trainStep()
      } catch {
        // Within a step, only the policy that no update of it has touched is that of the step before.
        if policy.updates == updates { try? checkpoint() }
        throw error.after(step: saved, of: trainer.step)
      }
      boundary = try state(of: trainer)
      var metrics = result.metrics
      metrics.merge(try afterStep(trainer.step))
      metrics["seconds/logging"] = loggingSeconds
      let watch = Stopwatch()
      let step = try StepRecord(
        MetricRecord(
          stage: record.stage, step: trainer.step, elapsed: secondsBefore + clock.seconds, metrics: metrics),
        samples: keeping.monitoring.samples(step: trainer.step) ? self.samples(of: result) : [],
        distributions: result.distributions)
      try log.append(step)
      try samples.append(step)
      sinks.write(step)
      loggingSeconds = watch.seconds
      observer.completed(RunStep(stage: record.stage, step: trainer.step, total: settings.steps, metrics: metrics))
      let stops = observer.isStopRequested || trainer.step == keeping.stopAfter
      if stops, trainer.step < settings.steps {
        try checkpoint()
        observer.end(stage: record.stage)
        return .interrupted(step: trainer.step)
      }
      if trainer.step % keeping.checkpointEvery == 0 || sinceCheckpoint.seconds > 60 * keeping.checkpointMinutes {
        try checkpoint()
      }
    }
    try checkpoint()
    if let adapter = policySettings.adapter {
      try model.saveAdapter(adapter, baseModel: baseName, to: folder.adapter)
    } else {
      try model.export(to: folder.model, source: source, kind: .float32, chatTemplate: ChatTemplate().jinja, replaces: true)
    }
    observer.end(stage: record.stage)
    return .finished
  }

  private func state(of trainer: RLTrainer) throws(Failure) -> TrainingState {
    var state = TrainingState(step: trainer.step)
    state.cursor = trainer.cursor
    state.pluginID = library.id
    state.pluginVersion = library.descriptor.version
    state.pluginDigest = library.sha256
    state.pluginStateVersion = library.descriptor.stateVersion
    state.pluginState = try plugin.save()
    return state
  }

  private func restorePlugin(_ state: TrainingState, path: String) throws(Failure) {
    guard state.pluginID == library.id else {
      throw .badData("\(path): was made with the plugin \(state.pluginID ?? "none"), now it is \(library.id)")
    }
    guard state.pluginStateVersion == library.descriptor.stateVersion else {
      throw .badData(
        "\(path): the plugin's state has version \(state.pluginStateVersion ?? 0), \(library.id) now has \(library.descriptor.stateVersion)")
    }
    if let bytes = state.pluginState { try plugin.restore(bytes) }
  }
}
