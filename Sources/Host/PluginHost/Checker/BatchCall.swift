internal import CPluginAPI
import Support

/// A micro-batch in guarded memory with the outputs of `loss`, for any number of calls; one input may be moved between them.
@safe final class BatchCall {
  /// An input by which a loss has a derivative.
  enum Input: String, CaseIterable {
    case current, entropy, values
  }

  let batch: PluginBatch
  let memory: CallMemory
  let raw: UnsafeMutablePointer<nr_batch>
  let dCurrent: GuardedBlock
  let dEntropy: GuardedBlock?
  let dValues: GuardedBlock?
  let metrics: GuardedBlock
  let result: UnsafeMutablePointer<nr_gradients>
  let error: UnsafeMutablePointer<nr_error>

  struct Foreign {
    var batchBytes: Int?
    var resultBytes: Int?
  }

  init(
    _ batch: PluginBatch, _ instance: CheckInstance, _ guards: Guards = .usual, foreign: Foreign = Foreign()
  ) throws(Failure) {
    self.batch = batch
    var memory = CallMemory(guards)
    let needs = instance.needs
    let critic = needs.contains(.critic)
    let raw = unsafe try nr_batch(batch.limited(to: needs), &memory)
    unsafe self.raw = try memory.structure("nr_batch", raw, byteCount: foreign.batchBytes, isInput: true)
    let bytes = batch.tokenCount * MemoryLayout<Float>.stride
    dCurrent = try memory.output("d_current", byteCount: bytes)
    dEntropy = needs.contains(.entropy) ? try memory.output("d_entropy", byteCount: bytes) : nil
    dValues = critic ? try memory.output("d_values", byteCount: bytes) : nil
    metrics = try memory.output("metrics", byteCount: instance.metricCount * MemoryLayout<nr_value>.stride)
    var result = unsafe nr_gradients()
    unsafe result.d_current = dCurrent.start.assumingMemoryBound(to: Float.self)
    unsafe result.d_entropy = dEntropy?.start.assumingMemoryBound(to: Float.self)
    unsafe result.d_values = dValues?.start.assumingMemoryBound(to: Float.self)
    unsafe self.result = try memory.structure("nr_gradients", result, byteCount: foreign.resultBytes, isInput: false)
    unsafe error = try memory.structure("nr_error", nr_error(), isInput: false)
    self.memory = memory
    memory.seal()
  }

  /// What the last call left.
  var loss: Double { unsafe result.pointee.loss }

  func prepare(_ prefill: Float = CallMemory.unwritten) {
    dCurrent.fill(prefill)
    dEntropy?.fill(prefill)
    dValues?.fill(prefill)
    metrics.fill(UInt8(0))
    if memory.outputs.contains(where: { $0.name == "nr_gradients" && $0.byteCount >= 16 }) {
      unsafe result.pointee.loss = Double(prefill)
    }
    unsafe error.pointee.message.0 = 0
  }

  /// Puts another number in the place of one token's.
  func set(_ input: Input, _ token: Int, _ value: Float) { set(input.rawValue, token, value) }

  /// The same by the input's name; nothing where the batch has no such input.
  func set(_ name: String, _ token: Int, _ value: Float) {
    guard let block = memory.inputs.first(where: { $0.name == name }) else { return }
    block.seal(false)
    unsafe block.start.storeBytes(of: value, toByteOffset: token * MemoryLayout<Float>.stride, as: Float.self)
    block.seal()
  }
}
