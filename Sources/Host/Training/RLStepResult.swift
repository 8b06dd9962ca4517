import Support
import Telemetry

/// What one step of reinforcement learning leaves for logs and samples.
package struct RLStepResult: Sendable {
  package let metrics: Metrics
  package let rollout: Rollout
  package let dropped: [RolloutGroup]
  /// Completions of all groups that have no reward.
  package let unscored: [RolloutGroup.Unscored]
  /// Of the rollout's tokens; empty where it has none.
  package let advantages: [Float]
  /// The last pass over the rollout; nil where it has no tokens.
  package let pass: LastPass?
  /// Of all that the step computed, but for what it left of weights and moments.
  package let proof: StepDigests

  /// Lengths of the completions, and how far the last pass moved each token's probability.
  var distributions: [Distribution] {
    let lengths = rollout.groups.flatMap { $0.completions.map { Float($0.tokens.count) } }
    var distributions = [Distribution("completion_length", lengths)]
    if let pass { distributions.append(Distribution("ratio", zip(pass.current, rollout.old).map { exp($0 - $1) })) }
    return distributions
  }
}
