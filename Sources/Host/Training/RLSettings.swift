import Foundations
import Tasks

/// What a reinforcement learning run is made of, apart from the algorithm.
package struct RLSettings: Sendable, Equatable {
  /// G: completions per prompt.
  package var groupSize = 8
  package var promptsPerStep = 2
  package var temperature = 0.8
  /// The temperature log-probabilities are taken at; nil: the sampling temperature, so that ratios are those of the policy
  /// that acts.
  package var logProbTemperature: Double?
  package var maxNewTokens = 384
  /// Passes over a rollout (μ in the GRPO paper).
  package var innerEpochs = 2
  /// Optimiser updates per pass.
  package var minibatches = 1
  package var steps = 100
  package var seed: UInt64 = 42
  /// Rounds of fresh prompts that replace dropped groups in one step, at most.
  package var refillRounds = 8
  package var shuffles = true

  package init() {}

  /// Optimiser updates of the whole run, at most: what a learning rate's schedule counts in.
  package var updates: Int { steps * innerEpochs * minibatches }
}
