internal import CPluginAPI
import Support

/// Memory that a call's inputs are copied to, so that a plugin cannot change the host's.
protocol PluginInputs: ~Copyable {
  /// A copy of an array; never NULL, however short.
  mutating func input<Element: BitwiseCopyable>(_ name: String, _ values: [Element]) throws(Failure) -> UnsafePointer<Element>
}

extension PluginInputs where Self: ~Copyable {
  fileprivate mutating func input<Element: BitwiseCopyable>(
    _ name: String, ifAny values: [Element]?
  ) throws(Failure) -> UnsafePointer<Element>? {
    guard let values else { return nil }
    return unsafe try input(name, values)
  }

  fileprivate mutating func input(_ name: String, offsets: [Int]) throws(Failure) -> UnsafePointer<Int64> {
    unsafe try input(name, offsets.map { Int64($0) })
  }

  fileprivate mutating func input(_ name: String, texts: [String]) throws(Failure) -> UnsafePointer<UnsafePointer<CChar>?> {
    var addresses: [UInt] = []
    for text in texts { addresses.append(UInt(bitPattern: unsafe try input(name, text.utf8CString.map { $0 }))) }
    return unsafe UnsafeRawPointer(try input(name, addresses)).assumingMemoryBound(to: UnsafePointer<CChar>?.self)
  }
}

// The two structures that plugins read, for the program and for its checker.

extension nr_rollout {
  init(_ rollout: PluginRollout, _ memory: inout some PluginInputs & ~Copyable) throws(Failure) {
    unsafe self.init()
    unsafe struct_size = UInt32(MemoryLayout<nr_rollout>.size)
    unsafe group_count = UInt32(rollout.groupCount)
    unsafe sequence_count = UInt32(rollout.sequenceCount)
    unsafe reward_count = UInt32(rollout.rewardNames.count)
    unsafe token_count = Int64(rollout.tokenCount)
    unsafe step = UInt64(rollout.step)
    unsafe total_steps = UInt64(rollout.totalSteps)
    unsafe seed = rollout.seed
    unsafe token_limit = Int64(rollout.tokenLimit)
    unsafe group_keys = try memory.input("group_keys", rollout.groupKeys)
    unsafe group_offsets = try memory.input("group_offsets", offsets: rollout.groupOffsets)
    unsafe token_offsets = try memory.input("token_offsets", offsets: rollout.tokenOffsets)
    unsafe rewards = try memory.input("rewards", rollout.rewards)
    unsafe reward_parts = try memory.input("reward_parts", rollout.rewardParts)
    unsafe reward_names = try memory.input("reward_names", texts: rollout.rewardNames)
    unsafe sequence_flags = try memory.input("sequence_flags", rollout.sequenceFlags)
    unsafe old = try memory.input("old", ifAny: rollout.old)
    unsafe reference = try memory.input("reference", ifAny: rollout.reference)
    unsafe values = try memory.input("values", ifAny: rollout.values)
  }
}

extension nr_batch {
  init(_ batch: PluginBatch, _ memory: inout some PluginInputs & ~Copyable) throws(Failure) {
    unsafe self.init()
    unsafe struct_size = UInt32(MemoryLayout<nr_batch>.size)
    unsafe sequence_count = UInt32(batch.sequenceCount)
    unsafe token_count = Int64(batch.tokenCount)
    unsafe step = UInt64(batch.step)
    unsafe epoch = UInt32(batch.update.epoch)
    unsafe minibatch = UInt32(batch.update.minibatch)
    unsafe update_tokens = Int64(batch.update.tokens)
    unsafe update_sequences = Int64(batch.update.sequences)
    unsafe update_groups = Int64(batch.update.groups)
    unsafe token_limit = Int64(batch.tokenLimit)
    unsafe token_offsets = try memory.input("token_offsets", offsets: batch.tokenOffsets)
    unsafe sequence_ids = try memory.input("sequence_ids", offsets: batch.sequenceIDs)
    unsafe current = try memory.input("current", batch.current)
    unsafe old = try memory.input("old", batch.old)
    unsafe advantages = try memory.input("advantages", batch.advantages)
    unsafe reference = try memory.input("reference", ifAny: batch.reference)
    unsafe sampler = try memory.input("sampler", ifAny: batch.sampler)
    unsafe entropy = try memory.input("entropy", ifAny: batch.entropy)
    unsafe values = try memory.input("values", ifAny: batch.values)
    unsafe old_values = try memory.input("old_values", ifAny: batch.oldValues)
    unsafe returns = try memory.input("returns", ifAny: batch.returns)
  }
}
