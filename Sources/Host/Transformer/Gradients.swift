import Compute
import Support

/// Where the gradients of one block are added.
struct BlockGradients: Sendable {
  var norms: [NormPlace: Tensor] = [:]
  /// By ``LinearPlace``.
  var linears = Array(repeating: LinearGradients(), count: LinearPlace.allCases.count)
}

/// The gradients of an update: views into what trains a model, its adapter or both, and what of them is still to be added.
package final class Gradients {
  private(set) var embedding: Tensor?
  private(set) var head: Tensor?
  private(set) var finalNorm: Tensor?
  private(set) var blocks: [BlockGradients]
  private let stores: [ParameterStore]
  private let backend: any Backend
  /// Whether one matrix is embedding and head.
  private let isTied: Bool
  /// The embedding's shares of a gradient that it has in common with the head; see ``finish()``.
  private var waiting: [(ids: IndexTensor, dOutput: Tensor)] = []
  /// What ``waiting`` lies in.
  private let kept: Arena

  /// - Parameter adapter: the one that is trained.
  package init(_ model: Transformer, adapter: Adapter?) throws(Failure) {
    backend = model.backend
    isTied = model.configuration.tiesEmbeddings
    blocks = Array(repeating: BlockGradients(), count: model.configuration.layerCount)
    stores = [model.store, adapter?.store].compactMap { $0 }
    kept = try Arena(on: model.backend)
    for parameter in stores.flatMap(\.parameters) {
      let gradient = parameter.gradient
      switch parameter.spec.role {
      case .embedding:
        embedding = gradient
        if isTied { head = gradient }
      case .head: head = gradient
      case .finalNorm: finalNorm = gradient
      case .norm(let block, let place): blocks[block].norms[place] = gradient
      case .matrix(let block, let place): blocks[block].linears[place.rawValue].matrix = gradient
      case .bias(let block, let place): blocks[block].linears[place.rawValue].bias = gradient
      case .loraA(let block, let place): blocks[block].linears[place.rawValue].a = gradient
      case .loraB(let block, let place): blocks[block].linears[place.rawValue].b = gradient
      case .valueWeight, .valueBias: break
      }
    }
  }

  /// Whether anything below block `index` is trained, so that the gradient has to go on to it.
  func isNeeded(below index: Int) -> Bool { index > 0 || embedding != nil }

  /// Sets all to zero and forgets what an update that failed has left.
  package func begin() {
    waiting.removeAll()
    kept.reset()
    for store in stores { backend.zero(store.gradients) }
  }

  /// The embedding's share of a micro-batch.
  func add(_ dOutput: Tensor, of pass: ForwardPass) throws(Failure) {
    guard let embedding else { return }
    guard isTied else { return backend.gatherBackward(pass.ids, dOutput: dOutput, gradient: embedding) }
    // Kept until the update is whole: the memory of the pass is not.
    let share = (ids: try kept.indices(pass.batch.tokens), dOutput: try kept.tensor(dOutput.rows, dOutput.columns))
    backend.copy(dOutput, to: share.dOutput)
    waiting.append(share)
  }

  /// Makes gradients whole after the last micro-batch of an update. Where one matrix is embedding and head, the head's shares of all
  /// tokens come first and the embedding's after them, so that the sum is the same bits for every split.
  package func finish() {
    guard let embedding else { return }
    for share in waiting { backend.gatherBackward(share.ids, dOutput: share.dOutput, gradient: embedding) }
    waiting.removeAll()
    kept.reset()
  }
}
