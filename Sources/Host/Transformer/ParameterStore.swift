import Compute
import Support

/// One trained tensor: views of its value and gradient, and the form of it that products read.
package struct Parameter: Sendable {
  package let spec: TensorSpec
  package let value: Tensor
  package let gradient: Tensor
  package let packed: PackedMatrix?

  package var name: String { spec.name }
  package var shape: [Int] { spec.shape }
}

/// What is trained together: float32 values and gradients of many tensors, each in one flat tensor, so that zeroing, norm, AdamW and
/// sums over ranks are one operation each.
package final class ParameterStore: Sendable {
  package let specs: [TensorSpec]
  /// `[1, all]`; between the tensors lie zeros, so that each begins at a line of the cache.
  package let values: Tensor
  package let gradients: Tensor
  /// Where each tensor lies.
  package let parts: [Range<Int>]
  package let flatParts: FlatParts
  package let parameters: [Parameter]
  package let backend: any Backend
  private let packing: PackingList

  /// - Parameter fill: gives the values of each tensor, one after another.
  package init(_ specs: [TensorSpec], on backend: any Backend, fill: (TensorSpec) throws(Failure) -> [Float]) throws(Failure) {
    var parts: [Range<Int>] = []
    var end = 0
    for spec in specs {
      parts.append(end..<(end + spec.count))
      end += (spec.count + 15) / 16 * 16
    }
    values = try backend.tensor(1, end)
    gradients = try backend.tensor(1, end)
    var parameters: [Parameter] = []
    var packing: [Repacking] = []
    for (spec, part) in zip(specs, parts) {
      let value = values.part(part, columns: spec.columns)
      backend.upload(try fill(spec), to: value)
      var packed: PackedMatrix?
      if spec.role.isMatrix {
        let matrix = try backend.packed(outputs: spec.rows, inputs: spec.columns, as: backend.trainedFormat)
        packing.append(Repacking(value: value, matrix: matrix))
        packed = matrix
      }
      parameters.append(
        Parameter(spec: spec, value: value, gradient: gradients.part(part, columns: spec.columns), packed: packed))
    }
    self.specs = specs
    self.parts = parts
    flatParts = try backend.parts(parts)
    self.parameters = parameters
    self.packing = try backend.packing(packing)
    self.backend = backend
    repack()
  }

  package var count: Int { specs.reduce(0) { $0 + $1.count } }

  /// Tells the packed forms of changed values.
  package func repack() { backend.repack(packing) }

  /// The packed forms of all matrices as they are now, apart from those that training changes; in the order of ``specs``.
  package func frozen() throws(Failure) -> [PackedMatrix?] {
    var copies: [PackedMatrix?] = []
    var list: [Repacking] = []
    for parameter in parameters {
      guard parameter.packed != nil else {
        copies.append(nil)
        continue
      }
      let copy = try backend.packed(outputs: parameter.spec.rows, inputs: parameter.spec.columns, as: backend.trainedFormat)
      list.append(Repacking(value: parameter.value, matrix: copy))
      copies.append(copy)
    }
    backend.repack(try backend.packing(list))
    return copies
  }

  /// The values as they are now, and back to them.
  package func copyValues() throws(Failure) -> Tensor {
    let copy = try backend.tensor(1, values.columns)
    backend.copy(values, to: copy)
    return copy
  }

  package func setValues(_ copy: Tensor) {
    backend.copy(copy, to: values)
    repack()
  }

  package func parameter(_ name: String) -> Parameter? { parameters.first { $0.name == name } }
}
