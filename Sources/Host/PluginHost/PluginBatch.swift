import Support

/// A micro-batch as plugins see it: whole sequences of one optimiser update, packed.
package struct PluginBatch: Sendable {
  /// [S + 1] into tokens.
  let tokenOffsets: [Int]
  /// [S] each sequence's position in the rollout that `advantages` saw.
  package let sequenceIDs: [Int]
  package let step: Int
  package let update: PluginUpdate
  let tokenLimit: Int
  /// [T] log-probabilities under the policy in training.
  package let current: [Float]
  /// [T] log-probabilities under the policy that sampled.
  package let old: [Float]
  /// [T]
  package let advantages: [Float]
  /// [T] each of these nil where not needed.
  package fileprivate(set) var reference: [Float]?
  package fileprivate(set) var sampler: [Float]?
  package fileprivate(set) var entropy: [Float]?
  package fileprivate(set) var values: [Float]?
  package fileprivate(set) var oldValues: [Float]?
  package fileprivate(set) var returns: [Float]?

  package var sequenceCount: Int { sequenceIDs.count }
  package var tokenCount: Int { current.count }

  /// What an instance with these needs is shown, and nothing else.
  func limited(to needs: PluginNeeds) -> PluginBatch {
    var result = self
    if !needs.contains(.reference) { result.reference = nil }
    if !needs.contains(.sampler) { result.sampler = nil }
    if !needs.contains(.entropy) { result.entropy = nil }
    if !needs.contains(.critic) { (result.values, result.oldValues, result.returns) = (nil, nil, nil) }
    return result
  }

  package func check(_ name: String) throws(Failure) {
    let check = PackedCheck(name: name)
    try check.length(tokenOffsets.count, "token_offsets", sequenceCount + 1)
    try check.offsets(tokenOffsets, "token_offsets", into: tokenCount, "tokens")
    // Tokens may be fewer than here: those of dropped sequences do not count.
    guard update.tokens >= 0, update.sequences >= sequenceCount else {
      throw .internalError("\(name): the update's totals are smaller than this micro-batch")
    }
    let arrays: [(String, [Float]?)] = [
      ("current", current), ("old", old), ("advantages", advantages), ("reference", reference), ("sampler", sampler),
      ("entropy", entropy), ("values", values), ("old_values", oldValues), ("returns", returns),
    ]
    for (what, array) in arrays { try check.numbers(array, what, tokenCount) }
  }
}
