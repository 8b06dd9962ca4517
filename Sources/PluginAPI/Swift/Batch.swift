internal import CPluginAPI

/// A micro-batch: whole sequences of an optimiser update, packed. A group may be split between micro-batches.
@safe public struct Batch {
  private let raw: UnsafePointer<nr_batch>

  init(_ raw: UnsafePointer<nr_batch>) { unsafe self.raw = unsafe raw }

  public var sequenceCount: Int { unsafe Int(raw.pointee.sequence_count) }
  public var tokenCount: Int { unsafe Int(raw.pointee.token_count) }
  public var step: Int { unsafe Int(truncatingIfNeeded: raw.pointee.step) }
  public var epoch: Int { unsafe Int(raw.pointee.epoch) }
  public var minibatch: Int { unsafe Int(raw.pointee.minibatch) }

  /// Tokens of the whole optimiser update: what a token mean divides by.
  public var updateTokens: Int { unsafe Int(raw.pointee.update_tokens) }
  /// Sequences of the whole optimiser update: what a sequence mean divides by.
  public var updateSequences: Int { unsafe Int(raw.pointee.update_sequences) }
  /// Groups that the whole optimiser update touches.
  public var updateGroups: Int { unsafe Int(raw.pointee.update_groups) }
  /// The longest completion the sampler allows.
  public var tokenLimit: Int { unsafe Int(raw.pointee.token_limit) }

  public var sequences: Range<Int> { 0..<sequenceCount }

  public func tokens(of sequence: Int) -> Range<Int> {
    precondition(sequence >= 0 && sequence < sequenceCount)
    return unsafe Int(raw.pointee.token_offsets[sequence])..<Int(raw.pointee.token_offsets[sequence + 1])
  }

  /// As the host gave them, in whatever order.
  func bounds(of sequence: Int) -> (start: Int, end: Int) {
    precondition(sequence >= 0 && sequence < sequenceCount)
    return unsafe (Int(raw.pointee.token_offsets[sequence]), Int(raw.pointee.token_offsets[sequence + 1]))
  }

  /// Each sequence's position in the rollout of `advantages`.
  public var sequenceIDs: Values<Int64> { unsafe Values(raw.pointee.sequence_ids, sequenceCount) }

  /// Log-probabilities under the policy that is being trained.
  public var current: Values<Float> { unsafe Values(raw.pointee.current, tokenCount) }
  /// Log-probabilities under the policy that sampled.
  public var old: Values<Float> { unsafe Values(raw.pointee.old, tokenCount) }
  public var reference: Values<Float> { unsafe Values(raw.pointee.reference, tokenCount) }
  public var sampler: Values<Float> { unsafe Values(raw.pointee.sampler, tokenCount) }
  /// The policy's entropy at each token, in nats.
  public var entropy: Values<Float> { unsafe Values(raw.pointee.entropy, tokenCount) }
  /// The critic's values now.
  public var values: Values<Float> { unsafe Values(raw.pointee.values, tokenCount) }
  /// The critic's values when the rollout was made.
  public var oldValues: Values<Float> { unsafe Values(raw.pointee.old_values, tokenCount) }
  public var returns: Values<Float> { unsafe Values(raw.pointee.returns, tokenCount) }
  public var advantages: Values<Float> { unsafe Values(raw.pointee.advantages, tokenCount) }
}

/// What stage 2 writes: the derivatives of the loss, one number per token, 0 when the call begins.
public struct Gradients {
  public let current: Output<Float>
  /// Empty without ``Needs/entropy``.
  public let entropy: Output<Float>
  /// Empty without ``Needs/critic``.
  public let values: Output<Float>
}
