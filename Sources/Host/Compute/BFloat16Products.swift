import Support

/// A layer of a product: `y = scale · (x · Wᵀ + low · upᵀ) + bias + residual`.
package struct ProductLayer {
  let matrix: PackedMatrix
  var bias: Tensor?
  var low: Tensor?
  var up: PackedMatrix?
  var scale: Float = 1
  var residual: Tensor?
  let y: Tensor
}

/// A layer whose gradient meets others' in one `dx`: `dy · W + low · down`.
package struct GradientTerm {
  let dy: Tensor
  let matrix: PackedMatrix
  var low: Tensor?
  var down: PackedMatrix?
}

/// `dw += dyᵀ · x`
package typealias WeightTerm = (dy: Tensor, x: Tensor, dw: Tensor)

/// A backend that computes in bfloat16: what products read is rounded to it where it is stored (docs/precision.md says what), and layers that
/// read the same rows are multiplied together. Its coarse operations are made of these four.
package protocol BFloat16Products: Backend {
  /// Layers that read the same rows.
  func multiply(_ x: Tensor, _ layers: [ProductLayer], in arena: Arena) throws(Failure)
  /// `dx (+)= scale · Σ (dy · W + low · down)`
  func inputGradient(_ layers: [GradientTerm], scale: Float, into dx: Tensor, accumulate: Bool, in arena: Arena) throws(Failure)
  func weightGradients(_ list: [WeightTerm], in arena: Arena) throws(Failure)
  /// `db += Σ_t dy[t]`
  func biasGradient(_ dy: Tensor, _ gradient: Tensor, in arena: Arena) throws(Failure)
}

extension BFloat16Products {
  /// `(α/r)·Ax` of each layer that has a low-rank addition.
  private func projected(_ x: Tensor, _ parts: [LinearWeights], in arena: Arena) throws(Failure) -> [Tensor?] {
    var projected: [Tensor?] = []
    var layers: [ProductLayer] = []
    for part in parts {
      guard let lora = part.lora else {
        projected.append(nil)
        continue
      }
      let low = try arena.tensor(x.rows, lora.a.outputs, .bfloat16)
      projected.append(low)
      layers.append(ProductLayer(matrix: lora.a, scale: lora.scale, y: low))
    }
    if !layers.isEmpty { try multiply(x, layers, in: arena) }
    return projected
  }

  package func bfloat16NormedProjection(_ x: Tensor, _ norm: NormWeights, _ parts: [LinearWeights], in arena: Arena)
    throws(Failure) -> NormedProjection
  {
    let normed = try arena.tensor(x.rows, x.columns, .bfloat16)
    let rstd = try arena.tensor(1, x.rows)
    rmsNorm(x, norm, into: normed, rstd: rstd)
    let projected = try projected(normed, parts, in: arena)
    var outputs: [Tensor] = []
    for part in parts { outputs.append(try arena.tensor(x.rows, part.outputs, .bfloat16)) }
    try multiply(
      normed,
      parts.indices.map { ProductLayer(matrix: parts[$0].matrix, bias: parts[$0].bias, low: projected[$0], up: parts[$0].lora?.b, y: outputs[$0]) }, in: arena)
    return NormedProjection(normed: normed, rstd: rstd, outputs: outputs, projected: projected)
  }

  package func bfloat16ResidualProjection(_ a: Tensor, _ linear: LinearWeights, addingTo x: Tensor, into y: Tensor, in arena: Arena)
    throws(Failure) -> Tensor?
  {
    let projected = try projected(a, [linear], in: arena)[0]
    try multiply(
      a, [ProductLayer(matrix: linear.matrix, bias: linear.bias, low: projected, up: linear.lora?.b, residual: x, y: y)], in: arena)
    return projected
  }

  /// The gradients of layers and of their low-rank additions, and those of the latter's inputs `[T, R]`; `x` is what all of them read.
  private func weightsBackward(
    _ d: [Tensor], x: Tensor, projected: [Tensor?], _ parts: [LinearWeights], _ gradients: [LinearGradients], in arena: Arena
  ) throws(Failure) -> [Tensor?] {
    var lows: [Tensor?] = []
    var ofA: [WeightTerm] = []
    var ofB = ofA
    let whole = parts.indices.compactMap { index in gradients[index].matrix.map { (dy: d[index], x: x, dw: $0) } }
    try weightGradients(whole, in: arena)
    for index in parts.indices {
      if let gradient = gradients[index].bias { try biasGradient(d[index], gradient, in: arena) }
      guard let lora = parts[index].lora, let projected = projected[index] else {
        lows.append(nil)
        continue
      }
      let low = try arena.tensor(d[index].rows, lora.b.inputs, .bfloat16)
      try inputGradient([GradientTerm(dy: d[index], matrix: lora.b)], scale: lora.scale, into: low, accumulate: false, in: arena)
      lows.append(low)
      if let gradient = gradients[index].b { ofB.append((d[index], projected, gradient)) }
      if let gradient = gradients[index].a { ofA.append((low, x, gradient)) }
    }
    try weightGradients(ofB, in: arena)
    try weightGradients(ofA, in: arena)
    return lows
  }

  package func bfloat16NormedProjectionBackward(
    _ d: [Tensor], x: Tensor, _ kept: NormedProjection, _ norm: NormWeights, _ parts: [LinearWeights], _ gradients: [LinearGradients],
    normGradient: Tensor?, addingTo dx: Tensor?, in arena: Arena
  ) throws(Failure) {
    try arena.scope { () throws(Failure) in
      let lows = try weightsBackward(d, x: kept.normed, projected: kept.projected, parts, gradients, in: arena)
      guard let dx else { return }
      let dNormed = try arena.tensor(x.rows, x.columns)
      try inputGradient(
        parts.indices.map { GradientTerm(dy: d[$0], matrix: parts[$0].matrix, low: lows[$0], down: parts[$0].lora?.a) }, scale: 1, into: dNormed,
        accumulate: false, in: arena)
      rmsNormBackward(dNormed, x: x, norm, rstd: kept.rstd, into: dx, accumulate: true, weightGradient: normGradient)
    }
  }

  package func bfloat16ResidualProjectionBackward(
    _ dy: Tensor, a: Tensor, projected: Tensor?, _ linear: LinearWeights, _ gradients: LinearGradients, into da: Tensor, in arena: Arena
  ) throws(Failure) {
    try arena.scope { () throws(Failure) in
      let rounded = try arena.tensor(dy.rows, dy.columns, .bfloat16)
      copy(dy, to: rounded)
      let low = try weightsBackward([rounded], x: a, projected: [projected], [linear], [gradients], in: arena)[0]
      try inputGradient(
        [GradientTerm(dy: rounded, matrix: linear.matrix, low: low, down: linear.lora?.a)], scale: 1, into: da, accumulate: false, in: arena)
    }
  }
}
