import Support

/// The factors of a root-mean-square norm, one a channel (Zhang and Sennrich, arXiv 1910.07467).
package struct NormWeights: Sendable {
  package let weight: Tensor
  package let epsilon: Float

  package init(weight: Tensor, epsilon: Float) {
    self.weight = weight
    self.epsilon = epsilon
  }
}

/// A low-rank addition to a linear layer: `y += (α/r) · B(Ax)` (Hu et al., arXiv 2106.09685). A `[R, K]`, B `[N, R]`.
package struct LoRAWeights: Sendable {
  package let a: PackedMatrix
  package let b: PackedMatrix
  package let scale: Float

  package init(a: PackedMatrix, b: PackedMatrix, scale: Float) {
    self.a = a
    self.b = b
    self.scale = scale
  }
}

/// `y = x · Wᵀ + bias`, with an optional low-rank addition.
package struct LinearWeights: Sendable {
  package let matrix: PackedMatrix
  package let bias: Tensor?
  package var lora: LoRAWeights?

  package init(matrix: PackedMatrix, bias: Tensor? = nil, lora: LoRAWeights? = nil) {
    self.matrix = matrix
    self.bias = bias
    self.lora = lora
  }

  package var outputs: Int { matrix.outputs }
  package var inputs: Int { matrix.inputs }
}

/// Where the gradients of a linear layer are added; nil where something is not trained.
package struct LinearGradients: Sendable {
  package var matrix: Tensor?
  package var bias: Tensor?
  package var a: Tensor?
  package var b: Tensor?

  package init(matrix: Tensor? = nil, bias: Tensor? = nil, a: Tensor? = nil, b: Tensor? = nil) {
    self.matrix = matrix
    self.bias = bias
    self.a = a
    self.b = b
  }
}

/// What several linear layers made of one normed input.
package struct NormedProjection: Sendable {
  /// `[T, D]`, `[1, T]`
  package let normed, rstd: Tensor
  /// `[T, Nᵢ]` of each layer
  package let outputs: [Tensor]
  /// `(α/r)·Ax [T, R]` of each layer that has a low-rank addition
  package let projected: [Tensor?]
}

/// Where keys and values of rows go besides.
package struct CacheSink: Sendable {
  package let cache: CacheLayer
  package let slots, places: IndexTensor

  package init(cache: CacheLayer, slots: IndexTensor, places: IndexTensor) {
    self.cache = cache
    self.slots = slots
    self.places = places
  }
}

/// Log-probabilities of targets, entropies of their distributions, and the logarithm of each distribution's sum: `[n, 1]` each.
package struct HeadOutput: Sendable {
  package let logProb, entropy, logSum: Tensor
  /// `Σ_v p_v W[v]  [n, D]`, of which the gradient by log-probabilities is made; nil where it is made of logits once more.
  package let mean: Tensor?

  /// - Parameter meanColumns: the width of hidden states, where their ``mean`` is wanted.
  package init(rows: Int, meanColumns: Int? = nil, in arena: Arena) throws(Failure) {
    logProb = try arena.tensor(rows, 1)
    entropy = try arena.tensor(rows, 1)
    logSum = try arena.tensor(rows, 1)
    mean = try meanColumns.map { columns throws(Failure) in try arena.tensor(rows, columns) }
  }
}

extension Backend {
  // MARK: A linear layer

  /// `x [T, K]` → `y [T, N]`; returns `(α/r)·Ax [T, R]` where there is a low-rank addition.
  private func forward(_ x: Tensor, _ linear: LinearWeights, into y: Tensor, in arena: Arena) throws(Failure) -> Tensor? {
    self.linear(x, linear.matrix, bias: linear.bias, into: y, accumulate: false)
    guard let lora = linear.lora else { return nil }
    let projected = try arena.tensor(x.rows, lora.a.outputs)
    self.linear(x, lora.a, bias: nil, into: projected, accumulate: false)
    scale(projected, by: lora.scale)
    self.linear(projected, lora.b, bias: nil, into: y, accumulate: true)
    return projected
  }

  /// `dy [T, N]` → `dx [T, K]` (overwritten or added to), and the gradients of what is trained. With no `dx` only those.
  private func backward(
    _ dy: Tensor, x: Tensor, projected: Tensor?, _ linear: LinearWeights, _ gradients: LinearGradients, into dx: Tensor?,
    accumulate: Bool, in arena: Arena
  ) throws(Failure) {
    if let dx { linearBackward(dy, linear.matrix, into: dx, accumulate: accumulate) }
    if let gradient = gradients.matrix { linearBackward(dy, x: x, weightGradient: gradient) }
    if let gradient = gradients.bias { linearBackward(dy, biasGradient: gradient) }
    guard let lora = linear.lora, let projected else { return }
    try arena.scope { () throws(Failure) in
      if let gradient = gradients.b { linearBackward(dy, x: projected, weightGradient: gradient) }
      let dProjected = try arena.tensor(dy.rows, lora.b.inputs)
      linearBackward(dy, lora.b, into: dProjected, accumulate: false)
      scale(dProjected, by: lora.scale)
      if let gradient = gradients.a { linearBackward(dProjected, x: x, weightGradient: gradient) }
      if let dx { linearBackward(dProjected, lora.a, into: dx, accumulate: true) }
    }
  }

  // MARK: Projections of a block

