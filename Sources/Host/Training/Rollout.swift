import PluginHost
import Support

/// The groups of one step, packed: sequences one after another, tokens one after another.
package struct Rollout: Sendable {
  package let groups: [RolloutGroup]
  /// What the algorithm is shown of them.
  package var packed: PluginRollout
  /// Log-probabilities as the sampler saw them `[tokens]`.
  package let sampler: [Float]
  /// The version of the policy that drew all of it; nil where more than one did.
  package let version: Int?

  /// - Parameters:
  ///   - rewardNames: the names of the rewards' parts.
  ///   - step: of a run with these settings.
  init(_ groups: [RolloutGroup], rewardNames: [String], step: Int, _ settings: RLSettings) {
    self.groups = groups
    let versions = Set(groups.map(\.version))
    version = versions.count == 1 ? versions.first : nil
    let completions = groups.flatMap(\.completions)
    let rewards = groups.flatMap(\.rewards)
    sampler = completions.flatMap(\.logProbs)
    packed = PluginRollout(
      groupKeys: groups.map(\.prompt.key),
      groupOffsets: groups.reduce(into: [0]) { $0.append($0.last! + $1.completions.count) },
      tokenOffsets: completions.reduce(into: [0]) { $0.append($0.last! + $1.tokens.count) }, rewards: rewards.map(\.total),
      sequenceFlags: rewards.map(\.flags.rawValue), tokenLimit: settings.maxNewTokens)
    packed.rewardParts = rewards.flatMap(\.parts)
    packed.rewardNames = rewardNames
    packed.old = sampler
    packed.sampler = sampler
    (packed.step, packed.totalSteps, packed.seed) = (step, settings.steps, settings.seed)
  }

  package var tokenCount: Int { packed.tokenCount }
  /// Log-probabilities under the policy before this step's updates `[tokens]`.
  package var old: [Float] { packed.old ?? [] }

  package func sequences(of group: Int) -> Range<Int> { packed.sequences(of: group) }
  package func tokens(of sequences: Range<Int>) -> Range<Int> {
    packed.tokenOffsets[sequences.lowerBound]..<packed.tokenOffsets[sequences.upperBound]
  }
}
