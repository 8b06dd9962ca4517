internal import CPluginAPI

/// What was sampled: groups of sequences of tokens, packed. Sequences of a group are adjacent; tokens are completion tokens.
@safe public struct Rollout {
  private let raw: UnsafePointer<nr_rollout>

  init(_ raw: UnsafePointer<nr_rollout>) { unsafe self.raw = unsafe raw }

  public var groupCount: Int { unsafe Int(raw.pointee.group_count) }
  public var sequenceCount: Int { unsafe Int(raw.pointee.sequence_count) }
  public var tokenCount: Int { unsafe Int(raw.pointee.token_count) }
  public var step: Int { unsafe Int(truncatingIfNeeded: raw.pointee.step) }
  public var totalSteps: Int { unsafe Int(truncatingIfNeeded: raw.pointee.total_steps) }
  /// The only source of randomness a plugin may use.
  public var seed: UInt64 { unsafe raw.pointee.seed }
  /// The longest completion the sampler allows.
  public var tokenLimit: Int { unsafe Int(raw.pointee.token_limit) }

  public var groups: Range<Int> { 0..<groupCount }
  public var sequences: Range<Int> { 0..<sequenceCount }

  public func sequences(of group: Int) -> Range<Int> {
    precondition(group >= 0 && group < groupCount)
    return unsafe Int(raw.pointee.group_offsets[group])..<Int(raw.pointee.group_offsets[group + 1])
  }

  public func tokens(of sequence: Int) -> Range<Int> {
    precondition(sequence >= 0 && sequence < sequenceCount)
    return unsafe Int(raw.pointee.token_offsets[sequence])..<Int(raw.pointee.token_offsets[sequence + 1])
  }

  /// The prompt's identity, stable over a run; one per group.
  public var groupKeys: Values<UInt64> { unsafe Values(raw.pointee.group_keys, groupCount) }
  /// The weighted total reward of each sequence.
  public var rewards: Values<Float> { unsafe Values(raw.pointee.rewards, sequenceCount) }

  public func isTruncated(_ sequence: Int) -> Bool { flag(sequence, 1) }
  public func isCorrect(_ sequence: Int) -> Bool { flag(sequence, 2) }

  private func flag(_ sequence: Int, _ bit: UInt8) -> Bool {
    unsafe Values(raw.pointee.sequence_flags, sequenceCount)[sequence] & bit != 0
  }

  /// How many parts a reward has.
  public var rewardCount: Int { unsafe Int(raw.pointee.reward_count) }

  public func rewardPart(_ part: Int, of sequence: Int) -> Float {
    precondition(part >= 0 && part < rewardCount)
    return unsafe Values(raw.pointee.reward_parts, sequenceCount * rewardCount)[sequence * rewardCount + part]
  }

  /// Whether a part of the reward has that name.
  public func isRewardPart(_ part: Int, named name: StaticString) -> Bool {
    precondition(part >= 0 && part < rewardCount)
    guard let given = unsafe raw.pointee.reward_names[part] else { return false }
    return unsafe isText(given, name)
  }

  /// Log-probabilities under the policy that sampled; empty in `select`.
  public var old: Values<Float> { unsafe Values(raw.pointee.old, tokenCount) }
  /// Log-probabilities under the reference model; empty in `select` and where not needed.
  public var reference: Values<Float> { unsafe Values(raw.pointee.reference, tokenCount) }
  /// The critic's values when the rollout was made; empty in `select` and where not needed.
  public var values: Values<Float> { unsafe Values(raw.pointee.values, tokenCount) }
}

/// What stage 1 writes, one number per token.
public struct Advantages {
  public let advantages: Output<Float>
  /// Empty without ``Needs/critic``.
  public let returns: Output<Float>
  /// Whether a sequence's tokens count in the update's; empty where the host does not know it.
  let counted: Output<UInt8>

  /// Leaves a sequence's tokens out of ``Batch/updateTokens``, as those of a completion that is dropped.
  public func leaveOut(_ sequence: Int) { if counted.count > 0 { counted[sequence] = 0 } }

  /// The same advantage for all tokens in a range.
  public func fill(_ tokens: Range<Int>, _ advantage: Double) { advantages.fill(tokens, Float(advantage)) }
}
