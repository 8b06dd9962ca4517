import Support
import Training
import Transformer

/// The values of everything that training changes, as they were when this was made: every run of a benchmark begins
/// with exactly these bits.
package struct StartingPoint {
  private let model: Transformer
  private let values: [[Float]]

  package init(_ model: Transformer) throws(Failure) {
    self.model = model
    var values: [[Float]] = []
    for parameter in model.parameters { values.append(try model.backend.download(parameter.value)) }
    self.values = values
  }

  package func restore() {
    for (parameter, values) in zip(model.parameters, values) { parameter.setValue(values, on: model.backend) }
  }
}
