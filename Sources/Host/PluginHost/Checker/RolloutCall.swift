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
    var raw = unsafe nr_rollout()
    unsafe raw.group_count = UInt32(rollout.groupCount)
    unsafe raw.sequence_count = UInt32(rollout.sequenceCount)
    unsafe raw.reward_count = UInt32(rollout.rewardNames.count)
    unsafe raw.token_count = Int64(rollout.tokenCount)
    unsafe raw.step = UInt64(rollout.step)
    unsafe raw.total_steps = UInt64(rollout.totalSteps)
    unsafe raw.seed = rollout.seed
    unsafe raw.token_limit = Int64(rollout.tokenLimit)
    unsafe raw.group_keys = try memory.input("group_keys", rollout.groupKeys)
    unsafe raw.group_offsets = try memory.input("group_offsets", rollout.groupOffsets.map { Int64($0) })
    unsafe raw.token_offsets = try memory.input("token_offsets", rollout.tokenOffsets.map { Int64($0) })
    unsafe raw.rewards = try memory.input("rewards", rollout.rewards)
    unsafe raw.reward_parts = try memory.input("reward_parts", rollout.rewardParts)
    var names: [UnsafePointer<CChar>?] = unsafe []
    for name in rollout.rewardNames { unsafe names.append(try memory.input("reward_names", name.utf8CString.map { $0 })) }
    let addresses = unsafe try memory.input("reward_names", names.map { UInt(bitPattern: $0) })
    unsafe raw.reward_names = UnsafeRawPointer(addresses).assumingMemoryBound(to: UnsafePointer<CChar>?.self)
    unsafe raw.sequence_flags = try memory.input("sequence_flags", rollout.sequenceFlags)
    if !isSelection {
      unsafe raw.old = try memory.input("old", ifAny: rollout.old)
      let needs = instance.needs
      unsafe raw.reference = try memory.input("reference", ifAny: needs.contains(.reference) ? rollout.reference : nil)
      unsafe raw.values = try memory.input("values", ifAny: needs.contains(.critic) ? rollout.values : nil)
    }
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
