internal import CPluginAPI
import Support

/// A rollout in guarded memory with the outputs of `select` and `advantages`, for any number of calls.
@safe final class RolloutCall {
  let rollout: PluginRollout
  let memory: CallMemory
  let raw: UnsafeMutablePointer<nr_rollout>
  let keep: GuardedBlock
  let advantages: GuardedBlock
  let returns: GuardedBlock?
  let counted: GuardedBlock
  let metrics: GuardedBlock
  let result: UnsafeMutablePointer<nr_advantages>
  let error: UnsafeMutablePointer<nr_error>

  /// What a host sends otherwise than this one.
  struct Foreign {
    var rolloutBytes: Int?
    var resultBytes: Int?
  }

  /// - Parameter isSelection: whether it is for `select`, which sees rewards but no log-probabilities.
  init(
    _ rollout: PluginRollout, _ instance: CheckInstance, isSelection: Bool = false, _ guards: Guards = .usual,
    foreign: Foreign = Foreign()
  ) throws(Failure) {
    self.rollout = rollout
    var memory = CallMemory(guards)
    let raw = unsafe try nr_rollout(isSelection ? rollout.forSelection : rollout.limited(to: instance.needs), &memory)
    unsafe self.raw = try memory.structure("nr_rollout", raw, byteCount: foreign.rolloutBytes, isInput: true)
    keep = try memory.output("keep", byteCount: rollout.groupCount)
    let bytes = rollout.tokenCount * MemoryLayout<Float>.stride
    advantages = try memory.output("advantages", byteCount: bytes)
    returns = instance.needs.contains(.critic) ? try memory.output("returns", byteCount: bytes) : nil
    counted = try memory.output("counted", byteCount: rollout.sequenceCount)
    metrics = try memory.output("metrics", byteCount: instance.metricCount * MemoryLayout<nr_value>.stride)
    var result = unsafe nr_advantages()
    unsafe result.advantages = advantages.start.assumingMemoryBound(to: Float.self)
    unsafe result.returns = returns?.start.assumingMemoryBound(to: Float.self)
    unsafe result.counted = counted.start.assumingMemoryBound(to: UInt8.self)
    unsafe self.result = try memory.structure("nr_advantages", result, byteCount: foreign.resultBytes, isInput: false)
    unsafe error = try memory.structure("nr_error", nr_error(), isInput: false)
    self.memory = memory
    memory.seal()
  }

  func prepare(_ prefill: Float = CallMemory.unwritten) {
    advantages.fill(prefill)
    returns?.fill(prefill)
    counted.fill(UInt8(1))
    metrics.fill(UInt8(0))
    unsafe error.pointee.message.0 = 0
  }
}
