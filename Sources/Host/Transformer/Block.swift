import Compute
import Support

/// What attention reads: the rows of the batch itself, or caches of earlier ones.
enum AttentionContext {
  /// Whole sequences; their keys and values may also be written to a cache, row t to a position of slot `slots[t]`.
  case packed(AttentionPlan, sink: (cache: KVCache, slots: IndexTensor)?)
  /// One new row per sequence.
  case cached(DecodeState, prompts: KVCache, own: KVCache)
}

/// What a block keeps of its forward for its backward. T rows, D model, I intermediate.
struct BlockActivations {
  let x: Tensor  // [T, D]
  let projection: NormedProjection  // q [T, H·C], k, v [T, G·C] as projected
  let q, k, v: Tensor  // normed where the family does, rotated
  let rstdQ, rstdK: Tensor?  // [1, T·H], [1, T·G]
  let attended, logSum: Tensor  // [T, H·C], [T, H]
  let projectedO: Tensor?
  let middle: Tensor  // [T, D]
  let gates: NormedProjection  // gate, up [T, I]
  let gated: Tensor  // [T, I]
  let projectedDown: Tensor?
}

/// One layer: attention and a gated feed-forward part, each behind a norm and added to its input.
struct Block {
  let index: Int
  let heads: HeadShape
  let weights: BlockWeights
  let rope: RotaryTable
  let backend: any Backend

  private var attentionLinears: [LinearWeights] { [weights[.q], weights[.k], weights[.v]] }
  private var gateLinears: [LinearWeights] { [weights[.gate], weights[.up]] }

  /// `x [T, D]` → `output [T, D]`
  func forward(_ x: Tensor, positions: IndexTensor, _ context: AttentionContext, into output: Tensor, in arena: Arena)
    throws(Failure) -> BlockActivations
  {
    let projection = try backend.normedProjection(x, weights.inputNorm, attentionLinears, in: arena)
    let (q, rstdQ) = try normed(projection.outputs[0], weights.queryNorm, in: arena)
    let (k, rstdK) = try normed(projection.outputs[1], weights.keyNorm, in: arena)
    let v = projection.outputs[2]
    var cacheSink: CacheSink?
    switch context {
    case .packed(_, let sink): cacheSink = sink.map { CacheSink(cache: $0.cache.layers[index], slots: $0.slots, places: positions) }
    case .cached(let state, _, let own): cacheSink = CacheSink(cache: own.layers[index], slots: state.slots, places: state.ownPositions)
    }
    rope.rotate(q: q, k: k, v: v, heads, positions: positions, sink: cacheSink)

    let attended = try arena.activations(x.rows, q.columns)
    let logSum = try arena.tensor(x.rows, heads.queryHeads)
    switch context {
    case .packed(let plan, _):
      backend.attention(plan, q: q, k: k, v: v, into: attended, logSum: logSum)
    case .cached(let state, let prompts, let own):
      try backend.attention(state, heads, prompts: prompts.layers[index], cache: own.layers[index], q: q, into: attended, in: arena)
    }
    let middle = try arena.tensor(x.rows, x.columns)
    let projectedO = try backend.residualProjection(attended, weights[.o], addingTo: x, into: middle, in: arena)

    let gates = try backend.normedProjection(middle, weights.middleNorm, gateLinears, in: arena)
    let gated = try arena.activations(x.rows, weights[.gate].outputs)
    backend.swiGLU(gate: gates.outputs[0], up: gates.outputs[1], into: gated)
    let projectedDown = try backend.residualProjection(gated, weights[.down], addingTo: middle, into: output, in: arena)

    return BlockActivations(
      x: x, projection: projection, q: q, k: k, v: v, rstdQ: rstdQ, rstdK: rstdK, attended: attended, logSum: logSum,
      projectedO: projectedO, middle: middle, gates: gates, gated: gated, projectedDown: projectedDown)
  }

