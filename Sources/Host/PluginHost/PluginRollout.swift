import Support

/// A rollout as plugins see it: G groups of S sequences of T completion tokens, packed, without padding.
package struct PluginRollout: Sendable {
  package static let truncated: UInt8 = 1
  package static let correct: UInt8 = 2

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
  }

  /// The rollout without the groups that are not kept.
  package func keeping(_ keep: [Bool]) -> PluginRollout {
    let groups = (0..<groupCount).filter { keep[$0] }
    let sequences = groups.flatMap { self.sequences(of: $0) }
    var result = PluginRollout(
      groupKeys: groups.map { groupKeys[$0] }, groupOffsets: [0], tokenOffsets: [0],
      rewards: sequences.map { rewards[$0] },
      sequenceFlags: sequences.map { sequenceFlags[$0] }, tokenLimit: tokenLimit)
    for group in groups { result.groupOffsets.append(result.groupOffsets.last! + self.sequences(of: group).count) }
    for sequence in sequences { result.tokenOffsets.append(result.tokenOffsets.last! + tokens(of: sequence).count) }
    result.rewardNames = rewardNames
    for sequence in sequences {
      result.rewardParts += rewardParts[(sequence * rewardNames.count)..<((sequence + 1) * rewardNames.count)]
    }
    let gather = { (array: [Float]) in sequences.flatMap { array[tokens(of: $0)] } }
    result.old = old.map(gather)
    result.reference = reference.map(gather)
    result.values = values.map(gather)
    (result.step, result.totalSteps, result.seed) = (step, totalSteps, seed)
    return result
  }
}

/// A micro-batch as plugins see it: whole sequences of one optimiser update, packed.
package struct PluginBatch: Sendable {
  /// [S + 1] into tokens.
  package var tokenOffsets: [Int]
  /// [S] each sequence's position in the rollout that `advantages` saw.
  package var sequenceIDs: [Int]
  package var step = 0
  package var epoch = 0
  package var minibatch = 0
  /// Totals of the whole optimiser update, the same in all its micro-batches.
  package var updateTokens: Int
  package var updateSequences: Int
  package var updateGroups: Int
  package var tokenLimit: Int
  /// [T] log-probabilities under the policy in training.
  package var current: [Float]
  /// [T] log-probabilities under the policy that sampled.
  package var old: [Float]
  /// [T]
  package var advantages: [Float]
  /// [T] each of these nil where not needed.
  package var reference: [Float]?
  package var sampler: [Float]?
  package var entropy: [Float]?
  package var values: [Float]?
  package var oldValues: [Float]?
  package var returns: [Float]?

  package init(
    tokenOffsets: [Int], sequenceIDs: [Int], updateTokens: Int, updateSequences: Int, updateGroups: Int,
    tokenLimit: Int,
    current: [Float], old: [Float], advantages: [Float]
  ) {
    self.tokenOffsets = tokenOffsets
    self.sequenceIDs = sequenceIDs
    self.updateTokens = updateTokens
    self.updateSequences = updateSequences
    self.updateGroups = updateGroups
    self.tokenLimit = tokenLimit
    self.current = current
    self.old = old
    self.advantages = advantages
  }

  package var sequenceCount: Int { sequenceIDs.count }
  package var tokenCount: Int { current.count }

  package func check(_ name: String) throws(Failure) {
    let check = PackedCheck(name: name)
    try check.length(tokenOffsets.count, "token_offsets", sequenceCount + 1)
    try check.offsets(tokenOffsets, "token_offsets", into: tokenCount, "tokens")
    // Tokens may be fewer than here: those of dropped sequences do not count.
    guard updateTokens >= 0, updateSequences >= sequenceCount else {
      throw .internalError("\(name): the update's totals are smaller than this micro-batch")
    }
    let arrays: [(String, [Float]?)] = [
      ("current", current), ("old", old), ("advantages", advantages), ("reference", reference), ("sampler", sampler),
      ("entropy", entropy), ("values", values), ("old_values", oldValues), ("returns", returns),
    ]
    for (what, array) in arrays { try check.numbers(array, what, tokenCount) }
  }
}

/// Checks of packed arrays, with messages that name the array.
struct PackedCheck {
  let name: String

  func length(_ found: Int, _ what: String, _ expected: Int) throws(Failure) {
    if found != expected { throw .badData("\(name): \(what): expected \(expected) elements, found \(found)") }
  }

  func offsets(_ offsets: [Int], _ what: String, into count: Int, _ of: String) throws(Failure) {
    guard let first = offsets.first, let last = offsets.last else {
      throw .badData("\(name): \(what): is empty; it holds one number more than there are parts")
    }
    if first != 0 { throw .badData("\(name): \(what): must begin with 0, begins with \(first)") }
    for index in 1..<max(offsets.count, 1) where offsets[index] < offsets[index - 1] {
      throw .badData(
        "\(name): \(what): must not fall, but \(offsets[index - 1]) is followed by \(offsets[index]) at \(index)")
    }
    if last != count { throw .badData("\(name): \(what): ends with \(last), but there are \(count) \(of)") }
  }

  func numbers(_ array: [Float]?, _ what: String, _ expected: Int) throws(Failure) {
    guard let array else { return }
    try length(array.count, what, expected)
    if let index = array.firstIndex(where: { !$0.isFinite }) {
      throw .badData("\(name): \(what): element \(index) is \(array[index]), not a finite number")
    }
  }
}
