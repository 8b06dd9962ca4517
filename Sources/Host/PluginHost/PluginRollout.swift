internal import CPluginAPI
import Support

/// A rollout as plugins see it: G groups of S sequences of T completion tokens, packed, without padding.
package struct PluginRollout: Sendable {
  package static let truncated = UInt8(NR_TRUNCATED)
  package static let correct = UInt8(NR_CORRECT)

  /// [G] the prompt's identity, stable over a run.
  package var groupKeys: [UInt64]
  /// [G + 1] into sequences.
  package var groupOffsets: [Int]
  /// [S + 1] into tokens.
  package var tokenOffsets: [Int]
  /// [S] weighted totals.
  package var rewards: [Float]
  /// [S × rewardNames.count], one sequence's parts after another's.
  package var rewardParts: [Float] = []
  package var rewardNames: [String] = []
  /// [S] ``truncated`` and ``correct``.
  package var sequenceFlags: [UInt8]
  /// [T] log-probabilities under the policy that sampled; nil before they are computed, for `select`.
  package var old: [Float]?
  /// [T] nil where not needed.
  package var reference: [Float]?
  /// [T] the critic's; nil where not needed.
  package var values: [Float]?
  /// [T] log-probabilities as the sampler computed them, for the loss alone; nil where not needed.
  package var sampler: [Float]?
  package var step = 0
  package var totalSteps = 1
  package var seed: UInt64 = 0
  /// The longest completion the sampler allows.
  package var tokenLimit: Int

  package init(
    groupKeys: [UInt64], groupOffsets: [Int], tokenOffsets: [Int], rewards: [Float], sequenceFlags: [UInt8],
    tokenLimit: Int
  ) {
    self.groupKeys = groupKeys
    self.groupOffsets = groupOffsets
    self.tokenOffsets = tokenOffsets
    self.rewards = rewards
    self.sequenceFlags = sequenceFlags
    self.tokenLimit = tokenLimit
  }

  package var groupCount: Int { groupKeys.count }
  package var sequenceCount: Int { rewards.count }
  package var tokenCount: Int { tokenOffsets.last ?? 0 }

  package func sequences(of group: Int) -> Range<Int> { groupOffsets[group]..<groupOffsets[group + 1] }
  /// The tokens of those sequences that count.
  package func tokenCount(of counted: [Bool], in sequences: Range<Int>) -> Int {
    sequences.reduce(0) { counted[$1] ? $0 + tokens(of: $1).count : $0 }
  }

  package func tokens(of sequence: Int) -> Range<Int> { tokenOffsets[sequence]..<tokenOffsets[sequence + 1] }

  /// Throws where a length or an offset is wrong or a number is not finite.
  package func check(_ name: String) throws(Failure) {
    let check = PackedCheck(name: name)
    try check.offsets(groupOffsets, "group_offsets", into: sequenceCount, "sequences")
    try check.length(groupKeys.count, "group_keys", groupOffsets.count - 1)
    try check.length(tokenOffsets.count, "token_offsets", sequenceCount + 1)
    try check.offsets(tokenOffsets, "token_offsets", into: tokenCount, "tokens")
    try check.length(sequenceFlags.count, "sequence_flags", sequenceCount)
    try check.numbers(rewards, "rewards", sequenceCount)
    try check.numbers(rewardParts, "reward_parts", sequenceCount * rewardNames.count)
    try check.numbers(old, "old", tokenCount)
    try check.numbers(reference, "reference", tokenCount)
    try check.numbers(values, "values", tokenCount)
    try check.numbers(sampler, "sampler", tokenCount)
  }

  /// What an instance with these needs is shown before the loss, and nothing else.
  func limited(to needs: PluginNeeds) -> PluginRollout {
    var result = self
    if !needs.contains(.reference) { result.reference = nil }
    if !needs.contains(.critic) { result.values = nil }
    result.sampler = nil
    return result
  }

  /// What `select` is shown: nothing is computed of the tokens yet.
  var forSelection: PluginRollout {
    var result = self
    (result.old, result.reference, result.values, result.sampler) = (nil, nil, nil, nil)
    return result
  }

  /// The tokens of some sequences, one after another.
  package func gathered(_ array: [Float], _ sequences: [Int]) -> [Float] {
    var result: [Float] = []
    for sequence in sequences { result += array[tokens(of: sequence)] }
    return result
  }

  /// The rollout without the groups that are not kept.
  package func keeping(_ keep: [Bool]) -> PluginRollout {
    arranged((0..<groupCount).filter { keep[$0] }.map { ($0, Array(sequences(of: $0))) })
  }

  /// The rollout with some of its groups in some order, and in each some of its sequences.
  func arranged(_ groups: [(group: Int, sequences: [Int])]) -> PluginRollout {
    var result = self
    let sequences = groups.flatMap(\.sequences)
    result.groupKeys = groups.map { groupKeys[$0.group] }
    result.groupOffsets = groups.reduce(into: [0]) { $0.append($0.last! + $1.sequences.count) }
    result.tokenOffsets = offsets(of: sequences)
    result.rewards = sequences.map { rewards[$0] }
    result.sequenceFlags = sequences.map { sequenceFlags[$0] }
    let parts = rewardNames.count
    result.rewardParts = sequences.flatMap { rewardParts[($0 * parts)..<(($0 + 1) * parts)] }
    result.old = old.map { gathered($0, sequences) }
    result.reference = reference.map { gathered($0, sequences) }
    result.values = values.map { gathered($0, sequences) }
    result.sampler = sampler.map { gathered($0, sequences) }
    return result
  }

  private func offsets(of sequences: [Int]) -> [Int] {
    sequences.reduce(into: [0]) { $0.append($0.last! + tokens(of: $1).count) }
  }

  /// Some sequences as a micro-batch of an update.
  ///
  /// - Parameter scores: what the model says of these sequences' tokens now.
  package func batch(
    _ sequences: [Int], of update: PluginUpdate, _ stage: PluginAdvantages, _ scores: PluginScores
  ) -> PluginBatch {
    func gather(_ array: [Float]?) -> [Float]? { array.map { gathered($0, sequences) } }
    return PluginBatch(
      tokenOffsets: offsets(of: sequences), sequenceIDs: sequences, step: step, update: update, tokenLimit: tokenLimit,
      current: scores.logProbs, old: gather(old) ?? [], advantages: gathered(stage.advantages, sequences),
      reference: gather(reference), sampler: gather(sampler), entropy: scores.entropies, values: scores.values,
      oldValues: gather(values), returns: gather(stage.returns))
  }
}
