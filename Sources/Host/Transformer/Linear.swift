import Compute
import Support

/// A low-rank addition to a linear layer: `y += (α/r) · B(Ax)` (Hu et al., arXiv 2106.09685). A `[R, K]`, B `[N, R]`.
package struct LoRALayer {
  package let a: Parameter
  package let b: Parameter
  package let scale: Float

  package init(a: Parameter, b: Parameter, scale: Float) {
    self.a = a
    self.b = b
    self.scale = scale
  }
}

/// `y = x · Wᵀ + b`, with an optional low-rank addition. W is frozen in its packed form, or a trained parameter.
package final class Linear {
  /// The module's name, as `model.layers.0.self_attn.q_proj`.
  package let name: String
  package let weight: PackedMatrix
  package let trainedWeight: Parameter?
  package let bias: Tensor?
  package let trainedBias: Parameter?
  package var adapter: LoRALayer?

  package var outputs: Int { weight.outputs }
  package var inputs: Int { weight.inputs }

  init(name: String, weight: PackedMatrix, trainedWeight: Parameter?, bias: Tensor?, trainedBias: Parameter?) {
    self.name = name
    self.weight = weight
    self.trainedWeight = trainedWeight
    self.bias = bias
    self.trainedBias = trainedBias
  }

  /// What the backward needs beside the input: `(α/r)·Ax` `[T, R]`, where there is an adapter.
  struct Saved {
    let projected: Tensor?
  }

  /// `x [T, K]` → `y [T, N]`
  func forward(_ x: Tensor, into y: Tensor, on backend: any Backend) throws(Failure) -> Saved {
    backend.linear(x, weight, bias: bias, into: y, accumulate: false)
    guard let adapter, let a = adapter.a.packed, let b = adapter.b.packed else { return Saved(projected: nil) }
    let projected = try backend.tensor(x.rows, a.outputs)
    backend.linear(x, a, bias: nil, into: projected, accumulate: false)
    backend.scale(projected, by: adapter.scale)
    backend.linear(projected, b, bias: nil, into: y, accumulate: true)
    return Saved(projected: projected)
  }

  /// `dy [T, N]` → `dx [T, K]` (overwritten or added to), and the gradients of what is trained. With no `dx` only those.
  func backward(
    _ dy: Tensor, x: Tensor, saved: Saved, into dx: Tensor?, accumulate: Bool, on backend: any Backend
  ) throws(Failure) {
    if let dx { backend.linearBackward(dy, weight, into: dx, accumulate: accumulate) }
    if let trainedWeight { backend.linearBackward(dy, x: x, weightGradient: trainedWeight.gradient) }
    if let trainedBias { backend.linearBackward(dy, biasGradient: trainedBias.gradient) }
    guard let adapter, let a = adapter.a.packed, let b = adapter.b.packed, let projected = saved.projected else {
      return
    }
    backend.linearBackward(dy, x: projected, weightGradient: adapter.b.gradient)
    let dProjected = try backend.tensor(dy.rows, b.inputs)
    backend.linearBackward(dy, b, into: dProjected, accumulate: false)
    backend.scale(dProjected, by: adapter.scale)
    backend.linearBackward(dProjected, x: x, weightGradient: adapter.a.gradient)
    if let dx { backend.linearBackward(dProjected, a, into: dx, accumulate: true) }
  }
}

/// Root-mean-square normalisation with a learned factor per channel (Zhang and Sennrich, arXiv 1910.07467).
package struct Norm {
  let weight: Tensor
  let trained: Parameter?
  let epsilon: Float

  /// `x [T, D]` → normalised `[T, D]` and `rstd [T]`
  func forward(_ x: Tensor, on backend: any Backend) throws(Failure) -> (output: Tensor, rstd: Tensor) {
    let output = try backend.tensor(x.rows, x.columns)
    let rstd = try backend.tensor(1, x.rows)
    backend.rmsNorm(x, weight: weight, epsilon: epsilon, into: output, rstd: rstd)
    return (output, rstd)
  }

  func backward(
    _ dy: Tensor, x: Tensor, rstd: Tensor, into dx: Tensor, accumulate: Bool, on backend: any Backend
  ) {
    backend.rmsNormBackward(
      dy, x: x, weight: weight, rstd: rstd, into: dx, accumulate: accumulate, weightGradient: trained?.gradient)
  }
}
