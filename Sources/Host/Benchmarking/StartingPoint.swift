import Compute
import Support
import Training
import Transformer

/// The values of everything that training changes, as they were when this was made: every run of a benchmark begins
/// with exactly these bits.
package struct StartingPoint {
  private let stores: [(store: ParameterStore, values: Tensor)]

  package init(_ trained: RunModel) throws(Failure) {
    var stores: [(store: ParameterStore, values: Tensor)] = []
    for store in [trained.model.store, trained.adapter?.store].compactMap({ $0 }) { stores.append((store, try store.copyValues())) }
    self.stores = stores
  }

  package func restore() {
    for (store, values) in stores { store.setValues(values) }
  }
}
