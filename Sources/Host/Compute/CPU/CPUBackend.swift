import CKernels
import Support

/// The CPU: every operation is one call into `CKernels`, which fixes the order of each floating-point operation. This one computes in float32.
///
/// All pointer work of the host is in this type and ``BFloat16CPUBackend``: they turn views into addresses after ``Tensor`` has checked
/// their bounds.
@safe package class CPUBackend: ComposedBackend, Backend, @unchecked Sendable {
  let pool: OpaquePointer
  private let store = CPUMemory()
  package let threads: Int
  package let availableBytes: Int

  /// - Parameters:
  ///   - threads: nil takes one per core this process may run on.
  ///   - memory: bytes that may be taken; nil: what the machine has.
  package init(threads: Int? = nil, memory: Int? = nil) throws(Failure) {
    let wanted = threads ?? Self.availableCores
    guard wanted >= 1, wanted <= 1024 else { throw .usage("--threads: expected 1 to 1024, found \(wanted)") }
    if let named = environmentVariable("NR_ISA"), !Self.instructionSets.contains(named) {
      throw .usage("NR_ISA=\(named): this machine has \(Self.instructionSets.joined(separator: ", "))")
    }
    guard let pool = unsafe nrk_pool_create(Int32(wanted)) else {
      throw .internalError("cannot start \(wanted) threads: \(lastSystemError())")
    }
    unsafe self.pool = pool
    self.threads = wanted
    availableBytes = memory ?? physicalMemory()
  }

  deinit { unsafe nrk_pool_destroy(pool) }

  package var name: String { unsafe "cpu (\(String(cString: nrk_isa())), \(threads) threads\(family))" }
  /// What is computed in, where it is not float32.
  var family: String { "" }
  /// The instruction sets that there are kernels for and that this machine has, the best first; `NR_ISA` chooses another than the first.
  package static var instructionSets: [String] { ["avx512-bf16", "avx512", "avx2", "portable"].filter { unsafe nrk_has_isa($0) != 0 } }
  /// Whether the kernels in use fuse a multiplication and an addition, as all do but those of SSE2.
  package static var fuses: Bool {
    #if arch(x86_64)
      unsafe String(cString: nrk_isa()) != "portable"
    #else
      true
    #endif
  }
  /// Whether the processor multiplies bfloat16 by itself; otherwise a product in it takes float32's time.
  package static var multipliesBFloat16: Bool { unsafe String(cString: nrk_isa()) == "avx512-bf16" }
  package var isRowExact: Bool { true }
  package var memory: MemoryUse { store.now }
  package func counter() -> any Backend {
    CountingBackend(
      like: self,
      CountingBackend.Sizes(
        activation: activation, keepsHeadMean: keepsHeadMean, alignment: 64, packed: { [self] in packedBytes(outputs: $0, inputs: $1, $2) },
        cache: { [self] in cacheShape($0, slots: $1, capacity: $2) },
        plan: { segments, _, _ in segments.count * MemoryLayout<nrk_segment>.stride / 4 }, sampling: { rows, _, _ in 5 * rows }))
  }

  package static var availableCores: Int {
    max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
  }

  func floats(_ tensor: Tensor) -> UnsafeMutablePointer<Float> {
    precondition(tensor.element == .float32, "the CPU computes on float32")
    return unsafe UnsafeMutablePointer<Float>(bitPattern: tensor.storage.address)! + tensor.offset
  }

  func floats(_ tensor: Tensor?) -> UnsafeMutablePointer<Float>? {
    guard let tensor else { return nil }
    return unsafe floats(tensor)
  }

  func integers(_ tensor: IndexTensor) -> UnsafeMutablePointer<Int32> {
    unsafe UnsafeMutablePointer<Int32>(bitPattern: tensor.storage.address)! + tensor.offset
  }

  func raw(_ storage: Storage) -> UnsafeMutableRawPointer {
    unsafe UnsafeMutableRawPointer(bitPattern: storage.address)!
  }

  /// Of numbers in rows.
  private func kind(_ format: WeightFormat) -> nrk_kind { format == .bfloat16 ? NRK_BF16 : NRK_F32 }

  /// Of a matrix as products read it.
  func packedKind(_ format: WeightFormat) -> nrk_kind {
    switch format {
    case .float32: NRK_F32
    case .bfloat16: NRK_BF16
    case .nf4(let nf4): nf4.roundsToBFloat16 ? NRK_NF4_BF16 : NRK_NF4
    }
  }

  // MARK: Memory

  package func allocate(byteCount: Int) throws(Failure) -> Storage { try store.allocate(byteCount) }

  package func upload(_ values: [Float], to tensor: Tensor) {
    precondition(values.count == tensor.count && tensor.isContiguous)
    unsafe values.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { unsafe floats(tensor).update(from: base, count: values.count) }
    }
  }

  package func download(_ tensor: Tensor) throws(Failure) -> Pending<[Float]> {
    Pending(
      unsafe Array(unsafeUninitializedCapacity: tensor.count) { buffer, count in
        for row in 0..<tensor.rows where tensor.columns > 0 {
          unsafe (buffer.baseAddress! + row * tensor.columns).initialize(
            from: floats(tensor) + row * tensor.stride, count: tensor.columns)
        }
        count = tensor.count
      })
  }

  package func upload(_ indices: [Int32], to tensor: IndexTensor) {
    precondition(indices.count == tensor.count)
    unsafe indices.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { unsafe integers(tensor).update(from: base, count: indices.count) }
    }
  }

  /// Of the values where they lie: a copy would take as long as the digests.
  package func digests(of x: Tensor, _ parts: [Range<Int>]) throws(Failure) -> [[Digest]] {
    precondition(x.isContiguous)
    return unsafe Digest.pieces(
      of: UnsafeRawBufferPointer(start: floats(x), count: 4 * x.count), parts.map { $0.bytes }, threads: threads)
  }

  package func zero(_ tensor: Tensor) {
    for row in 0..<(tensor.isContiguous ? min(1, tensor.rows) : tensor.rows) {
      unsafe (floats(tensor) + row * tensor.stride).update(
        repeating: 0, count: tensor.isContiguous ? tensor.count : tensor.columns)
    }
  }

  package func copy(_ source: Tensor, to destination: Tensor) {
    Shapes.copy(source, to: destination)
    for row in 0..<source.rows {
      unsafe (floats(destination) + row * destination.stride).update(
        from: floats(source) + row * source.stride, count: source.columns)
    }
  }

  // MARK: Weights

  package func packDense(
    _ bytes: UnsafeRawBufferPointer, format: WeightFormat, outputs: Int, inputs: Int, as target: WeightFormat
  ) throws(Failure) -> PackedMatrix {
    let matrix = try packed(outputs: outputs, inputs: inputs, as: target)
    unsafe nrk_pack(
      pool, Int64(outputs), Int64(inputs), bytes.baseAddress, kind(format), Int64(inputs), raw(matrix.storage), packedKind(matrix.format))
    return matrix
  }

  package func packedBytes(outputs: Int, inputs: Int, _ format: WeightFormat) -> Int {
    switch format {
    case .float32, .bfloat16:
      Int(nrk_panel_elements(Int64(outputs), Int64(inputs), packedKind(format))) * (format.byteCount ?? 0)
    case .nf4(let nf4): Int(nrk_nf4_bytes(Int64(outputs), Int64(inputs), nf4.isNested ? 1 : 0))
    }
  }

  package func quantize(_ bytes: UnsafeRawBufferPointer, format: WeightFormat, outputs: Int, inputs: Int, isNested: Bool) -> NF4Blocks {
    let count = outputs * inputs
    unsafe Shapes.pack(bytes, format, outputs: outputs, inputs: inputs)
    var magnitudes = [Float](repeating: 0, count: NF4Blocks.blockCount(count))
    let codes = unsafe [UInt8](unsafeUninitializedCapacity: NF4Blocks.codeCount(count)) { buffer, made in
      unsafe nrk_nf4_quantize(pool, Int64(count), bytes.baseAddress, kind(format), buffer.baseAddress, &magnitudes)
      made = NF4Blocks.codeCount(count)
    }
    return NF4Blocks(
      outputs: outputs, inputs: inputs, codes: codes, magnitudes: isNested ? .nested(NF4Blocks.NestedMagnitudes(magnitudes)) : .float32(magnitudes))
  }

  package func pack(_ blocks: NF4Blocks, roundsToBFloat16: Bool) throws(Failure) -> PackedMatrix {
    let (outputs, inputs) = (blocks.outputs, blocks.inputs)
    let matrix = try packed(outputs: outputs, inputs: inputs, as: blocks.format(roundsToBFloat16: roundsToBFloat16))
    switch blocks.magnitudes {
    case .float32(let values):
      unsafe nrk_nf4_pack(pool, Int64(outputs), Int64(inputs), blocks.codes, values, nil, nil, 0, raw(matrix.storage))
    case .nested(let nested):
      unsafe nrk_nf4_pack(
        pool, Int64(outputs), Int64(inputs), blocks.codes, nested.absmax, nested.codes, nested.map, nested.offset, raw(matrix.storage))
    }
    return matrix
  }

  package func packed(outputs: Int, inputs: Int, as format: WeightFormat) throws(Failure) -> PackedMatrix {
    PackedMatrix(
      storage: try allocate(byteCount: packedBytes(outputs: outputs, inputs: inputs, format)), outputs: outputs, inputs: inputs,
      format: format)
  }

  package func repack(_ list: PackingList) {
    let packings = unsafe list.items.map { item -> nrk_packing in
      Shapes.repack(item)
      return unsafe nrk_packing(
        N: Int64(item.value.rows), K: Int64(item.value.columns), ld: Int64(item.value.stride), source: floats(item.value),
        panels: raw(item.matrix.storage), kind: packedKind(item.matrix.format))
    }
    unsafe packings.withUnsafeBufferPointer { unsafe nrk_pack_list(pool, Int64($0.count), $0.baseAddress) }
  }

  package func gather(_ ids: IndexTensor, from matrix: PackedMatrix, into output: Tensor) {
    Shapes.gather(ids, from: matrix, into: output)
    unsafe nrk_gather(
      pool, Int64(ids.count), Int64(matrix.outputs), Int64(matrix.inputs), raw(matrix.storage), packedKind(matrix.format),
      integers(ids), floats(output), Int64(output.stride))
  }

  package func gatherBackward(_ ids: IndexTensor, dOutput: Tensor, gradient: Tensor) {
    Shapes.gatherBackward(ids, dOutput: dOutput, gradient: gradient)
    unsafe nrk_embedding_backward(
      pool, Int64(ids.count), Int64(gradient.columns), integers(ids), floats(dOutput), Int64(dOutput.stride),
      floats(gradient))
  }

  // MARK: Matrix products

  package func linear(_ x: Tensor, _ weight: PackedMatrix, bias: Tensor?, into y: Tensor, accumulate: Bool) {
    Shapes.linear(x, weight, bias: bias, into: y)
    unsafe nrk_linear(
      pool, Int64(x.rows), Int64(weight.outputs), Int64(weight.inputs), floats(x), Int64(x.stride),
      raw(weight.storage), packedKind(weight.format), floats(bias), floats(y), Int64(y.stride), accumulate ? 1 : 0)
  }

  package func linearBackward(_ dy: Tensor, _ weight: PackedMatrix, into dx: Tensor, accumulate: Bool) {
    Shapes.linearBackward(dy, weight, into: dx)
    unsafe nrk_linear_dx(
      pool, Int64(dy.rows), Int64(weight.outputs), Int64(weight.inputs), floats(dy), Int64(dy.stride),
      raw(weight.storage), packedKind(weight.format), floats(dx), Int64(dx.stride), accumulate ? 1 : 0)
  }

  package func linearBackward(_ dy: Tensor, x: Tensor, weightGradient: Tensor) {
    Shapes.linearBackward(dy, x: x, weightGradient: weightGradient)
    unsafe nrk_linear_dw(
      pool, Int64(dy.rows), Int64(dy.columns), Int64(x.columns), floats(dy), Int64(dy.stride), floats(x),
      Int64(x.stride), floats(weightGradient), Int64(weightGradient.stride))
  }

  package func linearBackward(_ dy: Tensor, biasGradient: Tensor) {
    Shapes.linearBackward(dy, biasGradient: biasGradient)
    unsafe nrk_linear_db(
      pool, Int64(dy.rows), Int64(dy.columns), floats(dy), Int64(dy.stride), floats(biasGradient))
  }

  // MARK: Rows

  package func scale(_ x: Tensor, by factor: Float) {
    Shapes.scale(x)
    unsafe nrk_scale(pool, Int64(x.count), floats(x), factor)
  }

  package func add(_ y: Tensor, to x: Tensor) {
    Shapes.add(y, to: x)
    unsafe nrk_add(pool, Int64(x.count), floats(x), floats(y))
  }

  package func take(_ rows: IndexTensor, of x: Tensor, into output: Tensor) {
    Shapes.take(rows, of: x, into: output)
    unsafe nrk_take_rows(
      pool, Int64(rows.count), Int64(x.columns), floats(x), Int64(x.stride), integers(rows), floats(output),
      Int64(output.stride))
  }

  package func add(_ y: Tensor, toRows rows: IndexTensor, of x: Tensor) {
    Shapes.add(y, toRows: rows, of: x)
    unsafe nrk_add_rows(
      pool, Int64(rows.count), Int64(x.columns), floats(y), Int64(y.stride), integers(rows), floats(x), Int64(x.stride))
  }

  package func rmsNorm(_ x: Tensor, _ norm: NormWeights, into y: Tensor, rstd: Tensor) {
    Shapes.rmsNorm(x, norm, into: y, rstd: rstd)
    unsafe nrk_rmsnorm(
      pool, Int64(x.rows), Int64(x.columns), floats(x), floats(norm.weight), norm.epsilon, floats(y), floats(rstd))
  }

  package func rmsNormBackward(
    _ dy: Tensor, x: Tensor, _ norm: NormWeights, rstd: Tensor, into dx: Tensor, accumulate: Bool, weightGradient: Tensor?
  ) {
    Shapes.rmsNormBackward(dy, x: x, norm, rstd: rstd, into: dx, weightGradient: weightGradient)
    unsafe nrk_rmsnorm_backward(
      pool, Int64(x.rows), Int64(x.columns), floats(dy), floats(x), floats(norm.weight), floats(rstd), floats(dx),
      accumulate ? 1 : 0, floats(weightGradient))
  }

  package func rotate(_ x: Tensor, channels: Int, positions: IndexTensor, cos: Tensor, sin: Tensor, inverse: Bool) {
    Shapes.rotate(x, channels: channels, positions: positions, cos: cos, sin: sin)
    unsafe nrk_rope(
      pool, Int64(x.rows), Int64(x.columns / channels), Int64(channels), floats(x), Int64(x.stride),
      integers(positions), floats(cos), floats(sin), inverse ? 1 : 0)
  }

  package func swiGLU(gate: Tensor, up: Tensor, into output: Tensor) {
    Shapes.swiGLU(gate: gate, up: up, into: output)
    unsafe nrk_swiglu(pool, Int64(gate.count), floats(gate), floats(up), floats(output))
  }

  package func swiGLUBackward(_ dOutput: Tensor, gate: Tensor, up: Tensor, dGate: Tensor, dUp: Tensor) {
    Shapes.swiGLUBackward(dOutput, gate: gate, up: up, dGate: dGate, dUp: dUp)
    unsafe nrk_swiglu_backward(
      pool, Int64(gate.count), floats(gate), floats(up), floats(dOutput), floats(dGate), floats(dUp))
  }

  // MARK: Attention

  package func plan(_ segments: [Segment], _ heads: HeadShape, rows: Int, in arena: Arena) throws(Failure) -> AttentionPlan {
    Shapes.plan(segments, rows: rows)
    let words = MemoryLayout<nrk_segment>.stride / 4
    let list = try arena.indices(count: segments.count * words)
    unsafe integers(list).withMemoryRebound(to: nrk_segment.self, capacity: segments.count) { places in
      for (index, segment) in segments.enumerated() {
        unsafe places[index] = nrk_segment(
          start: Int64(segment.start), length: Int64(segment.length), prefix_start: Int64(segment.prefixStart),
          prefix_length: Int64(segment.prefixLength))
      }
    }
    return AttentionPlan(segments: segments.count, rows: rows, heads: heads, list: list)
  }

  func segments(_ plan: AttentionPlan) -> UnsafePointer<nrk_segment> {
    unsafe UnsafeRawPointer(integers(plan.list)).assumingMemoryBound(to: nrk_segment.self)
  }

  package func attention(_ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, into output: Tensor, logSum: Tensor) {
    Shapes.attention(plan, q: q, k: k, v: v, into: output, logSum: logSum)
    unsafe nrk_attention(
      pool, segments(plan), Int64(plan.segments), Int64(plan.heads.queryHeads), Int64(plan.heads.keyValueHeads),
      Int64(plan.heads.channels), floats(q), Int64(q.stride), floats(k), Int64(k.stride), floats(v), Int64(v.stride),
      plan.heads.scale, floats(output), Int64(output.stride), floats(logSum))
  }

  package func attentionBackward(
    _ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, output: Tensor, logSum: Tensor, dOutput: Tensor, dq: Tensor, dk: Tensor,
    dv: Tensor
  ) {
    Shapes.attentionBackward(plan, q: q, k: k, v: v, output: output, logSum: logSum, dOutput: dOutput, dq: dq, dk: dk, dv: dv)
    unsafe nrk_attention_backward(
      pool, segments(plan), Int64(plan.segments), Int64(plan.heads.queryHeads), Int64(plan.heads.keyValueHeads),
      Int64(plan.heads.channels), floats(q), Int64(q.stride), floats(k), Int64(k.stride), floats(v), Int64(v.stride),
      plan.heads.scale, floats(output), Int64(output.stride), floats(logSum), floats(dOutput), Int64(dOutput.stride), floats(dq),
      Int64(dq.stride), floats(dk), Int64(dk.stride), floats(dv), Int64(dv.stride))
  }

  package func cacheShape(_ heads: HeadShape, slots: Int, capacity: Int) -> (capacity: Int, bytes: Int) {
    let rounded = (max(capacity, 1) + 15) / 16 * 16
    let slot = nrk_kv_slot_elements(Int64(heads.keyValueHeads), Int64(heads.channels), Int64(rounded))
    return (rounded, Int(slot) * slots * 4)
  }

  /// Panels are multiplied whole, so what lies past a sequence's end must be numbers: memory comes cleared.
  package func makeCache(_ heads: HeadShape, slots: Int, capacity: Int) throws(Failure) -> CacheLayer {
    let shape = cacheShape(heads, slots: slots, capacity: capacity)
    return CacheLayer(storage: try allocate(byteCount: shape.bytes), slots: slots, capacity: shape.capacity)
  }

  private func cache(_ layer: CacheLayer) -> UnsafeMutablePointer<Float> {
    unsafe raw(layer.storage).assumingMemoryBound(to: Float.self)
  }

  package func writeCache(
    _ cache: CacheLayer, _ heads: HeadShape, k: Tensor, v: Tensor, slots: IndexTensor, positions: IndexTensor
  ) {
    Shapes.writeCache(heads, k: k, v: v, slots: slots, positions: positions)
    unsafe nrk_kv_write(
      pool, Int64(k.rows), Int64(heads.keyValueHeads), Int64(heads.channels), floats(k), Int64(k.stride), floats(v),
      Int64(v.stride), self.cache(cache), Int64(cache.capacity), integers(slots), integers(positions))
  }

  package func attention(
    _ state: DecodeState, _ heads: HeadShape, prompts: CacheLayer, cache: CacheLayer, q: Tensor, into output: Tensor, in arena: Arena
  ) {
    Shapes.attention(state, heads, q: q, into: output)
    unsafe nrk_attention_decode(
      pool, Int64(q.rows), Int64(heads.queryHeads), Int64(heads.keyValueHeads), Int64(heads.channels), floats(q), Int64(q.stride),
      self.cache(prompts), Int64(prompts.capacity), integers(state.promptSlots), integers(state.promptLengths), self.cache(cache),
      Int64(cache.capacity), integers(state.slots), integers(state.lengths), heads.scale, floats(output), Int64(output.stride))
  }

  // MARK: Loss head and sampler

  package func logSoftmax(
    _ logits: Tensor, inverseTemperature: Float, targets: IndexTensor, logProb: Tensor, entropy: Tensor, logSum: Tensor
  ) {
    Shapes.logSoftmax(logits, targets: targets, logProb: logProb, entropy: entropy, logSum: logSum)
    unsafe nrk_log_softmax(
      pool, Int64(logits.rows), Int64(logits.columns), floats(logits), Int64(logits.stride), inverseTemperature,
      integers(targets), floats(logProb), floats(entropy), floats(logSum))
  }

  package func logSoftmaxBackward(
    _ logits: Tensor, inverseTemperature: Float, targets: IndexTensor, logSum: Tensor, entropy: Tensor,
    dLogProb: Tensor, dEntropy: Tensor?
  ) {
    Shapes.logSoftmaxBackward(logits, targets: targets, logSum: logSum, entropy: entropy, dLogProb: dLogProb, dEntropy: dEntropy)
    unsafe nrk_log_softmax_backward(
      pool, Int64(logits.rows), Int64(logits.columns), floats(logits), Int64(logits.stride), inverseTemperature,
      integers(targets), floats(logSum), floats(entropy), floats(dLogProb), floats(dEntropy))
  }

  typealias Sampler = @convention(c) (
    OpaquePointer?, Int64, Int64, UnsafePointer<Float>?, Int64, Float, Int32, Float, UnsafePointer<Double>?, UnsafeMutablePointer<Int32>?,
    UnsafeMutablePointer<Float>?, UnsafeMutablePointer<Float>?
  ) -> Void

  package func sampleStep(_ logits: Tensor, _ settings: SamplingSettings, _ state: DecodeState, in arena: Arena) throws(Failure) {
    try unsafe sampleStep(logits, settings, state, by: nrk_sample, in: arena)
  }

  /// - Parameter sampler: draws in the sums of a loss head.
  func sampleStep(_ logits: Tensor, _ settings: SamplingSettings, _ state: DecodeState, by sampler: Sampler, in arena: Arena) throws(Failure) {
    let count = logits.rows
    precondition(state.rows == count)
    try arena.scope { () throws(Failure) in
      let place = try arena.indices(count: 5 * count)
      let uniforms = unsafe UnsafeMutableRawPointer(integers(place)).bindMemory(to: Double.self, capacity: count)
      let tokens = place.range((2 * count)..<(3 * count))
      func results(_ number: Int) -> Tensor { Tensor(storage: place.storage, offset: place.offset + number * count, rows: 1, columns: count) }
      let (logProbs, entropies) = (results(3), results(4))
      let (streams, lengths) = unsafe (integers(state.streams), integers(state.lengths))
      for row in 0..<count {
        func word(_ index: Int) -> UInt64 { unsafe UInt64(UInt32(bitPattern: streams[4 * row + index])) }
        let stream = RandomStream(seed: word(0) | word(1) << 32, stream: word(2) | word(3) << 32)
        unsafe uniforms[row] = stream.uniform(at: UInt64(lengths[row]))
      }
      unsafe sampler(
        pool, Int64(count), Int64(logits.columns), floats(logits), Int64(logits.stride), settings.temperature,
        Int32(clamping: settings.topK), settings.topP, uniforms, integers(tokens), floats(logProbs), floats(entropies))
      unsafe advance(state, integers(tokens), floats(logProbs), floats(entropies))
    }
  }

  /// Moves the sequences of a state that have not ended on by a token.
  private func advance(
    _ state: DecodeState, _ drawn: UnsafePointer<Int32>, _ logProbs: UnsafePointer<Float>, _ entropies: UnsafePointer<Float>
  ) {
    let (tokens, positions, ownPositions) = unsafe (integers(state.tokens), integers(state.positions), integers(state.ownPositions))
    let (lengths, remaining, outcomes) = unsafe (integers(state.lengths), integers(state.remaining), integers(state.outcomes))
    let stops = unsafe UnsafeBufferPointer(start: integers(state.stopTokens), count: state.stopTokens.count)
    let lines = state.drawn
    for row in 0..<state.rows where unsafe outcomes[row] == DecodeOutcome.goesOn.rawValue {
      let token = unsafe drawn[row]
      let place = unsafe Int(lengths[row]) % lines.window * lines.width + lines.first + row
      unsafe integers(lines.tokens)[place] = token
      unsafe floats(lines.logProbs)[place] = logProbs[row]
      unsafe floats(lines.entropies)[place] = entropies[row]
      unsafe tokens[row] = token
      unsafe positions[row] += 1
      unsafe ownPositions[row] += 1
      unsafe lengths[row] += 1
      unsafe remaining[row] -= 1
      let outcome: DecodeOutcome
      if token < 0 {
        outcome = .notANumber
      } else if unsafe stops.contains(token) {
        outcome = .stopped
      } else {
        outcome = unsafe remaining[row] <= 0 ? .reachedLimit : .goesOn
      }
      unsafe outcomes[row] = outcome.rawValue
    }
  }

  package func drawn(_ state: DecodeState) throws(Failure) -> Pending<DrawnTokens> {
    func copied(_ tensor: IndexTensor) -> [Int32] { unsafe Array(UnsafeBufferPointer(start: integers(tensor), count: tensor.count)) }
    let lines = state.drawn
    return Pending(
      DrawnTokens(
        lengths: copied(state.lengths), outcomes: copied(state.outcomes), tokens: copied(lines.tokens),
        logProbs: try download(lines.logProbs).value(), entropies: try download(lines.entropies).value(), of: lines))
  }

  // MARK: Optimiser

  package func adamW(
    _ settings: AdamWSettings, step: Int, parameter: Tensor, gradient: Tensor, m: Tensor, v: Tensor,
    gradientFactor: Float
  ) {
    Shapes.adamW(parameter: parameter, gradient: gradient, m: m, v: v)
    unsafe nrk_adamw(
      pool, Int64(parameter.count), floats(parameter), floats(gradient), floats(m), floats(v), settings.learningRate,
      settings.beta1, settings.beta2, settings.epsilon, settings.weightDecay, Int64(step), gradientFactor)
  }

  package func sumOfSquares(_ x: Tensor, _ parts: FlatParts) throws(Failure) -> Pending<Double> {
    Shapes.sumOfSquares(x, parts)
    let list = parts.ranges.map { nrk_part(start: Int64($0.lowerBound), count: Int64($0.count)) }
    return Pending(unsafe list.withUnsafeBufferPointer { unsafe nrk_sum_squares(pool, Int64($0.count), $0.baseAddress, floats(x)) })
  }
}
