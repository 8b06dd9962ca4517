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
    (current, entropy, values) = ([], [], [])
    var reference: [Float] = []
    var sampler: [Float] = []
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
    (rollout.old, rollout.reference, rollout.values, rollout.sampler) = (old, reference, oldValues, sampler)
  }

  private static func onGrid(_ value: Double) -> Float { Float((value * 0x1p16).rounded() * 0x1p-16) }

  /// On the sampling policy: nothing has been learned yet.
  mutating func makeOnPolicy() {
    current = rollout.old ?? []
    rollout.sampler = current
    rollout.reference = current
    values = rollout.values ?? []
  }

  /// Without the groups that were dropped.
  func keeping(_ keep: [Bool]) -> CheckCase {
    arranged((0..<rollout.groupCount).filter { keep[$0] }.map { ($0, Array(rollout.sequences(of: $0))) })
  }

  /// The same case with its groups, and the sequences in each, in another order, and where each sequence stood.
  func shuffled(_ random: inout RandomStream) -> (CheckCase, groups: [Int], sequences: [Int]) {
    let groups = random.permutation(rollout.groupCount)
    var order: [(group: Int, sequences: [Int])] = []
    for group in groups {
      let members = Array(rollout.sequences(of: group))
      order.append((group, random.permutation(members.count).map { members[$0] }))
    }
    return (arranged(order), groups, order.flatMap(\.sequences))
  }

  private func arranged(_ groups: [(group: Int, sequences: [Int])]) -> CheckCase {
    var result = self
    let sequences = groups.flatMap(\.sequences)
    result.rollout = rollout.arranged(groups)
    result.current = rollout.gathered(current, sequences)
    result.entropy = rollout.gathered(entropy, sequences)
    result.values = rollout.gathered(values, sequences)
    return result
  }

  /// Some sequences as one micro-batch of an update that holds the whole rollout.
  func batch(_ sequences: [Int], _ stage: PluginAdvantages) -> PluginBatch {
    var update = PluginUpdate(0..<rollout.groupCount, of: rollout, counted: stage.counted)
    // Without a token that counts a run makes no update, and never asks.
    update.tokens = max(1, update.tokens)
    let scores = PluginScores(
      logProbs: rollout.gathered(current, sequences), entropies: rollout.gathered(entropy, sequences),
      values: rollout.gathered(values, sequences))
    return rollout.batch(sequences, of: update, stage, scores)
  }

  func wholeBatch(_ stage: PluginAdvantages) -> PluginBatch { batch(Array(0..<rollout.sequenceCount), stage) }
}
