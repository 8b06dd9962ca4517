internal import CPluginAPI

/// C function pointers cannot be generic, so they go through two small class hierarchies.
@safe class Factory {
  let descriptor: Descriptor
  let table: UnsafePointer<nr_plugin>
  let stoppedGradients: UnsafePointer<nr_stopped_gradients>

  init(_ descriptor: Descriptor) {
    self.descriptor = descriptor
    let stoppedGradients = UnsafeMutablePointer<nr_stopped_gradients>.allocate(capacity: 1)
    unsafe stoppedGradients.initialize(
      to: nr_stopped_gradients(
        struct_size: UInt32(MemoryLayout<nr_stopped_gradients>.size),
        inputs: { pointer in
          guard let pointer = unsafe pointer else { return 0 }
          return unsafe Unmanaged<Instance>.fromOpaque(pointer).takeUnretainedValue().stoppedGradients.rawValue
        }))
    unsafe self.stoppedGradients = UnsafePointer(stoppedGradients)
    let table = UnsafeMutablePointer<nr_plugin>.allocate(capacity: 1)
    unsafe table.initialize(to: makeTable(descriptor))
    unsafe self.table = UnsafePointer(table)
  }

  func make(_ settings: Settings) throws(PluginError) -> Instance { throw .internalError("no plugin is exported") }
}

final class LossFactory<Plugin: LossPlugin>: Factory {
  override func make(_ settings: Settings) throws(PluginError) -> Instance {
    LossInstance(try Plugin(settings), descriptor)
  }
}

final class TapedFactory<Plugin: TapedLossPlugin>: Factory {
  override func make(_ settings: Settings) throws(PluginError) -> Instance {
    TapedInstance(try Plugin(settings), descriptor)
  }
}

class Instance {
  let descriptor: Descriptor
  init(_ descriptor: Descriptor) { self.descriptor = descriptor }

  var needs: Needs { [] }
  var stoppedGradients: StoppedGradients { [] }
  func select(_ rollout: Rollout, _ keep: Selection) throws(PluginError) {}
  func advantages(_ rollout: Rollout, _ result: Advantages, _ metrics: Metrics) throws(PluginError) {}
  func loss(_ batch: Batch, _ gradients: Gradients, _ metrics: Metrics) throws(PluginError) -> Double { 0 }
  func save() -> [UInt8] { [] }
  func restore(_ bytes: Values<UInt8>) throws(PluginError) {}
}

class AlgorithmInstance<Plugin: Algorithm>: Instance {
  var plugin: Plugin

  init(_ plugin: Plugin, _ descriptor: Descriptor) {
    self.plugin = plugin
    super.init(descriptor)
  }

  override var needs: Needs { plugin.needs }
  override var stoppedGradients: StoppedGradients { plugin.stoppedGradients }

  override func select(_ rollout: Rollout, _ keep: Selection) throws(PluginError) {
    try plugin.select(rollout, keep: keep)
  }

  override func advantages(_ rollout: Rollout, _ result: Advantages, _ metrics: Metrics) throws(PluginError) {
    try plugin.advantages(rollout, into: result, metrics: metrics)
  }

  override func save() -> [UInt8] { plugin.save() }
  override func restore(_ bytes: Values<UInt8>) throws(PluginError) { try plugin.restore(bytes) }
}

final class LossInstance<Plugin: LossPlugin>: AlgorithmInstance<Plugin> {
  override func loss(_ batch: Batch, _ gradients: Gradients, _ metrics: Metrics) throws(PluginError) -> Double {
    try plugin.loss(batch, into: gradients, metrics: metrics)
  }
}

final class TapedInstance<Plugin: TapedLossPlugin>: AlgorithmInstance<Plugin> {
  private let recording = Recording()

  override func loss(_ batch: Batch, _ gradients: Gradients, _ metrics: Metrics) throws(PluginError) -> Double {
    let tape = try Tape(batch, metrics, recording)
    defer { tape.close() }
    let loss = try plugin.loss(tape)
    return try tape.differentiate(loss, into: gradients, stopping: plugin.stoppedGradients)
  }
}
