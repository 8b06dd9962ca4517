import Rollouts
import Tasks

/// The completions of one prompt, with what they earned.
package struct RolloutGroup: Sendable {
  /// A completion that has no reward, as a part of it failed or none has a say: nothing is learned from it.
  package struct Unscored: Sendable {
    /// Position of its prompt's example in the data.
    package let example: Int
    /// Its place among all that were drawn of the prompt.
    package let number: Int
    package let completion: Completion
    package let reward: Reward
  }

  /// Position of the prompt in the run's endless order of prompts.
  package let position: Int
  /// Position of the example in the data.
  package let example: Int
  package let prompt: RLTask.Prompt
  /// Those that have a reward.
  package let completions: [Completion]
  package let rewards: [Reward]
  /// The place of each among all that were drawn of the prompt.
  package let numbers: [Int]
  package let unscored: [Unscored]
  /// Updates that the policy that drew them had behind it.
  package let version: Int

  /// - Parameters:
  ///   - drawn: all completions of the prompt.
  ///   - rewards: of each of them.
  init(position: Int, example: Int, prompt: RLTask.Prompt, drawn: [Completion], rewards: [Reward], version: Int) {
    self.position = position
    self.example = example
    self.prompt = prompt
    self.version = version
    numbers = rewards.indices.filter { rewards[$0].isScored }
    completions = numbers.map { drawn[$0] }
    self.rewards = numbers.map { rewards[$0] }
    unscored = rewards.indices.filter { !rewards[$0].isScored }.map { Unscored(example: example, number: $0, completion: drawn[$0], reward: rewards[$0]) }
  }

  package var hasVariance: Bool { rewards.contains { $0.total != rewards[0].total } }
}
