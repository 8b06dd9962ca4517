import Compute
import Support

/// A policy at a moment: a model, its adapter, and how many updates made it. Rollouts carry it; log-probabilities that were taken under
/// it are those of another only where the versions are equal.
package struct PolicySnapshot: Sendable {
  /// Updates that were made before it.
  package let version: Int
  package let model: Transformer
  /// nil: the model as it is.
  package let adapter: AdapterWeights?

  package init(_ model: Transformer, adapter: AdapterWeights? = nil, version: Int = 0) {
    self.model = model
    self.adapter = adapter
    self.version = version
  }

  package func forward(_ batch: TokenBatch, retaining retention: Retention = .nothing, in arena: Arena) throws(Failure) -> ForwardPass {
    try model.forward(batch, adapter: adapter, retaining: retention, in: arena)
  }
}
