import Support

/// A random rollout with the arrays of the loss stage, as a training run would have them.
struct CheckCase: Sendable {
  /// What a case looks like.
  struct Shape: Sendable {
    enum Rewards: Sendable { case mixed, allRight, allWrong, oneRight, fractions, huge }

    var groups = 4
    var sizes = 4...4
    var lengths = 0...7
    var rewards = Rewards.mixed
    /// How far policies are apart: the standard deviation of a log-ratio.
    var spread = 0.3
    var step = 3
  }

  var rollout: PluginRollout
  /// [T] all of them.
  var current: [Float]
  var sampler: [Float]
  var entropy: [Float]
  /// The critic's values now; those of the rollout are `rollout.values`.
  var values: [Float]

  init(_ shape: Shape, _ random: inout RandomStream) {
    var groupOffsets = [0]
    var tokenOffsets = [0]
    var rewards: [Float] = []
    for _ in 0..<shape.groups {
      let size = random.next(in: shape.sizes)
      for index in 0..<size {
        tokenOffsets.append(tokenOffsets.last! + random.next(in: shape.lengths))
        let reward: Float =
          switch shape.rewards {
          // The first two differ, so that a group has something to learn from.
          case .mixed: index < 2 ? Float(index) : Float(random.next(below: 2))
          case .allRight: 1
          case .allWrong: 0
          case .oneRight: index == size - 1 ? 1 : 0
          case .fractions: Float(random.next(in: -8...8)) / 8
          case .huge: Float(random.next(in: -3...3)) * 1e4
          }
        rewards.append(reward)
      }
      groupOffsets.append(groupOffsets.last! + size)
    }
    let tokens = tokenOffsets.last!
    let longest = zip(tokenOffsets, tokenOffsets.dropFirst()).map { $1 - $0 }.max() ?? 0
    let limit = max(longest, shape.lengths.upperBound)
    rollout = PluginRollout(
      groupKeys: (0..<shape.groups).map { _ in random.nextBits() }, groupOffsets: groupOffsets,
      tokenOffsets: tokenOffsets, rewards: rewards,
      sequenceFlags: rewards.indices.map { index in
        let isTruncated = tokenOffsets[index + 1] - tokenOffsets[index] == limit && limit > 0
        return (rewards[index] >= 1 ? PluginRollout.correct : 0) | (isTruncated ? PluginRollout.truncated : 0)
      }, tokenLimit: max(limit, 1))
    // As a run has them.
    rollout.rewardNames = ["correct"]
    rollout.rewardParts = rewards
    (rollout.step, rollout.totalSteps, rollout.seed) = (shape.step, 10, random.nextBits())
    var old: [Float] = []
    (current, sampler, entropy, values) = ([], [], [], [])
    var reference: [Float] = []
    var oldValues: [Float] = []
    for _ in 0..<tokens {
      // On a grid, so that a number moved by a step of the finite differences is exactly where it should be.
      let logProb = Self.onGrid(-0.01 - 4 * random.nextUniform())
      old.append(logProb)
      current.append(min(0, logProb + Self.onGrid(shape.spread * random.nextNormal())))
      reference.append(min(0, logProb + Self.onGrid(shape.spread * random.nextNormal())))
      sampler.append(min(0, logProb + Self.onGrid(0.02 * random.nextNormal())))
      entropy.append(Self.onGrid(3 * random.nextUniform()))
      oldValues.append(Self.onGrid(random.nextNormal()))
      values.append(oldValues.last! + Self.onGrid(0.3 * random.nextNormal()))
    }
    (rollout.old, rollout.reference, rollout.values) = (old, reference, oldValues)
  }

  private static func onGrid(_ value: Double) -> Float { Float((value * 0x1p16).rounded() * 0x1p-16) }

  /// On the sampling policy: nothing has been learned yet.
  mutating func makeOnPolicy() {
    current = rollout.old ?? []
    sampler = current
    rollout.reference = current
    values = rollout.values ?? []
  }

  /// Without the groups that were dropped.
  func keeping(_ keep: [Bool]) -> CheckCase {
    var result = self
    let sequences = (0..<rollout.groupCount).filter { keep[$0] }.flatMap { rollout.sequences(of: $0) }
    result.gather(sequences, from: self)
    result.rollout = rollout.keeping(keep)
    return result
  }

  /// The same case with its groups, and the sequences in each, in another order, and where each sequence stood.
  func shuffled(_ random: inout RandomStream) -> (CheckCase, groups: [Int], sequences: [Int]) {
    let groups = random.permutation(rollout.groupCount)
    var sequences: [Int] = []
    var result = self
    result.rollout.groupOffsets = [0]
    for group in groups {
      let members = Array(rollout.sequences(of: group))
      sequences += random.permutation(members.count).map { members[$0] }
      result.rollout.groupOffsets.append(sequences.count)
    }
    result.rollout.groupKeys = groups.map { rollout.groupKeys[$0] }
    result.rollout.rewards = sequences.map { rollout.rewards[$0] }
    result.rollout.sequenceFlags = sequences.map { rollout.sequenceFlags[$0] }
    let parts = rollout.rewardNames.count
    result.rollout.rewardParts = sequences.flatMap { rollout.rewardParts[($0 * parts)..<(($0 + 1) * parts)] }
    result.rollout.tokenOffsets = [0]
    for sequence in sequences {
      result.rollout.tokenOffsets.append(result.rollout.tokenCount + rollout.tokens(of: sequence).count)
    }
    result.rollout.old = gathered(rollout.old!, sequences)
    result.rollout.reference = gathered(rollout.reference!, sequences)
    result.rollout.values = gathered(rollout.values!, sequences)
    result.gather(sequences, from: self)
    return (result, groups, sequences)
  }

  private mutating func gather(_ sequences: [Int], from other: CheckCase) {
    current = other.gathered(other.current, sequences)
    sampler = other.gathered(other.sampler, sequences)
    entropy = other.gathered(other.entropy, sequences)
    values = other.gathered(other.values, sequences)
  }

  /// The tokens of some sequences, one after another.
  func gathered(_ array: [Float], _ sequences: [Int]) -> [Float] {
    var result: [Float] = []
    for sequence in sequences { result += array[rollout.tokens(of: sequence)] }
    return result
  }

  /// Some sequences as one micro-batch of an update that holds the whole rollout.
  func batch(_ sequences: [Int], _ stage: PluginAdvantages) -> PluginBatch {
    var offsets = [0]
    for sequence in sequences { offsets.append(offsets.last! + rollout.tokens(of: sequence).count) }
    var batch = PluginBatch(
      tokenOffsets: offsets, sequenceIDs: sequences, 
      // Without a token that counts a run makes no update, and never asks.
      updateTokens: max(1, rollout.tokenCount(of: stage.counted, in: 0..<rollout.sequenceCount)),
      updateSequences: rollout.sequenceCount, updateGroups: rollout.groupCount, tokenLimit: rollout.tokenLimit,
      current: gathered(current, sequences), old: gathered(rollout.old!, sequences),
      advantages: gathered(stage.advantages, sequences))
    batch.step = rollout.step
    batch.reference = gathered(rollout.reference!, sequences)
    batch.sampler = gathered(sampler, sequences)
    batch.entropy = gathered(entropy, sequences)
    batch.values = gathered(values, sequences)
    batch.oldValues = gathered(rollout.values!, sequences)
    batch.returns = stage.returns.map { gathered($0, sequences) }
    return batch
  }

  func wholeBatch(_ stage: PluginAdvantages) -> PluginBatch { batch(Array(0..<rollout.sequenceCount), stage) }
}