  package func composedNormedProjection(_ x: Tensor, _ norm: NormWeights, _ parts: [LinearWeights], in arena: Arena)
    throws(Failure) -> NormedProjection
  {
    let normed = try arena.tensor(x.rows, x.columns)
    let rstd = try arena.tensor(1, x.rows)
    rmsNorm(x, norm, into: normed, rstd: rstd)
    var outputs: [Tensor] = []
    var projected: [Tensor?] = []
    for part in parts {
      let output = try arena.tensor(x.rows, part.outputs)
      projected.append(try forward(normed, part, into: output, in: arena))
      outputs.append(output)
    }
    return NormedProjection(normed: normed, rstd: rstd, outputs: outputs, projected: projected)
  }

  package func composedNormedProjectionBackward(
    _ d: [Tensor], x: Tensor, _ kept: NormedProjection, _ norm: NormWeights, _ parts: [LinearWeights], _ gradients: [LinearGradients],
    normGradient: Tensor?, addingTo dx: Tensor?, in arena: Arena
  ) throws(Failure) {
    try arena.scope { () throws(Failure) in
      let dNormed = dx == nil ? nil : try arena.tensor(x.rows, x.columns)
      for index in parts.indices {
        try backward(
          d[index], x: kept.normed, projected: kept.projected[index], parts[index], gradients[index], into: dNormed,
          accumulate: index > 0, in: arena)
      }
      if let dNormed, let dx {
        rmsNormBackward(dNormed, x: x, norm, rstd: kept.rstd, into: dx, accumulate: true, weightGradient: normGradient)
      }
    }
  }

  package func composedRotate(
    q: Tensor, k: Tensor, v: Tensor, _ heads: HeadShape, positions: IndexTensor, cos: Tensor, sin: Tensor, inverse: Bool, sink: CacheSink?
  ) {
    rotate(q, channels: heads.channels, positions: positions, cos: cos, sin: sin, inverse: inverse)
    rotate(k, channels: heads.channels, positions: positions, cos: cos, sin: sin, inverse: inverse)
    if let sink { writeCache(sink.cache, heads, k: k, v: v, slots: sink.slots, positions: sink.places) }
  }

  package func composedResidualProjection(_ a: Tensor, _ linear: LinearWeights, addingTo x: Tensor, into y: Tensor, in arena: Arena)
    throws(Failure) -> Tensor?
  {
    let projected = try forward(a, linear, into: y, in: arena)
    add(x, to: y)
    return projected
  }

  package func composedResidualProjectionBackward(
    _ dy: Tensor, a: Tensor, projected: Tensor?, _ linear: LinearWeights, _ gradients: LinearGradients, into da: Tensor, in arena: Arena
  ) throws(Failure) {
    try backward(dy, x: a, projected: projected, linear, gradients, into: da, accumulate: false, in: arena)
  }

  // MARK: The head

  /// Logits `[n, V]` of some rows of `hidden` at a time.
  private func forEachChunk(
    _ hidden: Tensor, _ matrix: PackedMatrix, in arena: Arena, _ body: (Range<Int>, Tensor) -> Void
  ) throws(Failure) {
    let chunk = max(16, min(4096, (32 << 20) / matrix.outputs))
    for start in stride(from: 0, to: hidden.rows, by: chunk) {
      let range = start..<min(start + chunk, hidden.rows)
      try arena.scope { () throws(Failure) in
        let logits = try arena.tensor(range.count, matrix.outputs)
        linear(hidden.rows(range), matrix, bias: nil, into: logits, accumulate: false)
        body(range, logits)
      }
    }
  }

  package func composedHead(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor, inverseTemperature: Float, into output: HeadOutput, in arena: Arena
  ) throws(Failure) {
    try forEachChunk(hidden, matrix, in: arena) { range, logits in
      logSoftmax(
        logits, inverseTemperature: inverseTemperature, targets: targets.range(range), logProb: output.logProb.rows(range),
        entropy: output.entropy.rows(range), logSum: output.logSum.rows(range))
    }
  }

  package func composedHeadBackward(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor, inverseTemperature: Float, _ output: HeadOutput, dLogProb: Tensor,
    dEntropy: Tensor?, into dHidden: Tensor, weightGradient: Tensor?, in arena: Arena
  ) throws(Failure) {
    try forEachChunk(hidden, matrix, in: arena) { range, logits in
      logSoftmaxBackward(
        logits, inverseTemperature: inverseTemperature, targets: targets.range(range), logSum: output.logSum.rows(range),
        entropy: output.entropy.rows(range), dLogProb: dLogProb.rows(range), dEntropy: dEntropy?.rows(range))
      linearBackward(logits, matrix, into: dHidden.rows(range), accumulate: false)
      if let weightGradient { linearBackward(logits, x: hidden.rows(range), weightGradient: weightGradient) }
    }
  }

  package func composedDrawStep(_ hidden: Tensor, _ matrix: PackedMatrix, _ settings: SamplingSettings, _ state: DecodeState, in arena: Arena)
    throws(Failure)
  {
    try arena.scope { () throws(Failure) in
      let logits = try arena.tensor(hidden.rows, matrix.outputs)
      linear(hidden, matrix, bias: nil, into: logits, accumulate: false)
      try sampleStep(logits, settings, state, in: arena)
    }
  }
}
