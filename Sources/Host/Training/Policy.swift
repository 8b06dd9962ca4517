import Compute
import Support
import Transformer

/// Whether a forward keeps the inputs of blocks alone, and the backward computes the rest again: no result changes.
package enum Checkpointing: String, Sendable, CaseIterable {
  /// Where everything would not fit into memory.
  case auto
  case on, off
}

/// How a run trains its model: how far each update goes, and how much goes through the model at once.
package struct PolicySettings: Sendable, Equatable {
  package var learningRate = 2e-5
  package var weightDecay = 0.01
  package var maximumGradientNorm = 1.0
  package var schedule = LearningRateSchedule(shape: .constant, warmupSteps: 0, totalSteps: 1)
  /// Rows of one forward and backward; nil chooses by memory.
  package var microBatchRows: Int?
  package var checkpointing = Checkpointing.auto
  /// Bytes that a copy of a whole model's values and moments may take at each step; nil: what ``MemoryBudget`` has for it.
  package var copyBudget: Int?
  /// The critic's own learning rate.
  package var valueLearningRate = 1e-4

  package init() {}
}

/// A model under training: what of it is trained, its optimiser, and the memory that its steps run in.
package final class Policy {
  package let model: Transformer
  /// The adapter that is trained; nil trains the model itself.
  package let adapter: Adapter?
  package let head: LossHead
  package let valueHead: ValueHead?
  package let settings: PolicySettings
  package let arena: Arena
  package let limits: PolicyLimits
  let gradients: Gradients
  /// Asked before each micro-batch; what an update has changed by then is taken back.
  var isStopRequested: () -> Bool = { false }
  private let optimizer: Optimizer

  /// - Parameter arena: what steps run in; nil grows one as needed.
  package init(
    _ model: Transformer, adapter: Adapter?, _ settings: PolicySettings, critic: Bool = false, in arena: Arena? = nil
  ) throws(Failure) {
    self.model = model
    self.adapter = adapter
    self.settings = settings
    let backend = model.backend
    self.arena = if let arena { arena } else { try Arena(on: backend) }
    head = LossHead(model)
    gradients = try Gradients(model, adapter: adapter)
    var groups: [Optimizer.Group] = []
    if let store = adapter?.store ?? model.store {
      groups.append(
        Optimizer.Group(store, AdamWSettings(learningRate: settings.learningRate, weightDecay: settings.weightDecay)))
    }
    var valueHead: ValueHead?
    if critic {
      let made = try ValueHead(hiddenSize: model.configuration.hiddenSize, on: backend)
      groups.append(
        Optimizer.Group(
          made.store, AdamWSettings(learningRate: settings.valueLearningRate, weightDecay: settings.weightDecay)))
      valueHead = made
    }
    self.valueHead = valueHead
    optimizer = try Optimizer(groups, on: backend)
    limits = PolicyLimits(model.architecture, adapter: adapter?.settings, settings, on: backend)
  }

  package var microBatchRows: Int { limits.microBatchRows }
  /// Updates made so far.
  package var updates: Int { optimizer.step }
  /// The policy as it is now: good until the next update.
  package var current: PolicySnapshot { PolicySnapshot(model, adapter: adapter?.weights, version: updates) }

  package func beginUpdate() {
    gradients.begin()
    if let valueHead { model.backend.zero(valueHead.store.gradients) }
  }

  package func forward(_ batch: TokenBatch) throws(Failure) -> ForwardPass {
    try current.forward(batch, retaining: limits.retention, in: arena)
  }

  /// Clips and steps; returns the gradient norm before clipping and the learning rate used.
  package func finishUpdate() throws(Failure) -> (gradientNorm: Double, learningRate: Double) {
    gradients.finish()
    let factor = settings.schedule.factor(step: optimizer.step)
    let norm = try optimizer.update(maximumNorm: settings.maximumGradientNorm, rate: factor)
    guard norm.isFinite else {
      throw .internalError(
        "update \(optimizer.step + 1): the gradient is not finite; nothing was changed. Try a smaller --lr or a larger --warmup-steps"
      )
    }
    return (norm, settings.learningRate * factor)
  }

  /// Whether there is room for a copy of values and moments at each step, to which an error within the step goes back. For an
  /// adapter there always is.
  package var keepsSnapshot: Bool { limits.keepsSnapshot }
  /// Values and moments as they are now, and back to them.
  package func snapshot() throws(Failure) -> Optimizer.Snapshot { try optimizer.snapshot() }
  package func restore(_ snapshot: Optimizer.Snapshot) { optimizer.restore(snapshot) }

  /// What a checkpoint holds of it.
  package var parts: [SafetensorsStream.Part] { optimizer.parts }
  /// The digests of what a checkpoint holds, with what stands there beside values and moments.
  func digests(beside more: [(name: String, bytes: [UInt8])]) throws(Failure) -> (weights: Digest, state: Digest) {
    try optimizer.digests(more)
  }
  package func restore(from file: SafetensorsFile) throws(Failure) { try optimizer.restore(from: file) }
}
