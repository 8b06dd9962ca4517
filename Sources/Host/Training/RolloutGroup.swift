import Rollouts
import Tasks

/// The completions of one prompt, with what they earned.
package struct RolloutGroup: Sendable {
  /// Position of the prompt in the run's endless order of prompts.
  package let position: Int
  /// Position of the example in the data.
  package let example: Int
  package let prompt: RLTask.Prompt
  package let completions: [Completion]
  package let rewards: [Reward]
  /// Updates that the policy that drew them had behind it.
  package let version: Int

  package var hasVariance: Bool { rewards.contains { $0.total != rewards[0].total } }
}
