import Compute
import PluginHost
import Support
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

  package func run(_ observer: any RunObserver) throws(Failure) -> RunOutcome {
    try folder.open(record, resuming: keeping.resumes)
    let policy = try Policy(model, policySettings, critic: plugin.needs.contains(.critic))
    let trainer = RLTrainer(policy, reference: reference, plugin: plugin, task: task, settings: settings)
    let loop = RunLoop(
      folder: folder, record: record, keeping: keeping, policy: policy, total: settings.steps, baseName: baseName,
      hasSamples: true)
    return try loop.run(Steps(run: self, trainer: trainer), observer) { () throws(Failure) in
      if let adapter = policySettings.adapter {
        try model.saveAdapter(adapter, baseModel: baseName, to: folder.adapter)
      } else {
        try model.export(to: folder.model, source: source, kind: .float32, chatTemplate: ChatTemplate().jinja, replaces: true)
      }
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
      return SteppedResult(metrics: metrics, samples: { [run] in run.samples(of: result) }, distributions: result.distributions)
    }

    func state() throws(Failure) -> TrainingState {
      let library = run.plugin.library
      var state = TrainingState(step: trainer.step)
      state.cursor = trainer.cursor
      state.pluginID = library.id
      state.pluginVersion = library.descriptor.version
      state.pluginDigest = library.sha256
      state.pluginStateVersion = library.descriptor.stateVersion
      state.pluginState = try run.plugin.save()
      return state
    }

    func resume(_ state: TrainingState, path: String) throws(Failure) {
      let library = run.plugin.library
      guard state.pluginID == library.id else {
        throw .badData("\(path): was made with the plugin \(state.pluginID ?? "none"), now it is \(library.id)")
      }
      guard state.pluginStateVersion == library.descriptor.stateVersion else {
        throw .badData(
          "\(path): the plugin's state has version \(state.pluginStateVersion ?? 0), \(library.id) now has \(library.descriptor.stateVersion)")
      }
      if let bytes = state.pluginState { try run.plugin.restore(bytes) }
      trainer.resume(step: state.step, cursor: state.cursor)
    }
  }
}
