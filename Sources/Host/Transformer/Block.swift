import Compute
import Support

/// What attention reads: the rows of the batch itself, or a cache of earlier ones.
enum AttentionContext {
  /// Whole sequences; their keys and values may also be written to a cache.
  case packed(segments: [Segment], sink: (cache: KVCache, slots: IndexTensor)?)
  /// One new row per sequence.
  case cached(KVCache, slots: IndexTensor, lengths: IndexTensor)
}

/// What a block keeps of its forward for its backward. T rows, D model, I intermediate.
struct BlockActivations {
  let x, rstd1, normed1: Tensor  // [T, D], [T], [T, D]
  let q, k, v: Tensor  // [T, H·C], [T, G·C], [T, G·C], rotated
  let attended, logSum: Tensor  // [T, H·C], [T, H]
  let middle, rstd2, normed2: Tensor  // [T, D], [T], [T, D]
  let gate, up, gated: Tensor  // [T, I]
  let savedQ, savedK, savedV, savedO, savedGate, savedUp, savedDown: Linear.Saved

}

/// One layer: attention and a gated feed-forward part, each behind a norm and added to its input.
package final class Block {
  let index: Int
  let heads: HeadShape
  let norm1, norm2: Norm
  package let q, k, v, o, gate, up, down: Linear

  init(
    index: Int, heads: HeadShape, norm1: Norm, norm2: Norm, q: Linear, k: Linear, v: Linear, o: Linear, gate: Linear,
    up: Linear, down: Linear
  ) {
    self.index = index
    self.heads = heads
    self.norm1 = norm1
    self.norm2 = norm2
    self.q = q
    self.k = k
    self.v = v
    self.o = o
    self.gate = gate
    self.up = up
    self.down = down
  }

  package var linears: [Linear] { [q, k, v, o, gate, up, down] }

  /// `x [T, D]` → `[T, D]`
  func forward(_ x: Tensor, positions: IndexTensor, rope: RotaryTable, _ context: AttentionContext, on backend: any Backend)
    throws(Failure) -> (output: Tensor, activations: BlockActivations)
  {
    let rows = x.rows
    let (normed1, rstd1) = try norm1.forward(x, on: backend)
    let q = try backend.tensor(rows, self.q.outputs)
    let k = try backend.tensor(rows, self.k.outputs)
    let v = try backend.tensor(rows, self.v.outputs)
    let savedQ = try self.q.forward(normed1, into: q, on: backend)
    let savedK = try self.k.forward(normed1, into: k, on: backend)
    let savedV = try self.v.forward(normed1, into: v, on: backend)
    rope.rotate(q, channels: heads.channels, positions: positions, on: backend)
    rope.rotate(k, channels: heads.channels, positions: positions, on: backend)

    let attended = try backend.tensor(rows, q.columns)
    let logSum = try backend.tensor(rows, heads.queryHeads)
    switch context {
    case .packed(let segments, let sink):
      if let sink {
        backend.writeCache(sink.cache.layers[index], heads, k: k, v: v, slots: sink.slots, positions: positions)
      }
      backend.attention(segments, heads, q: q, k: k, v: v, into: attended, logSum: logSum)
    case .cached(let cache, let slots, let lengths):
      let layer = cache.layers[index]
      backend.writeCache(layer, heads, k: k, v: v, slots: slots, positions: positions)
      backend.attention(cached: layer, heads, q: q, slots: slots, lengths: lengths, into: attended)
    }
    let middle = try backend.tensor(rows, x.columns)
    let savedO = try o.forward(attended, into: middle, on: backend)
    backend.add(x, to: middle)

    let (normed2, rstd2) = try norm2.forward(middle, on: backend)
    let gate = try backend.tensor(rows, self.gate.outputs)
    let up = try backend.tensor(rows, self.up.outputs)
    let gated = try backend.tensor(rows, self.gate.outputs)
    let savedGate = try self.gate.forward(normed2, into: gate, on: backend)
    let savedUp = try self.up.forward(normed2, into: up, on: backend)
    backend.swiGLU(gate: gate, up: up, into: gated)
    let output = try backend.tensor(rows, x.columns)
    let savedDown = try down.forward(gated, into: output, on: backend)
    backend.add(middle, to: output)

    let activations = BlockActivations(
      x: x, rstd1: rstd1, normed1: normed1, q: q, k: k, v: v, attended: attended, logSum: logSum, middle: middle,
      rstd2: rstd2, normed2: normed2, gate: gate, up: up, gated: gated, savedQ: savedQ, savedK: savedK, savedV: savedV,
      savedO: savedO, savedGate: savedGate, savedUp: savedUp, savedDown: savedDown)
    return (output, activations)
  }

  /// `dOutput [T, D]` → `dx [T, D]`, in place of `dOutput`. Where nothing below is trained, `needsInput` is false and
  /// only this block's own gradients are made.
  func backward(
    _ dOutput: Tensor, _ kept: BlockActivations, segments: [Segment], positions: IndexTensor, rope: RotaryTable,
    needsInput: Bool, on backend: any Backend
  ) throws(Failure) {
    let rows = dOutput.rows
    let dGated = try backend.tensor(rows, gate.outputs)
    try down.backward(dOutput, x: kept.gated, saved: kept.savedDown, into: dGated, accumulate: false, on: backend)
    let dGate = try backend.tensor(rows, gate.outputs)
    let dUp = try backend.tensor(rows, up.outputs)
    backend.swiGLUBackward(dGated, gate: kept.gate, up: kept.up, dGate: dGate, dUp: dUp)
    let dNormed = try backend.tensor(rows, dOutput.columns)
    try gate.backward(dGate, x: kept.normed2, saved: kept.savedGate, into: dNormed, accumulate: false, on: backend)
    try up.backward(dUp, x: kept.normed2, saved: kept.savedUp, into: dNormed, accumulate: true, on: backend)
    // dOutput is now the gradient of the residual stream between the two halves.
    norm2.backward(dNormed, x: kept.middle, rstd: kept.rstd2, into: dOutput, accumulate: true, on: backend)

    let dAttended = try backend.tensor(rows, q.outputs)
    try o.backward(dOutput, x: kept.attended, saved: kept.savedO, into: dAttended, accumulate: false, on: backend)
    let dq = try backend.tensor(rows, q.outputs)
    let dk = try backend.tensor(rows, k.outputs)
    let dv = try backend.tensor(rows, v.outputs)
    backend.attentionBackward(
      segments, heads, q: kept.q, k: kept.k, v: kept.v, output: kept.attended, logSum: kept.logSum,
      dOutput: dAttended, dq: dq, dk: dk, dv: dv)
    rope.rotate(dq, channels: heads.channels, positions: positions, inverse: true, on: backend)
    rope.rotate(dk, channels: heads.channels, positions: positions, inverse: true, on: backend)
    let into = needsInput ? dNormed : nil
    try q.backward(dq, x: kept.normed1, saved: kept.savedQ, into: into, accumulate: false, on: backend)
    try k.backward(dk, x: kept.normed1, saved: kept.savedK, into: into, accumulate: true, on: backend)
    try v.backward(dv, x: kept.normed1, saved: kept.savedV, into: into, accumulate: true, on: backend)
    if needsInput {
      norm1.backward(dNormed, x: kept.x, rstd: kept.rstd1, into: dOutput, accumulate: true, on: backend)
    }
  }
}
