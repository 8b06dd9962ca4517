import Compute
import Support

/// A trained matrix or vector: float32 value and gradient, and the moments once an optimiser takes it.
///
/// Names are Hugging Face's and PEFT's, so that a parameter is found in their files.
package final class Parameter {
  package let name: String
  package let shape: [Int]
  package let value: Tensor
  package let gradient: Tensor
  /// The form the products read; packed again after each update.
  package let packed: PackedMatrix?

  package init(_ name: String, _ values: [Float], shape: [Int], isMatrix: Bool, on backend: any Backend)
    throws(Failure)
  {
    self.name = name
    self.shape = shape
    let rows = shape.count == 2 ? shape[0] : 1
    let columns = shape[shape.count - 1]
    value = try backend.tensor(values, rows: rows, columns: columns)
    gradient = try backend.zeros(rows, columns)
    packed = isMatrix ? try backend.pack(values, outputs: rows, inputs: columns) : nil
  }

  package var count: Int { value.count }

  /// Tells the packed form of a changed value.
  package func valueChanged(on backend: any Backend) {
    if let packed { backend.repack(value, into: packed) }
  }

  package func setValue(_ values: [Float], on backend: any Backend) {
    backend.upload(values, to: value)
    valueChanged(on: backend)
  }
}
