import Compute
import Rollouts
import Support
import Tokenization
import Transformer

/// The model that a run trains, and what its passes share: the memory of a step, and the engine that draws completions.
package struct RunModel {
  package let model: Transformer
  /// The adapter that is trained; nil trains every parameter.
  package let adapter: Adapter?
  /// The folder it came from; nil for one that was made.
  package let source: ModelFolder?
  package private(set) var policy: PolicySettings
  /// What the base model is called in the adapter's settings.
  package let baseName: String
  /// How a wholly trained model is written.
  package var format = WeightFormat.float32
  /// How the model is prompted, which a finished model's folder says.
  package var form = PromptForm.qwen
  package let arena: Arena
  package let engine: GenerationEngine

  /// - Parameter arenaBytes: what a step takes, as a plan says; 0 takes what is needed as it is needed.
  package init(
    _ model: Transformer, adapter: Adapter?, from source: ModelFolder?, _ policy: PolicySettings, baseName: String,
    arenaBytes: Int = 0
  ) throws(Failure) {
    self.model = model
    self.adapter = adapter
    arena = try Arena(on: model.backend, byteCount: arenaBytes)
    engine = GenerationEngine(model, in: arena)
    self.source = source
    self.policy = policy
    self.baseName = baseName
  }

  /// Where a run's result stands: the adapter, or the whole model where every parameter is trained.
  package func result(in folder: RunFolder) -> String { adapter == nil ? folder.model : folder.adapter }

  /// Writes what is trained as it is now.
  package func write(to path: String) throws(Failure) {
    if let adapter { return try adapter.save(baseModel: baseName, to: path) }
    try model.export(ModelExport(source: source, format: format, chatTemplate: form.jinja), to: path, replaces: true)
  }

  /// What is trained as it is at any time.
  package var acting: PolicySnapshot { PolicySnapshot(model, adapter: adapter?.weights) }

  /// The policy as it is now, frozen, to measure a divergence from: the adapter's copy, or the model as it is in the folder it came from,
  /// where every parameter is trained.
  package func reference() throws(Failure) -> ReferencePolicy {
    if let adapter { return ReferencePolicy(PolicySnapshot(model, adapter: try adapter.frozen()), in: arena) }
    guard let source else { throw .internalError("a reference of a model that came from no folder") }
    let second = try Transformer(
      model.architecture.training(.nothing), source: .folder(source), endOfText: model.endOfText, on: model.backend)
    return ReferencePolicy(PolicySnapshot(second), in: arena)
  }

  /// The same with other settings of its training.
  package func with(_ policy: PolicySettings) -> RunModel {
    var copy = self
    copy.policy = policy
    return copy
  }

  /// What of it is trained, ready for updates.
  package func makePolicy(critic: Bool = false) throws(Failure) -> Policy {
    try Policy(model, adapter: adapter, policy, critic: critic, in: arena)
  }
}
