import CKernels
import Support

/// The CPU: every operation is one call into `CKernels`, which fixes the order of each floating-point operation.
///
/// All pointer work of the host is in this type: it turns views into addresses after ``Tensor`` has checked their bounds.
@safe package final class CPUBackend: Backend, @unchecked Sendable {
  private let pool: OpaquePointer
  private let memory = CPUMemory()
  package let threads: Int

  /// - Parameter threads: nil takes one per core this process may run on.
  package init(threads: Int? = nil) throws(Failure) {
    let wanted = threads ?? Self.availableCores
    guard wanted >= 1, wanted <= 1024 else { throw .usage("--threads: expected 1 to 1024, found \(wanted)") }
    guard let pool = unsafe nrk_pool_create(Int32(wanted)) else {
      throw .internalError("cannot start \(wanted) threads: \(lastSystemError())")
    }
    unsafe self.pool = pool
    self.threads = wanted
  }

  deinit { unsafe nrk_pool_destroy(pool) }

  package var name: String { unsafe "cpu (\(String(cString: nrk_isa())), \(threads) threads)" }
  package var isRowExact: Bool { true }
  package var peakBytes: Int { memory.peakBytes }

  package static var availableCores: Int {
    max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
  }

  private func floats(_ tensor: Tensor) -> UnsafeMutablePointer<Float> {
    unsafe UnsafeMutablePointer<Float>(bitPattern: tensor.storage.address)! + tensor.offset
  }

  private func floats(_ tensor: Tensor?) -> UnsafeMutablePointer<Float>? {
    guard let tensor else { return nil }
    return unsafe floats(tensor)
  }

  private func integers(_ tensor: IndexTensor) -> UnsafeMutablePointer<Int32> {
    unsafe UnsafeMutablePointer<Int32>(bitPattern: tensor.storage.address)!
  }

  private func raw(_ storage: Storage) -> UnsafeMutableRawPointer {
    unsafe UnsafeMutableRawPointer(bitPattern: storage.address)!
  }

  private func kind(_ kind: WeightKind) -> nrk_kind { kind == .float32 ? NRK_F32 : NRK_BF16 }

  // MARK: Memory

  package func allocate(byteCount: Int) throws(Failure) -> Storage { try memory.allocate(byteCount) }

  package func upload(_ values: [Float], to tensor: Tensor) {
    precondition(values.count == tensor.count && tensor.isContiguous)
    unsafe values.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { unsafe floats(tensor).update(from: base, count: values.count) }
    }
  }

  package func download(_ tensor: Tensor) throws(Failure) -> [Float] {
    unsafe Array(unsafeUninitializedCapacity: tensor.count) { buffer, count in
      for row in 0..<tensor.rows where tensor.columns > 0 {
        unsafe (buffer.baseAddress! + row * tensor.columns).initialize(
          from: floats(tensor) + row * tensor.stride, count: tensor.columns)
      }
      count = tensor.count
    }
  }

  package func upload(_ indices: [Int32]) throws(Failure) -> IndexTensor {
    let tensor = IndexTensor(storage: try allocate(byteCount: indices.count * 4), count: indices.count)
    unsafe indices.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { unsafe integers(tensor).update(from: base, count: indices.count) }
    }
    return tensor
  }

  package func zero(_ tensor: Tensor) {
    for row in 0..<(tensor.isContiguous ? min(1, tensor.rows) : tensor.rows) {
      unsafe (floats(tensor) + row * tensor.stride).update(
        repeating: 0, count: tensor.isContiguous ? tensor.count : tensor.columns)
    }
  }

  package func copy(_ source: Tensor, to destination: Tensor) {
    precondition(source.rows == destination.rows && source.columns == destination.columns)
    for row in 0..<source.rows {
      unsafe (floats(destination) + row * destination.stride).update(
        from: floats(source) + row * source.stride, count: source.columns)
    }
  }

  // MARK: Weights

  package func pack(
    _ bytes: UnsafeRawBufferPointer, kind: WeightKind, outputs: Int, inputs: Int, as target: WeightKind
  ) throws(Failure) -> PackedMatrix {
    precondition(bytes.count == outputs * inputs * kind.byteCount)
    let elements = nrk_panel_elements(Int64(outputs), Int64(inputs))
    let matrix = PackedMatrix(
      storage: try allocate(byteCount: Int(elements) * target.byteCount), outputs: outputs, inputs: inputs, kind: target
    )
    unsafe nrk_pack(
      pool, Int64(outputs), Int64(inputs), bytes.baseAddress, self.kind(kind), Int64(inputs), raw(matrix.storage),
      self.kind(target))
    return matrix
  }

  package func repack(_ source: Tensor, into matrix: PackedMatrix) {
    precondition(source.rows == matrix.outputs && source.columns == matrix.inputs)
    unsafe nrk_pack(
      pool, Int64(source.rows), Int64(source.columns), floats(source), NRK_F32, Int64(source.stride),
      raw(matrix.storage), kind(matrix.kind))
  }

  package func gather(_ ids: IndexTensor, from matrix: PackedMatrix, into output: Tensor) {
    precondition(output.rows == ids.count && output.columns == matrix.inputs)
    unsafe nrk_gather(
      pool, Int64(ids.count), Int64(matrix.outputs), Int64(matrix.inputs), raw(matrix.storage), kind(matrix.kind),
      integers(ids), floats(output), Int64(output.stride))
  }

  package func gatherBackward(_ ids: IndexTensor, dOutput: Tensor, gradient: Tensor) {
    precondition(dOutput.rows == ids.count && dOutput.columns == gradient.columns && gradient.isContiguous)
    unsafe nrk_embedding_backward(
      pool, Int64(ids.count), Int64(gradient.columns), integers(ids), floats(dOutput), Int64(dOutput.stride),
      floats(gradient))
  }

  // MARK: Matrix products

  package func linear(_ x: Tensor, _ weight: PackedMatrix, bias: Tensor?, into y: Tensor, accumulate: Bool) {
    precondition(x.columns == weight.inputs && y.columns == weight.outputs && x.rows == y.rows)
    precondition(bias == nil || bias?.count == weight.outputs)
    unsafe nrk_linear(
      pool, Int64(x.rows), Int64(weight.outputs), Int64(weight.inputs), floats(x), Int64(x.stride),
      raw(weight.storage), kind(weight.kind), floats(bias), floats(y), Int64(y.stride), accumulate ? 1 : 0)
  }

  package func linearBackward(_ dy: Tensor, _ weight: PackedMatrix, into dx: Tensor, accumulate: Bool) {
    precondition(dx.columns == weight.inputs && dy.columns == weight.outputs && dx.rows == dy.rows)
    unsafe nrk_linear_dx(
      pool, Int64(dy.rows), Int64(weight.outputs), Int64(weight.inputs), floats(dy), Int64(dy.stride),
      raw(weight.storage), kind(weight.kind), floats(dx), Int64(dx.stride), accumulate ? 1 : 0)
  }

  package func linearBackward(_ dy: Tensor, x: Tensor, weightGradient: Tensor) {
    precondition(dy.rows == x.rows && weightGradient.rows == dy.columns && weightGradient.columns == x.columns)
    unsafe nrk_linear_dw(
      pool, Int64(dy.rows), Int64(dy.columns), Int64(x.columns), floats(dy), Int64(dy.stride), floats(x),
      Int64(x.stride), floats(weightGradient), Int64(weightGradient.stride))
  }

  package func linearBackward(_ dy: Tensor, biasGradient: Tensor) {
    precondition(biasGradient.count == dy.columns)
    unsafe nrk_linear_db(
      pool, Int64(dy.rows), Int64(dy.columns), floats(dy), Int64(dy.stride), floats(biasGradient))
  }

  // MARK: Rows

  package func scale(_ x: Tensor, by factor: Float) {
    precondition(x.isContiguous)
    unsafe nrk_scale(pool, Int64(x.count), floats(x), factor)
  }

  package func add(_ y: Tensor, to x: Tensor) {
    precondition(x.isContiguous && y.isContiguous && x.count == y.count)
    unsafe nrk_add(pool, Int64(x.count), floats(x), floats(y))
  }

  package func take(_ rows: IndexTensor, of x: Tensor, into output: Tensor) {
    precondition(output.rows == rows.count && output.columns == x.columns)
    unsafe nrk_take_rows(
      pool, Int64(rows.count), Int64(x.columns), floats(x), Int64(x.stride), integers(rows), floats(output),
      Int64(output.stride))
  }

  package func add(_ y: Tensor, toRows rows: IndexTensor, of x: Tensor) {
    precondition(y.rows == rows.count && y.columns == x.columns)
    unsafe nrk_add_rows(
      pool, Int64(rows.count), Int64(x.columns), floats(y), Int64(y.stride), integers(rows), floats(x), Int64(x.stride))
  }

  package func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, into y: Tensor, rstd: Tensor) {
    precondition(x.isContiguous && y.isContiguous && x.count == y.count)
    precondition(weight.count == x.columns && rstd.count == x.rows)
    unsafe nrk_rmsnorm(
      pool, Int64(x.rows), Int64(x.columns), floats(x), floats(weight), epsilon, floats(y), floats(rstd))
  }

  package func rmsNormBackward(
    _ dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, into dx: Tensor, accumulate: Bool, weightGradient: Tensor?
  ) {
    precondition(x.isContiguous && dy.isContiguous && dx.isContiguous && x.count == dy.count && x.count == dx.count)
    unsafe nrk_rmsnorm_backward(
      pool, Int64(x.rows), Int64(x.columns), floats(dy), floats(x), floats(weight), floats(rstd), floats(dx),
      accumulate ? 1 : 0, floats(weightGradient))
  }

  package func rotate(_ x: Tensor, channels: Int, positions: IndexTensor, cos: Tensor, sin: Tensor, inverse: Bool) {
    precondition(positions.count == x.rows && x.columns % channels == 0 && cos.columns == channels / 2)
    unsafe nrk_rope(
      pool, Int64(x.rows), Int64(x.columns / channels), Int64(channels), floats(x), Int64(x.stride),
      integers(positions), floats(cos), floats(sin), inverse ? 1 : 0)
  }

  package func swiGLU(gate: Tensor, up: Tensor, into output: Tensor) {
    precondition(gate.isContiguous && up.isContiguous && output.isContiguous)
    precondition(gate.count == up.count && gate.count == output.count)
    unsafe nrk_swiglu(pool, Int64(gate.count), floats(gate), floats(up), floats(output))
  }

  package func swiGLUBackward(_ dOutput: Tensor, gate: Tensor, up: Tensor, dGate: Tensor, dUp: Tensor) {
    precondition(dOutput.count == gate.count && dOutput.count == up.count)
    precondition(dOutput.count == dGate.count && dOutput.count == dUp.count && dOutput.isContiguous)
    unsafe nrk_swiglu_backward(
      pool, Int64(gate.count), floats(gate), floats(up), floats(dOutput), floats(dGate), floats(dUp))
  }

  // MARK: Attention

  private func withSegments(_ segments: [Segment], rows: Int, _ body: (UnsafePointer<nrk_segment>?) -> Void) {
    for segment in segments {
      precondition(segment.start >= 0 && segment.length >= 0 && segment.start + segment.length <= rows)
      precondition(segment.prefixStart >= 0 && segment.prefixStart + segment.prefixLength <= rows)
    }
    let converted = segments.map {
      nrk_segment(
        start: Int64($0.start), length: Int64($0.length), prefix_start: Int64($0.prefixStart),
        prefix_length: Int64($0.prefixLength))
    }
    unsafe converted.withUnsafeBufferPointer { unsafe body($0.baseAddress) }
  }

  private func check(_ heads: HeadShape, q: Tensor, k: Tensor, v: Tensor) {
    precondition(q.columns == heads.queryHeads * heads.channels)
    precondition(k.columns == heads.keyValueHeads * heads.channels && v.columns == k.columns)
    precondition(k.rows == q.rows && v.rows == q.rows)
  }

  package func attention(
    _ segments: [Segment], _ heads: HeadShape, q: Tensor, k: Tensor, v: Tensor, into output: Tensor, logSum: Tensor
  ) {
    check(heads, q: q, k: k, v: v)
    precondition(output.rows == q.rows && output.columns == q.columns)
    precondition(logSum.rows == q.rows && logSum.columns == heads.queryHeads && logSum.isContiguous)
    unsafe withSegments(segments, rows: q.rows) { list in
      unsafe nrk_attention(
        pool, list, Int64(segments.count), Int64(heads.queryHeads), Int64(heads.keyValueHeads), Int64(heads.channels),
        floats(q), Int64(q.stride), floats(k), Int64(k.stride), floats(v), Int64(v.stride), heads.scale,
        floats(output), Int64(output.stride), floats(logSum))
    }
  }

  package func attentionBackward(
    _ segments: [Segment], _ heads: HeadShape, q: Tensor, k: Tensor, v: Tensor, output: Tensor, logSum: Tensor,
    dOutput: Tensor, dq: Tensor, dk: Tensor, dv: Tensor
  ) {
    check(heads, q: q, k: k, v: v)
    check(heads, q: dq, k: dk, v: dv)
    precondition(dOutput.rows == q.rows && dOutput.columns == q.columns && output.columns == q.columns)
    unsafe withSegments(segments, rows: q.rows) { list in
      unsafe nrk_attention_backward(
        pool, list, Int64(segments.count), Int64(heads.queryHeads), Int64(heads.keyValueHeads), Int64(heads.channels),
        floats(q), Int64(q.stride), floats(k), Int64(k.stride), floats(v), Int64(v.stride), heads.scale,
        floats(output), Int64(output.stride), floats(logSum), floats(dOutput), Int64(dOutput.stride), floats(dq),
        Int64(dq.stride), floats(dk), Int64(dk.stride), floats(dv), Int64(dv.stride))
    }
  }

  package func makeCache(_ heads: HeadShape, slots: Int, capacity: Int) throws(Failure) -> CacheLayer {
    let rounded = (max(capacity, 1) + 15) / 16 * 16
    let slot = nrk_kv_slot_elements(Int64(heads.keyValueHeads), Int64(heads.channels), Int64(rounded))
    let storage = try allocate(byteCount: Int(slot) * slots * 4)
    // Panels are multiplied whole, so what lies past a sequence's end must be numbers.
    unsafe raw(storage).initializeMemory(as: UInt8.self, repeating: 0, count: storage.byteCount)
    return CacheLayer(storage: storage, slots: slots, capacity: rounded)
  }

  private func cache(_ layer: CacheLayer) -> UnsafeMutablePointer<Float> {
    unsafe raw(layer.storage).assumingMemoryBound(to: Float.self)
  }

  package func writeCache(
    _ cache: CacheLayer, _ heads: HeadShape, k: Tensor, v: Tensor, slots: IndexTensor, positions: IndexTensor
  ) {
    precondition(slots.count == k.rows && positions.count == k.rows && v.rows == k.rows)
    unsafe nrk_kv_write(
      pool, Int64(k.rows), Int64(heads.keyValueHeads), Int64(heads.channels), floats(k), Int64(k.stride), floats(v),
      Int64(v.stride), self.cache(cache), Int64(cache.capacity), integers(slots), integers(positions))
  }

  package func copyCache(
    _ heads: HeadShape, from source: CacheLayer, slot: Int, to destination: CacheLayer, slot destinationSlot: Int,
    length: Int
  ) {
    precondition(slot < source.slots && destinationSlot < destination.slots)
    precondition(length <= source.capacity && length <= destination.capacity)
    unsafe nrk_kv_copy(
      Int64(heads.keyValueHeads), Int64(heads.channels), cache(source), Int64(source.capacity), Int32(slot),
      cache(destination), Int64(destination.capacity), Int32(destinationSlot), Int64(length))
  }

  package func attention(
    cached cache: CacheLayer, _ heads: HeadShape, q: Tensor, slots: IndexTensor, lengths: IndexTensor,
    into output: Tensor
  ) {
    precondition(slots.count == q.rows && lengths.count == q.rows && output.rows == q.rows)
    unsafe nrk_attention_decode(
      pool, Int64(q.rows), Int64(heads.queryHeads), Int64(heads.keyValueHeads), Int64(heads.channels), floats(q),
      Int64(q.stride), self.cache(cache), Int64(cache.capacity), integers(slots), integers(lengths), heads.scale,
      floats(output), Int64(output.stride))
  }

  // MARK: Loss head and sampler

  package func logSoftmax(
    _ logits: Tensor, inverseTemperature: Float, targets: IndexTensor, logProb: Tensor, entropy: Tensor, logSum: Tensor
  ) {
    precondition(targets.count == logits.rows && logProb.count == logits.rows)
    precondition(entropy.count == logits.rows && logSum.count == logits.rows)
    unsafe nrk_log_softmax(
      pool, Int64(logits.rows), Int64(logits.columns), floats(logits), Int64(logits.stride), inverseTemperature,
      integers(targets), floats(logProb), floats(entropy), floats(logSum))
  }

  package func logSoftmaxBackward(
    _ logits: Tensor, inverseTemperature: Float, targets: IndexTensor, logSum: Tensor, entropy: Tensor,
    dLogProb: Tensor, dEntropy: Tensor?
  ) {
    precondition(targets.count == logits.rows && dLogProb.count == logits.rows && logSum.count == logits.rows)
    unsafe nrk_log_softmax_backward(
      pool, Int64(logits.rows), Int64(logits.columns), floats(logits), Int64(logits.stride), inverseTemperature,
      integers(targets), floats(logSum), floats(entropy), floats(dLogProb), floats(dEntropy))
  }

  package func sample(_ logits: Tensor, _ settings: SamplingSettings, uniforms: [Double])
    throws(Failure) -> SampledTokens
  {
    let count = logits.rows
    precondition(uniforms.count == count)
    var result = SampledTokens(
      tokens: Array(repeating: -1, count: count), logProbs: Array(repeating: 0, count: count),
      entropies: Array(repeating: 0, count: count))
    unsafe nrk_sample(
      pool, Int64(count), Int64(logits.columns), floats(logits), Int64(logits.stride), settings.temperature,
      Int32(clamping: settings.topK), settings.topP, uniforms, &result.tokens, &result.logProbs, &result.entropies)
    return result
  }

  // MARK: Optimiser

  package func adamW(
    _ settings: AdamWSettings, step: Int, parameter: Tensor, gradient: Tensor, m: Tensor, v: Tensor,
    gradientFactor: Float
  ) {
    precondition(parameter.isContiguous && gradient.count == parameter.count && m.count == parameter.count)
    unsafe nrk_adamw(
      pool, Int64(parameter.count), floats(parameter), floats(gradient), floats(m), floats(v), settings.learningRate,
      settings.beta1, settings.beta2, settings.epsilon, settings.weightDecay, Int64(step), gradientFactor)
  }

  package func sumOfSquares(_ x: Tensor) throws(Failure) -> Double {
    precondition(x.isContiguous)
    return unsafe nrk_sum_squares(pool, Int64(x.count), floats(x))
  }
}
