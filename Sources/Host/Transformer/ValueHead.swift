import Compute
import Support

/// A critic on the policy's trunk: `V = w · h + b` on the normalised last hidden state. Starts at zero.
package final class ValueHead {
  package let weight: Parameter
  package let bias: Parameter
  private let backend: any Backend

  package struct Pass {
    package let values: [Float]
    fileprivate let hidden: Tensor
    fileprivate let rows: IndexTensor
  }

  package init(hiddenSize: Int, on backend: any Backend) throws(Failure) {
    self.backend = backend
    weight = try Parameter(
      "value_head.weight", Array(repeating: 0, count: hiddenSize), shape: [1, hiddenSize], isMatrix: true, on: backend)
    bias = try Parameter("value_head.bias", [0], shape: [1], isMatrix: false, on: backend)
  }

  package var parameters: [Parameter] { [weight, bias] }

  /// Values `[n]` of the states `hidden[rows[i]]`.
  package func forward(_ hidden: Tensor, rows: [Int32]) throws(Failure) -> Pass {
    let indices = try backend.upload(rows)
    let wanted = try backend.tensor(rows.count, hidden.columns)
    backend.take(indices, of: hidden, into: wanted)
    let values = try backend.tensor(rows.count, 1)
    backend.linear(wanted, weight.packed!, bias: bias.value, into: values, accumulate: false)
    return Pass(values: try backend.download(values), hidden: wanted, rows: indices)
  }

  /// Gradients of the head, and of the hidden state `[T, D]`, added to `dHidden`.
  package func backward(_ pass: Pass, dValues: [Float], into dHidden: Tensor) throws(Failure) {
    let d = try backend.tensor(dValues, rows: dValues.count, columns: 1)
    backend.linearBackward(d, x: pass.hidden, weightGradient: weight.gradient)
    backend.linearBackward(d, biasGradient: bias.gradient)
    let dWanted = try backend.tensor(dValues.count, dHidden.columns)
    backend.linearBackward(d, weight.packed!, into: dWanted, accumulate: false)
    backend.add(dWanted, toRows: pass.rows, of: dHidden)
  }
}
