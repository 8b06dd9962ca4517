import Compute
import Rollouts
import Transformer

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
  /// Updates that may be left out because the plugin fails in them; 0 ends the run with the first.
  package var skippedFailures = 0

  package init() {}

  /// Where the run takes each prompt once: how many there are, so that the last step takes those that are left. nil takes
  /// `promptsPerStep` in every step, from the beginning again where they run out.
  package var promptsOfOnePass: Int?

  /// The prompts that a step begins with.
  package func prompts(ofStep step: Int) -> Int {
    guard let promptsOfOnePass else { return promptsPerStep }
    return max(1, min(promptsPerStep, promptsOfOnePass - step * promptsPerStep))
  }

  /// Optimiser updates of the whole run if no group is dropped: the horizon of a learning rate's schedule. A step makes no more
  /// mini-batches than it has prompts.
  package var updates: Int {
    func ofStep(_ step: Int) -> Int { innerEpochs * min(minibatches, prompts(ofStep: step)) }
    return steps > 0 ? (steps - 1) * ofStep(0) + ofStep(steps - 1) : 0
  }

  /// Room for the completions of a step, whichever prompts it draws.
  package func capacity(longestPrompt: Int, of configuration: ModelConfiguration, on backend: any Backend) -> EngineCapacity {
    EngineCapacity(
      prompts: promptsPerStep, samples: groupSize, longestPrompt: longestPrompt, maxNewTokens: maxNewTokens, of: configuration, on: backend)
  }

  /// The temperature log-probabilities are taken at.
  var temperatureOfLogProbs: Double { logProbTemperature ?? temperature }

  /// Consecutive runs of so many groups, as equal as can be: one for each optimiser update of a pass.
  func minibatches(of groups: Int) -> [Range<Int>] {
    let count = min(minibatches, groups)
    return (0..<count).map { (groups * $0 / count)..<(groups * ($0 + 1) / count) }
  }
}
