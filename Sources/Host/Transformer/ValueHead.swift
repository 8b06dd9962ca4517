import Compute
import Support

/// A critic on the policy's trunk: `V = w · h + b` on the normalised last hidden state. Starts at zero.
package final class ValueHead {
  /// What its tensors' names begin with, as those of no model do.
  package static let prefix = "value_head."

  package let store: ParameterStore
  private let backend: any Backend
  private var weight: Parameter { store.parameters[0] }
  private var bias: Parameter { store.parameters[1] }

  package struct Pass {
    package let values: Pending<[Float]>
    fileprivate let hidden: Tensor
    fileprivate let rows: IndexTensor
  }

  package init(hiddenSize: Int, on backend: any Backend) throws(Failure) {
    self.backend = backend
    store = try ParameterStore(
      [
        TensorSpec(Self.prefix + "weight", [1, hiddenSize], .valueWeight, .constant(0)),
        TensorSpec(Self.prefix + "bias", [1], .valueBias, .constant(0)),
      ], on: backend
    ) { spec in spec.initial.values(count: spec.count, stream: RandomStream(seed: 0)) }
  }

  /// Values `[n]` of the states `hidden[rows[i]]`.
  package func forward(_ hidden: Tensor, rows: [Int32], in arena: Arena) throws(Failure) -> Pass {
    let indices = try arena.indices(rows)
    let wanted = try arena.tensor(rows.count, hidden.columns, hidden.element)
    backend.take(indices, of: hidden, into: wanted)
    let values = try arena.tensor(rows.count, 1)
    backend.linear(wanted, weight.packed!, bias: bias.value, into: values, accumulate: false)
    return Pass(values: try backend.download(values), hidden: wanted, rows: indices)
  }

  /// Gradients of the head, and of the hidden state `[T, D]`, added to `dHidden`.
  package func backward(_ pass: Pass, dValues: [Float], into dHidden: Tensor, in arena: Arena) throws(Failure) {
    try arena.scope { () throws(Failure) in
      let d = try arena.tensor(dValues, rows: dValues.count, columns: 1)
      backend.linearBackward(d, x: pass.hidden, weightGradient: weight.gradient)
      backend.linearBackward(d, biasGradient: bias.gradient)
      let dWanted = try arena.tensor(dValues.count, dHidden.columns)
      backend.linearBackward(d, weight.packed!, into: dWanted, accumulate: false)
      backend.add(dWanted, toRows: pass.rows, of: dHidden)
    }
  }
}
