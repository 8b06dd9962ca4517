import Support

/// A backend whose coarse operations are made of its small ones, in bfloat16 of the products of ``BFloat16Products``, but for those that a
/// subclass does better.
package class ComposedBackend: @unchecked Sendable {
  /// This one.
  private var operations: any Backend {
    guard let backend = self as? any Backend else { preconditionFailure("\(type(of: self)) is a backend") }
    return backend
  }

  /// The same where it computes in bfloat16.
  private var inBFloat16: (any BFloat16Products)? { activation == .bfloat16 ? self as? any BFloat16Products : nil }

  package var activation: ElementType { .float32 }
  package var keepsHeadMean: Bool { false }

  package func normedProjection(_ x: Tensor, _ norm: NormWeights, _ parts: [LinearWeights], in arena: Arena)
    throws(Failure) -> NormedProjection
  {
    if let halves = inBFloat16 { return try halves.bfloat16NormedProjection(x, norm, parts, in: arena) }
    return try operations.composedNormedProjection(x, norm, parts, in: arena)
  }

  package func normedProjectionBackward(
    _ d: [Tensor], x: Tensor, _ kept: NormedProjection, _ norm: NormWeights, _ parts: [LinearWeights], _ gradients: [LinearGradients],
    normGradient: Tensor?, addingTo dx: Tensor?, in arena: Arena
  ) throws(Failure) {
    if let halves = inBFloat16 {
      return try halves.bfloat16NormedProjectionBackward(d, x: x, kept, norm, parts, gradients, normGradient: normGradient, addingTo: dx, in: arena)
    }
    try operations.composedNormedProjectionBackward(d, x: x, kept, norm, parts, gradients, normGradient: normGradient, addingTo: dx, in: arena)
  }

  package func rotate(
    q: Tensor, k: Tensor, v: Tensor, _ heads: HeadShape, positions: IndexTensor, cos: Tensor, sin: Tensor, inverse: Bool, sink: CacheSink?
  ) {
    operations.composedRotate(q: q, k: k, v: v, heads, positions: positions, cos: cos, sin: sin, inverse: inverse, sink: sink)
  }

  package func residualProjection(_ a: Tensor, _ linear: LinearWeights, addingTo x: Tensor, into y: Tensor, in arena: Arena)
    throws(Failure) -> Tensor?
  {
    if let halves = inBFloat16 { return try halves.bfloat16ResidualProjection(a, linear, addingTo: x, into: y, in: arena) }
    return try operations.composedResidualProjection(a, linear, addingTo: x, into: y, in: arena)
  }

  package func residualProjectionBackward(
    _ dy: Tensor, a: Tensor, projected: Tensor?, _ linear: LinearWeights, _ gradients: LinearGradients, into da: Tensor, in arena: Arena
  ) throws(Failure) {
    if let halves = inBFloat16 {
      return try halves.bfloat16ResidualProjectionBackward(dy, a: a, projected: projected, linear, gradients, into: da, in: arena)
    }
    try operations.composedResidualProjectionBackward(dy, a: a, projected: projected, linear, gradients, into: da, in: arena)
  }

  package func head(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor, inverseTemperature: Float, into output: HeadOutput, in arena: Arena)
    throws(Failure)
  {
    try operations.composedHead(hidden, matrix, targets: targets, inverseTemperature: inverseTemperature, into: output, in: arena)
  }

  package func headBackward(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor, inverseTemperature: Float, _ output: HeadOutput, dLogProb: Tensor,
    dEntropy: Tensor?, into dHidden: Tensor, weightGradient: Tensor?, in arena: Arena
  ) throws(Failure) {
    try operations.composedHeadBackward(
      hidden, matrix, targets: targets, inverseTemperature: inverseTemperature, output, dLogProb: dLogProb, dEntropy: dEntropy, into: dHidden,
      weightGradient: weightGradient, in: arena)
  }

  package func drawStep(_ hidden: Tensor, _ matrix: PackedMatrix, _ settings: SamplingSettings, _ state: DecodeState, in arena: Arena)
    throws(Failure)
  {
    try operations.composedDrawStep(hidden, matrix, settings, state, in: arena)
  }
}
