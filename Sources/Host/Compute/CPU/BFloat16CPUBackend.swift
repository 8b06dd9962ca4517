import CKernels
import Support

/// The CPU, computing in bfloat16: products read it, sums are float32.
///
/// Weights are bfloat16 or of four bits whose values are rounded to it, and what lies between operations is rounded where it is stored
/// (docs/precision.md: the same for CPU and GPU). A row's bits do not depend on what is computed beside it, how the work is cut, or
/// whether it is decoded or trained on.
@safe package final class BFloat16CPUBackend: CPUBackend, BFloat16Products, @unchecked Sendable {
  override var family: String { ", bfloat16" }
  override package var activation: ElementType { .bfloat16 }
  override package var keepsHeadMean: Bool { true }

  private func halves(_ tensor: Tensor) -> UnsafeMutablePointer<UInt16> {
    precondition(tensor.element == .bfloat16)
    return unsafe UnsafeMutablePointer<UInt16>(bitPattern: tensor.storage.address)! + tensor.offset
  }

  /// Of a view of either element.
  private func place(_ tensor: Tensor) -> UnsafeMutableRawPointer {
    unsafe UnsafeMutableRawPointer(bitPattern: tensor.storage.address)! + tensor.element.byteCount * tensor.offset
  }

  private func isFloat(_ tensor: Tensor) -> Int32 {
    precondition(tensor.element == .float32 || tensor.element == .bfloat16)
    return tensor.element == .float32 ? 1 : 0
  }

  // MARK: Copies

  override package func copy(_ source: Tensor, to destination: Tensor) {
    Shapes.copy(source, to: destination)
    unsafe nrk_convert(
      pool, Int64(source.rows), Int64(source.columns), place(source), Int64(source.stride), isFloat(source), place(destination),
      Int64(destination.stride), isFloat(destination))
  }

  override package func take(_ rows: IndexTensor, of x: Tensor, into output: Tensor) {
    if x.element == .float32 { return super.take(rows, of: x, into: output) }
    Shapes.take(rows, of: x, into: output)
    unsafe nrk_take_rows_bf16(
      pool, Int64(rows.count), Int64(x.columns), halves(x), Int64(x.stride), integers(rows), halves(output), Int64(output.stride))
  }

  override package func download(_ tensor: Tensor) throws(Failure) -> Pending<[Float]> {
    if tensor.element == .float32 { return try super.download(tensor) }
    let wide = try self.tensor(tensor.rows, tensor.columns)
    copy(tensor, to: wide)
    return try super.download(wide)
  }

  // MARK: Weights

  override func packedKind(_ format: WeightFormat) -> nrk_kind {
    switch format {
    case .float32, .bfloat16: NRK_BF16_PAIRS
    case .nf4: NRK_NF4_BF16
    }
  }

  override package func packed(outputs: Int, inputs: Int, as format: WeightFormat) throws(Failure) -> PackedMatrix {
    try super.packed(outputs: outputs, inputs: inputs, as: format.inBFloat16)
  }

  // MARK: Products

  private func part(_ layer: ProductLayer) -> nrk_product_part {
    unsafe nrk_product_part(
      panels: raw(layer.matrix.storage), kind: packedKind(layer.matrix.format), y_is_float: isFloat(layer.y), N: Int64(layer.matrix.outputs),
      R: Int64(layer.up?.inputs ?? 0), low: layer.low.map { unsafe UnsafePointer(halves($0)) }, up: layer.up.map { unsafe UnsafeRawPointer(raw($0.storage)) },
      ldlow: Int64(layer.low?.stride ?? 0), scale: layer.scale, bias: floats(layer.bias), residual: floats(layer.residual),
      ldr: Int64(layer.residual?.stride ?? 0), y: place(layer.y), ldy: Int64(layer.y.stride))
  }

  package func multiply(_ x: Tensor, _ layers: [ProductLayer], in arena: Arena) { multiply(x, layers) }

  private func multiply(_ x: Tensor, _ layers: [ProductLayer]) {
    let parts = unsafe layers.map { unsafe part($0) }
    unsafe nrk_products(pool, Int64(x.rows), Int64(x.columns), place(x), Int64(x.stride), isFloat(x), Int64(parts.count), parts)
  }

  override package func linear(_ x: Tensor, _ weight: PackedMatrix, bias: Tensor?, into y: Tensor, accumulate: Bool) {
    Shapes.linear(x, weight, bias: bias, into: y)
    multiply(x, [ProductLayer(matrix: weight, bias: bias, residual: accumulate ? y : nil, y: y)])
  }

  package func inputGradient(_ layers: [GradientTerm], scale: Float, into dx: Tensor, accumulate: Bool, in arena: Arena) {
    inputGradient(layers, scale: scale, into: dx, accumulate: accumulate)
  }

  private func inputGradient(_ layers: [GradientTerm], scale: Float, into dx: Tensor, accumulate: Bool) {
    func term(_ dy: Tensor, _ matrix: PackedMatrix) -> nrk_product_term {
      unsafe nrk_product_term(
        dy: place(dy), panels: raw(matrix.storage), kind: packedKind(matrix.format), dy_is_float: isFloat(dy), lddy: Int64(dy.stride),
        N: Int64(matrix.outputs))
    }
    var terms = unsafe [nrk_product_term]()
    for layer in layers {
      unsafe terms.append(term(layer.dy, layer.matrix))
      if let low = layer.low, let down = layer.down { unsafe terms.append(term(low, down)) }
    }
    unsafe nrk_products_dx(
      pool, Int64(dx.rows), Int64(dx.columns), Int64(terms.count), terms, scale, place(dx), Int64(dx.stride), isFloat(dx), accumulate ? 1 : 0)
  }

  override package func linearBackward(_ dy: Tensor, _ weight: PackedMatrix, into dx: Tensor, accumulate: Bool) {
    Shapes.linearBackward(dy, weight, into: dx)
    inputGradient([GradientTerm(dy: dy, matrix: weight)], scale: 1, into: dx, accumulate: accumulate)
  }

  package func weightGradients(_ list: [WeightTerm], in arena: Arena) { weightGradients(list) }

  private func weightGradients(_ list: [WeightTerm]) {
    guard let rows = list.first?.dy.rows else { return }
    let items = unsafe list.map { item -> nrk_product_dw in
      let dw: UnsafeMutablePointer<Float> = unsafe floats(item.dw)
      return unsafe nrk_product_dw(
        dy: place(item.dy), x: place(item.x), dy_is_float: isFloat(item.dy), x_is_float: isFloat(item.x), lddy: Int64(item.dy.stride),
        ldx: Int64(item.x.stride), N: Int64(item.dw.rows), K: Int64(item.dw.columns), dw: dw, lddw: Int64(item.dw.stride))
    }
    unsafe nrk_products_dw(pool, Int64(rows), Int64(items.count), items)
  }

  override package func linearBackward(_ dy: Tensor, x: Tensor, weightGradient: Tensor) {
    Shapes.linearBackward(dy, x: x, weightGradient: weightGradient)
    weightGradients([(dy, x, weightGradient)])
  }

  package func biasGradient(_ dy: Tensor, _ gradient: Tensor, in arena: Arena) throws(Failure) {
    try arena.scope { () throws(Failure) in
      let wide = try arena.tensor(dy.rows, dy.columns)
      copy(dy, to: wide)
      super.linearBackward(wide, biasGradient: gradient)
    }
  }

  // MARK: Rows

  override package func rmsNorm(_ x: Tensor, _ norm: NormWeights, into y: Tensor, rstd: Tensor) {
    if y.element == .float32 { return super.rmsNorm(x, norm, into: y, rstd: rstd) }
    Shapes.rmsNorm(x, norm, into: y, rstd: rstd)
    unsafe nrk_rmsnorm_bf16(
      pool, Int64(x.rows), Int64(x.columns), place(x), isFloat(x), floats(norm.weight), norm.epsilon, halves(y), floats(rstd))
  }

  override package func rmsNormBackward(
    _ dy: Tensor, x: Tensor, _ norm: NormWeights, rstd: Tensor, into dx: Tensor, accumulate: Bool, weightGradient: Tensor?
  ) {
    if dy.element == .float32 {
      return super.rmsNormBackward(dy, x: x, norm, rstd: rstd, into: dx, accumulate: accumulate, weightGradient: weightGradient)
    }
    Shapes.rmsNormBackward(dy, x: x, norm, rstd: rstd, into: dx, weightGradient: weightGradient)
    unsafe nrk_rmsnorm_backward_bf16(
      pool, Int64(x.rows), Int64(x.columns), halves(dy), halves(x), floats(norm.weight), floats(rstd), halves(dx), accumulate ? 1 : 0,
      floats(weightGradient))
  }

  override package func rotate(_ x: Tensor, channels: Int, positions: IndexTensor, cos: Tensor, sin: Tensor, inverse: Bool) {
    if x.element == .float32 { return super.rotate(x, channels: channels, positions: positions, cos: cos, sin: sin, inverse: inverse) }
    Shapes.rotate(x, channels: channels, positions: positions, cos: cos, sin: sin)
    unsafe nrk_rope_bf16(
      pool, Int64(x.rows), Int64(x.columns / channels), Int64(channels), halves(x), Int64(x.stride), integers(positions), floats(cos),
      floats(sin), inverse ? 1 : 0)
  }

  override package func swiGLU(gate: Tensor, up: Tensor, into output: Tensor) {
    if gate.element == .float32 { return super.swiGLU(gate: gate, up: up, into: output) }
    Shapes.swiGLU(gate: gate, up: up, into: output)
    unsafe nrk_swiglu_bf16(pool, Int64(gate.count), halves(gate), halves(up), halves(output))
  }

  override package func swiGLUBackward(_ dOutput: Tensor, gate: Tensor, up: Tensor, dGate: Tensor, dUp: Tensor) {
    if gate.element == .float32 { return super.swiGLUBackward(dOutput, gate: gate, up: up, dGate: dGate, dUp: dUp) }
    Shapes.swiGLUBackward(dOutput, gate: gate, up: up, dGate: dGate, dUp: dUp)
    unsafe nrk_swiglu_backward_bf16(pool, Int64(gate.count), halves(gate), halves(up), halves(dOutput), halves(dGate), halves(dUp))
  }

  // MARK: Attention

  override package func attention(_ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, into output: Tensor, logSum: Tensor) {
    Shapes.attention(plan, q: q, k: k, v: v, into: output, logSum: logSum)
    unsafe nrk_attention_bf16(
      pool, segments(plan), Int64(plan.segments), Int64(plan.heads.queryHeads), Int64(plan.heads.keyValueHeads), Int64(plan.heads.channels),
      halves(q), Int64(q.stride), halves(k), Int64(k.stride), halves(v), Int64(v.stride), plan.heads.scale, halves(output),
      Int64(output.stride), floats(logSum))
  }

  override package func attentionBackward(
    _ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, output: Tensor, logSum: Tensor, dOutput: Tensor, dq: Tensor, dk: Tensor,
    dv: Tensor
  ) {
    Shapes.attentionBackward(plan, q: q, k: k, v: v, output: output, logSum: logSum, dOutput: dOutput, dq: dq, dk: dk, dv: dv)
    unsafe nrk_attention_backward_bf16(
      pool, segments(plan), Int64(plan.segments), Int64(plan.heads.queryHeads), Int64(plan.heads.keyValueHeads), Int64(plan.heads.channels),
      halves(q), Int64(q.stride), halves(k), Int64(k.stride), halves(v), Int64(v.stride), plan.heads.scale, halves(output),
      Int64(output.stride), floats(logSum), halves(dOutput), Int64(dOutput.stride), halves(dq), Int64(dq.stride), halves(dk),
      Int64(dk.stride), halves(dv), Int64(dv.stride))
  }

  override package func cacheShape(_ heads: HeadShape, slots: Int, capacity: Int) -> (capacity: Int, bytes: Int) {
    let rounded = (max(capacity, 1) + 15) / 16 * 16
    return (rounded, Int(nrk_kv_slot_elements_bf16(Int64(heads.keyValueHeads), Int64(heads.channels), Int64(rounded))) * slots * 2)
  }

  private func cache(_ layer: CacheLayer) -> UnsafeMutablePointer<UInt16> { unsafe raw(layer.storage).assumingMemoryBound(to: UInt16.self) }

  override package func writeCache(
    _ cache: CacheLayer, _ heads: HeadShape, k: Tensor, v: Tensor, slots: IndexTensor, positions: IndexTensor
  ) {
    Shapes.writeCache(heads, k: k, v: v, slots: slots, positions: positions)
    unsafe nrk_kv_write_bf16(
      pool, Int64(k.rows), Int64(heads.keyValueHeads), Int64(heads.channels), halves(k), Int64(k.stride), halves(v), Int64(v.stride),
      self.cache(cache), Int64(cache.capacity), integers(slots), integers(positions))
  }

  override package func attention(
    _ state: DecodeState, _ heads: HeadShape, prompts: CacheLayer, cache: CacheLayer, q: Tensor, into output: Tensor, in arena: Arena
  ) {
    Shapes.attention(state, heads, q: q, into: output)
    unsafe nrk_attention_decode_bf16(
      pool, Int64(q.rows), Int64(heads.queryHeads), Int64(heads.keyValueHeads), Int64(heads.channels), halves(q), Int64(q.stride),
      self.cache(prompts), Int64(prompts.capacity), integers(state.promptSlots), integers(state.promptLengths), self.cache(cache),
      Int64(cache.capacity), integers(state.slots), integers(state.lengths), heads.scale, halves(output), Int64(output.stride))
  }

  // MARK: The head

  override package func head(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor, inverseTemperature: Float, into output: HeadOutput, in arena: Arena
  ) {
    precondition(matrix.format == .bfloat16, "the head is bfloat16")
    unsafe nrk_head_bf16(
      pool, Int64(hidden.rows), Int64(matrix.outputs), Int64(matrix.inputs), halves(hidden), Int64(hidden.stride), raw(matrix.storage),
      inverseTemperature, integers(targets), floats(output.logProb), floats(output.entropy), floats(output.logSum), floats(output.mean),
      Int64(output.mean?.stride ?? 0))
  }

  override package func headBackward(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor, inverseTemperature: Float, _ output: HeadOutput, dLogProb: Tensor,
    dEntropy: Tensor?, into dHidden: Tensor, weightGradient: Tensor?, in arena: Arena
  ) {
    precondition(matrix.format == .bfloat16, "the head is bfloat16")
    unsafe nrk_head_backward_bf16(
      pool, Int64(hidden.rows), Int64(matrix.outputs), Int64(matrix.inputs), halves(hidden), Int64(hidden.stride), raw(matrix.storage),
      inverseTemperature, integers(targets), floats(output.logSum), floats(output.entropy), floats(dLogProb), floats(dEntropy),
      floats(output.mean), Int64(output.mean?.stride ?? 0), floats(dHidden), Int64(dHidden.stride), floats(weightGradient),
      Int64(weightGradient?.stride ?? 0))
  }

  override package func drawStep(
    _ hidden: Tensor, _ matrix: PackedMatrix, _ settings: SamplingSettings, _ state: DecodeState, in arena: Arena
  ) throws(Failure) {
    try arena.scope { () throws(Failure) in
      let logits = try arena.tensor(hidden.rows, matrix.outputs)
      linear(hidden, matrix, bias: nil, into: logits, accumulate: false)
      try unsafe sampleStep(logits, settings, state, by: nrk_sample_bf16, in: arena)
    }
  }
}
