import Compute
import Support
import Transformer

/// The frozen policy that a divergence is measured against: the one a run began with.
package final class ReferencePolicy {
  private let model: Transformer
  private let head: LossHead
  /// The adapters of the reference, by linear layer; nil where the model is one of its own.
  private let adapters: [LoRALayer?]?

  /// The policy as it is now, its adapter copied; the frozen base is shared.
  package init(adapterOf model: Transformer) throws(Failure) {
    self.model = model
    head = LossHead(model)
    let backend = model.backend
    var adapters: [LoRALayer?] = []
    for linear in model.linears {
      guard let adapter = linear.adapter else {
        adapters.append(nil)
        continue
      }
      func copy(_ parameter: Parameter) throws(Failure) -> Parameter {
        try Parameter(
          parameter.name, try backend.download(parameter.value), shape: parameter.shape, isMatrix: true, on: backend)
      }
      adapters.append(LoRALayer(a: try copy(adapter.a), b: try copy(adapter.b), scale: adapter.scale))
    }
    self.adapters = adapters
  }

  /// Bytes of a copied adapter: value, gradient and the form that products read.
  package static func adapterBytes(_ model: Transformer) -> Int { 12 * model.parameters.reduce(0) { $0 + $1.count } }

  /// A second model, where every parameter of the first is trained.
  package init(frozen model: Transformer) {
    self.model = model
    head = LossHead(model)
    adapters = nil
  }

  package func logProbs(_ batch: TokenBatch, _ targets: TokenTargets, temperature: Double) throws(Failure) -> [Float] {
    guard let adapters else { return try score(batch, targets, temperature) }
    let trained = model.linears.map(\.adapter)
    for (linear, adapter) in zip(model.linears, adapters) { linear.adapter = adapter }
    defer { for (linear, adapter) in zip(model.linears, trained) { linear.adapter = adapter } }
    return try score(batch, targets, temperature)
  }

  private func score(_ batch: TokenBatch, _ targets: TokenTargets, _ temperature: Double) throws(Failure) -> [Float] {
    try head.forward(try model.forward(batch).hidden, targets, temperature: temperature).logProbs
  }
}
