/// What the arguments of operations have to be: said once for all backends. A shape that is wrong is a mistake of the program.
enum Shapes {
  static func pack(_ bytes: UnsafeRawBufferPointer, _ format: WeightFormat, outputs: Int, inputs: Int) {
    precondition(bytes.count == outputs * inputs * (format.byteCount ?? 0), "the bytes are those of a dense matrix")
  }

  static func repack(_ item: Repacking) {
    precondition(item.value.rows == item.matrix.outputs && item.value.columns == item.matrix.inputs)
    precondition(item.matrix.format.byteCount != nil, "blocks of four bits are not trained")
  }

  static func copy(_ source: Tensor, to destination: Tensor) {
    precondition(source.rows == destination.rows && source.columns == destination.columns)
  }

  static func gather(_ ids: IndexTensor, from matrix: PackedMatrix, into output: Tensor) {
    precondition(output.rows == ids.count && output.columns == matrix.inputs)
  }

  static func gatherBackward(_ ids: IndexTensor, dOutput: Tensor, gradient: Tensor) {
    precondition(dOutput.rows == ids.count && dOutput.columns == gradient.columns && gradient.isContiguous)
  }

  static func linear(_ x: Tensor, _ weight: PackedMatrix, bias: Tensor?, into y: Tensor) {
    precondition(x.columns == weight.inputs && y.columns == weight.outputs && x.rows == y.rows)
    precondition(bias == nil || bias?.count == weight.outputs)
  }

  static func linearBackward(_ dy: Tensor, _ weight: PackedMatrix, into dx: Tensor) {
    precondition(dx.columns == weight.inputs && dy.columns == weight.outputs && dx.rows == dy.rows)
  }

  static func linearBackward(_ dy: Tensor, x: Tensor, weightGradient: Tensor) {
    precondition(dy.rows == x.rows && weightGradient.rows == dy.columns && weightGradient.columns == x.columns)
  }

  static func linearBackward(_ dy: Tensor, biasGradient: Tensor) {
    precondition(biasGradient.count == dy.columns && biasGradient.isContiguous)
  }

  static func scale(_ x: Tensor) { precondition(x.isContiguous) }

  static func add(_ y: Tensor, to x: Tensor) { precondition(x.isContiguous && y.isContiguous && x.count == y.count) }

  static func take(_ rows: IndexTensor, of x: Tensor, into output: Tensor) {
    precondition(output.rows == rows.count && output.columns == x.columns)
  }

  static func add(_ y: Tensor, toRows rows: IndexTensor, of x: Tensor) {
    precondition(y.rows == rows.count && y.columns == x.columns)
  }

  static func rmsNorm(_ x: Tensor, _ norm: NormWeights, into y: Tensor, rstd: Tensor) {
    precondition(x.isContiguous && y.isContiguous && x.count == y.count)
    precondition(norm.weight.count == x.columns && rstd.count == x.rows)
  }

  static func rmsNormBackward(_ dy: Tensor, x: Tensor, _ norm: NormWeights, rstd: Tensor, into dx: Tensor, weightGradient: Tensor?) {
    precondition(x.isContiguous && dy.isContiguous && dx.isContiguous && x.count == dy.count && x.count == dx.count)
    precondition(norm.weight.count == x.columns && rstd.count == x.rows && weightGradient.map { $0.count == x.columns } ?? true)
  }

  static func rotate(_ x: Tensor, channels: Int, positions: IndexTensor, cos: Tensor, sin: Tensor) {
    precondition(positions.count == x.rows && x.columns % channels == 0 && cos.columns == channels / 2 && sin.columns == channels / 2)
    precondition(cos.isContiguous && sin.isContiguous)
  }

  static func swiGLU(gate: Tensor, up: Tensor, into output: Tensor) {
    precondition(gate.isContiguous && up.isContiguous && output.isContiguous)
    precondition(gate.count == up.count && gate.count == output.count)
  }

  static func swiGLUBackward(_ dOutput: Tensor, gate: Tensor, up: Tensor, dGate: Tensor, dUp: Tensor) {
    precondition(dOutput.count == gate.count && dOutput.count == up.count)
    precondition(dOutput.count == dGate.count && dOutput.count == dUp.count && dOutput.isContiguous)
    precondition(gate.isContiguous && up.isContiguous && dGate.isContiguous && dUp.isContiguous)
  }

  static func plan(_ segments: [Segment], rows: Int) {
    for segment in segments {
      precondition(segment.start >= 0 && segment.length >= 0 && segment.start + segment.length <= rows)
      precondition(segment.prefixStart >= 0 && segment.prefixStart + segment.prefixLength <= rows)
    }
  }

  private static func attention(_ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor) {
    precondition(q.columns == plan.heads.queryHeads * plan.heads.channels && q.rows == plan.rows)
    precondition(k.columns == plan.heads.keyValueHeads * plan.heads.channels && v.columns == k.columns)
    precondition(k.rows == q.rows && v.rows == q.rows)
  }

  static func attention(_ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, into output: Tensor, logSum: Tensor) {
    attention(plan, q: q, k: k, v: v)
    precondition(output.rows == q.rows && output.columns == q.columns)
    precondition(logSum.rows == q.rows && logSum.columns == plan.heads.queryHeads && logSum.isContiguous)
  }

  static func attentionBackward(
    _ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, output: Tensor, logSum: Tensor, dOutput: Tensor, dq: Tensor, dk: Tensor,
    dv: Tensor
  ) {
    attention(plan, q: q, k: k, v: v, into: output, logSum: logSum)
    attention(plan, q: dq, k: dk, v: dv)
    precondition(dOutput.rows == q.rows && dOutput.columns == q.columns)
  }

  static func writeCache(_ heads: HeadShape, k: Tensor, v: Tensor, slots: IndexTensor, positions: IndexTensor) {
    precondition(slots.count == k.rows && positions.count == k.rows && v.rows == k.rows)
    precondition(k.columns == heads.keyValueHeads * heads.channels && v.columns == k.columns)
  }

  static func attention(_ state: DecodeState, _ heads: HeadShape, q: Tensor, into output: Tensor) {
    precondition(state.rows == q.rows && output.rows == q.rows && q.columns == heads.queryHeads * heads.channels)
    precondition(output.columns == q.columns)
  }

  static func logSoftmax(_ logits: Tensor, targets: IndexTensor, logProb: Tensor, entropy: Tensor, logSum: Tensor) {
    precondition(targets.count == logits.rows && logProb.count == logits.rows)
    precondition(entropy.count == logits.rows && logSum.count == logits.rows)
  }

  static func logSoftmaxBackward(_ logits: Tensor, targets: IndexTensor, logSum: Tensor, entropy: Tensor, dLogProb: Tensor, dEntropy: Tensor?) {
    precondition(targets.count == logits.rows && dLogProb.count == logits.rows && logSum.count == logits.rows)
    precondition(entropy.count == logits.rows && dEntropy.map { $0.count == logits.rows } ?? true)
  }

  static func adamW(parameter: Tensor, gradient: Tensor, m: Tensor, v: Tensor) {
    precondition(parameter.isContiguous && gradient.count == parameter.count && m.count == parameter.count && v.count == parameter.count)
  }

  static func sumOfSquares(_ x: Tensor, _ parts: FlatParts) {
    precondition(x.isContiguous && parts.ranges.allSatisfy { $0.lowerBound >= 0 && $0.upperBound <= x.count })
  }
}
