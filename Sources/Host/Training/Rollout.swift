import PluginHost
import Rollouts
import Support
import Tasks
import Transformer

/// The completions of one prompt, with what they earned.
package struct RolloutGroup: Sendable {
  /// Position of the prompt in the run's endless order of prompts.
  package let position: Int
  /// Position of the example in the data.
  package let example: Int
  package let key: UInt64
  package let prompt: [Int32]
  package let completions: [Completion]
  package let rewards: [Float]
  package let verdicts: [Verdict]

  package var hasVariance: Bool { rewards.contains { $0 != rewards[0] } }
}

/// The groups of one step, packed: sequences one after another, tokens one after another.
package struct Rollout: Sendable {
  package let groups: [RolloutGroup]
  /// `[groups + 1]` into sequences.
  package let groupOffsets: [Int]
  /// `[sequences + 1]` into tokens.
  package let tokenOffsets: [Int]
  /// Log-probabilities as the sampler saw them `[tokens]`.
  package let sampler: [Float]
  /// Log-probabilities under the policy before this step's updates `[tokens]`.
  package var old: [Float]
  package var reference: [Float]?
  package var values: [Float]?

  package init(_ groups: [RolloutGroup]) {
    self.groups = groups
    var groupOffsets: [Int] = [0]
    var tokenOffsets: [Int] = [0]
    for group in groups {
      for completion in group.completions { tokenOffsets.append(tokenOffsets.last! + completion.tokens.count) }
      groupOffsets.append(tokenOffsets.count - 1)
    }
    self.groupOffsets = groupOffsets
    self.tokenOffsets = tokenOffsets
    sampler = groups.flatMap { $0.completions.flatMap(\.logProbs) }
    old = sampler
  }

  package var sequenceCount: Int { tokenOffsets.count - 1 }
  package var tokenCount: Int { tokenOffsets.last! }

  package func sequences(of group: Int) -> Range<Int> { groupOffsets[group]..<groupOffsets[group + 1] }
  package func tokens(of sequences: Range<Int>) -> Range<Int> {
    tokenOffsets[sequences.lowerBound]..<tokenOffsets[sequences.upperBound]
  }

  /// What a plugin sees of it.
  package func forPlugin(step: Int, totalSteps: Int, seed: UInt64, tokenLimit: Int) -> PluginRollout {
    var seen = PluginRollout(
      groupKeys: groups.map(\.key), groupOffsets: groupOffsets, tokenOffsets: tokenOffsets,
      rewards: groups.flatMap(\.rewards),
      sequenceFlags: groups.flatMap { group in
        zip(group.completions, group.verdicts).map { completion, verdict in
          (completion.isTruncated ? PluginRollout.truncated : 0) | (verdict.isCorrect ? PluginRollout.correct : 0)
        }
      },
      tokenLimit: tokenLimit)
    seen.rewardParts = seen.rewards
    seen.rewardNames = ["correct"]
    seen.old = old
    seen.reference = reference
    seen.values = values
    seen.step = step
    seen.totalSteps = totalSteps
    seen.seed = seed
    return seen
  }
}

/// Some sequences of one group: what goes through the model together because it shares a prompt.
struct RolloutSlice {
  let group: Int
  /// Position in the rollout.
  let sequences: Range<Int>
  let rows: Int
}

extension Rollout {
  /// The sequences of some groups as slices of at most `limit` rows; a group is split only where it must be.
  func slices(groups range: Range<Int>, limit: Int) -> [RolloutSlice] {
    range.flatMap { group -> [RolloutSlice] in
      let first = sequences(of: group).lowerBound
      let completions = groups[group].completions
      let prompt = groups[group].prompt.count
      let runs = microBatches(rows: completions.map(\.tokens.count), limit: max(1, limit - prompt))
      return runs.map { run in
        RolloutSlice(
          group: group, sequences: (first + run.lowerBound)..<(first + run.upperBound),
          rows: prompt + completions[run].reduce(0) { $0 + $1.tokens.count })
      }
    }
  }

  /// Packs consecutive slices into one batch for the model, prompts once each, with all completion tokens as targets.
  func batch(_ slices: ArraySlice<RolloutSlice>) -> (batch: TokenBatch, targets: TokenTargets) {
    var batch = TokenBatch()
    var targets = TokenTargets()
    for slice in slices {
      let group = groups[slice.group]
      let first = sequences(of: slice.group).lowerBound
      let own = (slice.sequences.lowerBound - first)..<(slice.sequences.upperBound - first)
      batch.append(prompt: group.prompt, completions: group.completions[own].map(\.tokens), targets: &targets)
    }
    return (batch, targets)
  }
}
