import Compute
import Support
import Transformer

/// The frozen policy that a divergence is measured against: the one a run began with.
package struct ReferencePolicy {
  private let policy: PolicySnapshot
  private let head: LossHead
  private let arena: Arena

  /// - Parameters:
  ///   - policy: a model with frozen weights of an adapter, or a model of its own.
  ///   - arena: what its passes lie in.
  package init(_ policy: PolicySnapshot, in arena: Arena) {
    self.policy = policy
    self.arena = arena
    head = LossHead(policy.model)
  }

  package func logProbs(_ batch: TokenBatch, _ targets: TokenTargets, temperature: Double) throws(Failure) -> [Float] {
    try arena.scope { () throws(Failure) in
      let hidden = try policy.forward(batch, in: arena).hidden
      return try head.forward(hidden, targets, temperature: temperature, in: arena).logProbs.value()
    }
  }
}
