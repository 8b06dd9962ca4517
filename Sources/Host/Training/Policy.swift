import Compute
import Support
import Transformer

/// How a run trains its model: what is trained, how far each update goes.
package struct PolicySettings: Sendable, Equatable {
  /// nil trains every parameter.
  package var adapter: AdapterSettings? = AdapterSettings()
  package var learningRate = 2e-5
  package var weightDecay = 0.01
  package var maximumGradientNorm = 1.0
  package var schedule = LearningRateSchedule(shape: .constant, warmupSteps: 0, totalSteps: 1)
  /// Rows of one forward and backward; nil chooses by memory.
  package var microBatchRows: Int?
  /// nil checkpoints where the activations of a micro-batch would not fit.
  package var gradientCheckpointing: Bool?
  /// Bytes that a copy of a whole model's values and moments may take at each step; nil: a quarter of the machine's memory.
  package var copyBudget: Int?
  /// The critic's own learning rate.
  package var valueLearningRate = 1e-4

  package init() {}
}

/// A model under training: its parameters, its optimiser, and how a batch goes through it.
package final class Policy {
  package let model: Transformer
  package let head: LossHead
  package let valueHead: ValueHead?
  package let settings: PolicySettings
  package let microBatchRows: Int
  /// Whether there is room for a copy of values and moments at each step, to which an error within the step goes back. For an
  /// adapter there always is.
  package let keepsSnapshot: Bool
  private let retention: Retention
  private let optimizer: Optimizer
  private static let activationBudget = 3 << 30

  package init(_ model: Transformer, _ settings: PolicySettings, critic: Bool = false) throws(Failure) {
    self.model = model
    self.settings = settings
    head = LossHead(model)
    let backend = model.backend
    var groups = [
      Optimizer.Group(
        model.parameters, AdamWSettings(learningRate: settings.learningRate, weightDecay: settings.weightDecay))
    ]
    var valueHead: ValueHead?
    if critic {
      let made = try ValueHead(hiddenSize: model.configuration.hiddenSize, on: backend)
      groups.append(
        Optimizer.Group(
          made.parameters, AdamWSettings(learningRate: settings.valueLearningRate, weightDecay: settings.weightDecay)))
      valueHead = made
    }
    self.valueHead = valueHead
    optimizer = try Optimizer(groups, on: backend)
    keepsSnapshot = Self.keepsSnapshot(model, settings)
    let rowBytes = 4 * BlockMemory.valuesPerRow(model.configuration)
    let affordable = Self.activationBudget / max(1, rowBytes)
    microBatchRows = settings.microBatchRows ?? max(256, min(4096, affordable))
    let checkpoints = settings.gradientCheckpointing ?? (affordable < microBatchRows)
    retention = checkpoints ? .checkpoints : .everything
  }

  /// About how many bytes a run takes: weights, what is trained with its gradient and two moments, their copy at each step, and the
  /// rows of one micro-batch.
  package static func estimatedBytes(_ model: Transformer, _ settings: PolicySettings) -> Int {
    let width = model.head.kind == .float32 ? 4 : 2
    let trained = trainedCount(model)
    let copy = keepsSnapshot(model, settings) ? snapshotBytes(model) : 0
    let rowBytes = 4 * BlockMemory.valuesPerRow(model.configuration)
    let rows = settings.microBatchRows ?? max(256, min(4096, activationBudget / max(1, rowBytes)))
    return model.configuration.parameterCount * width + trained * 16 + copy + rows * rowBytes
  }

  /// Bytes of values and both moments.
  static func snapshotBytes(_ model: Transformer) -> Int { 12 * trainedCount(model) }

  static func trainedCount(_ model: Transformer) -> Int { model.parameters.reduce(0) { $0 + $1.count } }

  /// An adapter's copy is always kept, a whole model's where the budget allows.
  package static func keepsSnapshot(_ model: Transformer, _ settings: PolicySettings) -> Bool {
    settings.adapter != nil || snapshotBytes(model) <= settings.copyBudget ?? physicalMemory() / 4
  }

  /// Updates made so far.
  package var updates: Int { optimizer.step }

  package func beginUpdate() {
    optimizer.zeroGradients()
    model.beginGradients()
  }

  package func forward(_ batch: TokenBatch) throws(Failure) -> ForwardPass {
    try model.forward(batch, retaining: retention)
  }

  /// Clips and steps; returns the gradient norm before clipping and the learning rate used.
  package func finishUpdate() throws(Failure) -> (gradientNorm: Double, learningRate: Double) {
    model.finishGradients()
    let factor = settings.schedule.factor(step: optimizer.step)
    let norm = try optimizer.update(maximumNorm: settings.maximumGradientNorm, rate: factor)
    guard norm.isFinite else {
      throw .internalError(
        "update \(optimizer.step + 1): the gradient is not finite; nothing was changed. Try a smaller --lr or a larger --warmup-steps"
      )
    }
    return (norm, settings.learningRate * factor)
  }

  /// Values and moments as they are now, and back to them.
  package func snapshot() throws(Failure) -> Optimizer.Snapshot { try optimizer.snapshot() }
  package func restore(_ snapshot: Optimizer.Snapshot) { optimizer.restore(snapshot) }

  package func save(to writer: inout SafetensorsWriter) throws(Failure) { try optimizer.save(to: &writer) }
  package func restore(from file: SafetensorsFile) throws(Failure) { try optimizer.restore(from: file) }
}

/// What a row of a batch costs in a forward that keeps everything.
enum BlockMemory {
  /// Float32 values per row over all layers, with the adapters' and the backward's share.
  static func valuesPerRow(_ configuration: ModelConfiguration) -> Int {
    let heads = configuration.heads
    let block =
      4 * configuration.hiddenSize + 2 * heads.channels * (heads.queryHeads + heads.keyValueHeads)
      + 3 * configuration.intermediateSize + 7 * 16
    return configuration.layerCount * block
  }
}