  /// `dOutput [T, D]` → `dx [T, D]`, in place of `dOutput`. Where nothing below is trained, `needsInput` is false and
  /// only this block's own gradients are made.
  func backward(
    _ dOutput: Tensor, _ kept: BlockActivations, _ plan: AttentionPlan, positions: IndexTensor, _ gradients: BlockGradients,
    needsInput: Bool, in arena: Arena
  ) throws(Failure) {
    let rows = dOutput.rows
    func gradient(_ place: LinearPlace) -> LinearGradients { gradients.linears[place.rawValue] }
    try arena.scope { () throws(Failure) in
      let dGated = try arena.activations(rows, weights[.gate].outputs)
      try backend.residualProjectionBackward(
        dOutput, a: kept.gated, projected: kept.projectedDown, weights[.down], gradient(.down), into: dGated, in: arena)
      let dGate = try arena.activations(rows, weights[.gate].outputs)
      let dUp = try arena.activations(rows, weights[.up].outputs)
      backend.swiGLUBackward(dGated, gate: kept.gates.outputs[0], up: kept.gates.outputs[1], dGate: dGate, dUp: dUp)
      // dOutput becomes the gradient of the residual stream between the two halves.
      try backend.normedProjectionBackward(
        [dGate, dUp], x: kept.middle, kept.gates, weights.middleNorm, gateLinears, [gradient(.gate), gradient(.up)],
        normGradient: gradients.norms[.middle], addingTo: dOutput, in: arena)
    }
    try arena.scope { () throws(Failure) in
      let dAttended = try arena.activations(rows, weights[.q].outputs)
      try backend.residualProjectionBackward(
        dOutput, a: kept.attended, projected: kept.projectedO, weights[.o], gradient(.o), into: dAttended, in: arena)
      let dq = try arena.activations(rows, weights[.q].outputs)
      let dk = try arena.activations(rows, weights[.k].outputs)
      let dv = try arena.activations(rows, weights[.v].outputs)
      backend.attentionBackward(
        plan, q: kept.q, k: kept.k, v: kept.v, output: kept.attended, logSum: kept.logSum, dOutput: dAttended, dq: dq, dk: dk, dv: dv)
      rope.rotate(q: dq, k: dk, v: dv, heads, positions: positions, inverse: true)
      normedBackward(dq, x: kept.projection.outputs[0], kept.rstdQ, weights.queryNorm, gradients.norms[.query])
      normedBackward(dk, x: kept.projection.outputs[1], kept.rstdK, weights.keyNorm, gradients.norms[.key])
      try backend.normedProjectionBackward(
        [dq, dk, dv], x: kept.x, kept.projection, weights.inputNorm, attentionLinears, [gradient(.q), gradient(.k), gradient(.v)],
        normGradient: gradients.norms[.input], addingTo: needsInput ? dOutput : nil, in: arena)
    }
  }

  /// Heads normed one by one, where the family does so; else what was given.
  private func normed(_ x: Tensor, _ norm: NormWeights?, in arena: Arena) throws(Failure) -> (output: Tensor, rstd: Tensor?) {
    guard let norm else { return (x, nil) }
    let heads = x.reshaped(columns: heads.channels)
    let output = try arena.activations(x.rows, x.columns)
    let rstd = try arena.tensor(1, heads.rows)
    backend.rmsNorm(heads, norm, into: output.reshaped(columns: heads.columns), rstd: rstd)
    return (output, rstd)
  }

  /// In place of `d`.
  private func normedBackward(_ d: Tensor, x: Tensor, _ rstd: Tensor?, _ norm: NormWeights?, _ gradient: Tensor?) {
    guard let norm, let rstd else { return }
    let d = d.reshaped(columns: heads.channels)
    backend.rmsNormBackward(
      d, x: x.reshaped(columns: heads.channels), norm, rstd: rstd, into: d, accumulate: false, weightGradient: gradient)
  }
}
