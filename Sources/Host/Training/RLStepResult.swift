import Support
import Telemetry

/// What one step of reinforcement learning leaves for logs and samples.
package struct RLStepResult: Sendable {
  package let metrics: Metrics
  package let rollout: Rollout
  package let dropped: [RolloutGroup]
  /// Of the rollout's tokens; empty where it has none.
  package let advantages: [Float]
  /// Log-probabilities of the rollout's tokens in the last pass over it; empty where it has none.
  package let latest: [Float]
  /// Of all that the step computed, but for what it left of weights and moments.
  package let proof: StepDigests

  /// Lengths of the completions, and how far the last pass moved each token's probability.
  var distributions: [Distribution] {
    let lengths = rollout.groups.flatMap { $0.completions.map { Float($0.tokens.count) } }
    var distributions = [Distribution("completion_length", lengths)]
    if latest.count == rollout.tokenCount {
      distributions.append(Distribution("ratio", zip(latest, rollout.old).map { exp($0 - $1) }))
    }
    return distributions
  }
}
