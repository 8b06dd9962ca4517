import CCUDA
import Support
import Synchronization

/// An NVIDIA GPU: every operation is a launch of a kernel of `Kernels/`, in the order of the calls.
///
/// These are the plain kernels: float32, and each element the same sequence of operations as the CPU's, so results are the CPU's bits,
/// but for the logarithm's last. Weights lie in rows, `[N, K]`; blocks of four bits in the order of a file (``NF4Layout``).
package class CUDABackend: ComposedBackend, Backend, @unchecked Sendable {
  let device: any DeviceQueue
  /// Computes what is done on the host: weights of four bits are made there.
  let host: CPUBackend
  package let availableBytes: Int

  /// - Parameters:
  ///   - threads: of the host.
  ///   - memory: bytes that may be taken; nil: what is free on the card, but for what its driver takes for itself.
  package convenience init(_ device: CUDADevice, threads: Int? = nil, memory: Int? = nil) throws(Failure) {
    let free = try device.availableBytes()
    self.init(device, host: try CPUBackend(threads: threads), availableBytes: memory ?? max(0, free - Self.reserve))
  }

  /// For a plan: a card that is not here, of so much memory.
  package convenience init(planningFor memoryBytes: Int, threads: Int? = nil) throws(Failure) {
    self.init(
      CountingDevice(memoryBytes: memoryBytes), host: try CPUBackend(threads: threads), availableBytes: max(0, memoryBytes - Self.reserve))
  }

  /// The same card as another backend's.
  package convenience init(sharing other: CUDABackend) {
    self.init(other.device, host: other.host, availableBytes: other.availableBytes)
  }

  required init(_ device: any DeviceQueue, host: CPUBackend, availableBytes: Int) {
    self.device = device
    self.host = host
    self.availableBytes = availableBytes
  }

  /// What is left to the driver and others.
  private static let reserve = 256 << 20

  package var name: String { "cuda:\(device.properties.ordinal) (\(device.properties.name), sm_\(device.properties.capability), \(family))" }
  /// Of kernels.
  var family: String { "plain float32 kernels" }
  package var isRowExact: Bool { true }
  package var isHost: Bool { false }
  package var properties: CUDADeviceProperties { device.properties }
  package var driverVersion: Int { device.driverVersion }
  /// Until everything that is queued is done.
  package func wait() throws(Failure) { try device.wait() }
  package var memory: MemoryUse { device.memory }

  package func counter() -> any Backend { Self.init(CountingDevice(like: device), host: host, availableBytes: availableBytes) }

  /// Of a view of any element.
  func place(_ tensor: Tensor) -> UInt64 { UInt64(tensor.storage.address) + UInt64(tensor.element.byteCount * tensor.offset) }
  func address(_ tensor: Tensor) -> UInt64 {
    precondition(tensor.element == .float32, "the plain kernels compute on float32")
    return place(tensor)
  }
  func address(_ tensor: Tensor?) -> UInt64 { tensor.map { address($0) } ?? 0 }
  func address(_ tensor: IndexTensor) -> UInt64 { UInt64(tensor.storage.address) + 4 * UInt64(tensor.offset) }
  func address(_ storage: Storage) -> UInt64 { UInt64(storage.address) }

  static func blocks(_ count: Int, of size: Int) -> Int { (count + size - 1) / size }

  // MARK: Memory

  package func allocate(byteCount: Int) throws(Failure) -> Storage { try device.allocate(byteCount) }

  package func upload(_ values: [Float], to tensor: Tensor) {
    guard device.computes else { return }
    precondition(values.count == tensor.count && tensor.isContiguous)
    unsafe values.withUnsafeBytes { unsafe device.upload($0, to: UInt(address(tensor))) }
  }

  package func upload(_ indices: [Int32], to tensor: IndexTensor) {
    guard device.computes else { return }
    precondition(indices.count == tensor.count)
    unsafe indices.withUnsafeBytes { unsafe device.upload($0, to: UInt(address(tensor))) }
  }

  package func download(_ tensor: Tensor) throws(Failure) -> Pending<[Float]> {
    if tensor.isContiguous || tensor.count == 0 { return try device.download(UInt(address(tensor)), count: tensor.count, as: Float.self) }
    let whole = try self.tensor(tensor.rows, tensor.columns)
    copy(tensor, to: whole)
    return try device.download(UInt(address(whole)), count: whole.count, as: Float.self)
  }

  package func zero(_ tensor: Tensor) {
    if tensor.isContiguous { return device.clear(UInt(place(tensor)), byteCount: tensor.element.byteCount * tensor.count) }
    device.launch(
      "fill_rows", grid: Self.blocks(tensor.rows * Self.blocks(tensor.columns, of: 256), of: 8),
      nrc_fill_rows_arguments(
        x: address(tensor), ldx: Int64(tensor.stride), columns: Int64(tensor.columns), rows: Int32(tensor.rows), value: 0))
  }

  package func copy(_ source: Tensor, to destination: Tensor) {
    Shapes.copy(source, to: destination)
    if source.isContiguous, destination.isContiguous, source.element == destination.element {
      return device.copy(from: UInt(place(source)), to: UInt(place(destination)), byteCount: source.element.byteCount * source.count)
    }
    device.launch(
      "copy_rows", grid: Self.blocks(source.rows * Self.blocks(source.columns, of: 256), of: 8),
      nrc_copy_rows_arguments(
        x: address(source), out: address(destination), ldx: Int64(source.stride), ldo: Int64(destination.stride), rows: Int64(source.rows),
        columns: Int64(source.columns)))
  }

  // MARK: Weights

  package static func packedBytes(outputs: Int, inputs: Int, _ format: WeightFormat) -> Int {
    if case .nf4(let nf4) = format { return NF4Layout(outputs: outputs, inputs: inputs, isNested: nf4.isNested).byteCount }
    return outputs * inputs * (format.byteCount ?? 0)
  }

  package func packed(outputs: Int, inputs: Int, as format: WeightFormat) throws(Failure) -> PackedMatrix {
    PackedMatrix(
      storage: try allocate(byteCount: Self.packedBytes(outputs: outputs, inputs: inputs, format)), outputs: outputs, inputs: inputs,
      format: format)
  }

  package func packDense(
    _ bytes: UnsafeRawBufferPointer, format: WeightFormat, outputs: Int, inputs: Int, as target: WeightFormat
  ) throws(Failure) -> PackedMatrix {
    let matrix = try packed(outputs: outputs, inputs: inputs, as: target)
    switch (format, target) {
    case (.float32, .bfloat16):
      // Rounded on the device, some rows at a time.
      let rows = max(1, (16 << 20) / max(1, 4 * inputs))
      for start in stride(from: 0, to: outputs, by: rows) {
        let count = min(rows, outputs - start)
        let part = try tensor(count, inputs)
        unsafe device.upload(UnsafeRawBufferPointer(rebasing: bytes[(4 * start * inputs)..<(4 * (start + count) * inputs)]), to: UInt(address(part)))
        repack("repack_bf16", part, to: address(matrix.storage) + UInt64(2 * start * inputs))
      }
    case (.bfloat16, .float32):
      let halves = unsafe bytes.assumingMemoryBound(to: UInt16.self)
      let part = 4 << 20
      for start in stride(from: 0, to: halves.count, by: part) {
        let floats = unsafe halves[start..<min(start + part, halves.count)].map { Float(bitPattern: UInt32($0) << 16) }
        unsafe floats.withUnsafeBytes { unsafe device.upload($0, to: matrix.storage.address + UInt(4 * start)) }
      }
    default: unsafe device.upload(bytes, to: matrix.storage.address)
    }
    return matrix
  }

  package func quantize(_ bytes: UnsafeRawBufferPointer, format: WeightFormat, outputs: Int, inputs: Int, isNested: Bool) -> NF4Blocks {
    unsafe host.quantize(bytes, format: format, outputs: outputs, inputs: inputs, isNested: isNested)
  }

  package func pack(_ blocks: NF4Blocks, roundsToBFloat16: Bool) throws(Failure) -> PackedMatrix {
    let matrix = try packed(outputs: blocks.outputs, inputs: blocks.inputs, as: blocks.format(roundsToBFloat16: roundsToBFloat16))
    func upload<Element>(_ values: [Element], at offset: Int) {
      unsafe values.withUnsafeBytes { unsafe device.upload($0, to: matrix.storage.address + UInt(offset)) }
    }
    switch blocks.magnitudes {
    case .float32(let values):
      let layout = NF4Layout(outputs: blocks.outputs, inputs: blocks.inputs, isNested: false)
      upload(blocks.codes, at: 0)
      upload(values, at: layout.absmax)
    case .nested(let nested):
      let layout = NF4Layout(outputs: blocks.outputs, inputs: blocks.inputs, isNested: true)
      upload(blocks.codes, at: 0)
      upload(nested.codes, at: layout.absmaxCodes)
      upload(nested.absmax, at: layout.absmax)
      upload(nested.map + [nested.offset], at: layout.map)
    }
    return matrix
  }

  private func repack(_ kernel: StaticString, _ value: Tensor, to weight: UInt64) {
    device.launch(
      kernel, grid: Self.blocks(value.rows * Self.blocks(value.columns, of: 256), of: 8),
      nrc_repack_arguments(x: address(value), w: weight, ldx: Int64(value.stride), N: Int32(value.rows), K: Int32(value.columns)))
  }

  package func packing(_ items: [Repacking]) throws(Failure) -> PackingList {
    for item in items {
      Shapes.repack(item)
      precondition(item.value.isContiguous && item.matrix.format == items[0].matrix.format, "matrices of one format, without gaps")
    }
    var first = 0
    var list: [nrc_repack_item] = []
    for item in items {
      list.append(nrc_repack_item(x: address(item.value), w: address(item.matrix.storage), count: Int64(item.value.count), first: Int64(first)))
      first += Self.blocks(item.value.count, of: 2048)
    }
    let storage = try allocate(byteCount: max(1, list.count) * MemoryLayout<nrc_repack_item>.stride)
    unsafe list.withUnsafeBytes { unsafe device.upload($0, to: storage.address) }
    return PackingList(items, list: storage)
  }

  package func repack(_ list: PackingList) {
    guard let first = list.items.first, let storage = list.list else { return }
    device.launch(
      "repack_list", grid: list.items.reduce(0) { $0 + Self.blocks($1.value.count, of: 2048) },
      nrc_repack_list_arguments(items: address(storage), count: Int32(list.items.count), is_float: first.matrix.format == .float32 ? 1 : 0))
  }

  package func gather(_ ids: IndexTensor, from matrix: PackedMatrix, into output: Tensor) {
    Shapes.gather(ids, from: matrix, into: output)
    let grid = Self.blocks(ids.count * Self.blocks(matrix.inputs, of: 256), of: 8)
    if let nf4 = NF4Parts(matrix) {
      return device.launch(
        "gather_nf4", grid: grid, shared: 64,
        nrc_gather_nf4_arguments(
          codes: nf4.codes, absmax_codes: nf4.absmaxCodes, absmax: nf4.absmax, map: nf4.map, ids: address(ids), out: address(output),
          ldo: Int64(output.stride), T: Int32(ids.count), K: Int32(matrix.inputs), is_nested: nf4.isNested, rounds: nf4.rounds))
    }
    device.launch(
      matrix.format == .float32 ? "gather_f32" : "gather_bf16", grid: grid,
      nrc_gather_arguments(
        w: address(matrix.storage), ids: address(ids), out: address(output), ldo: Int64(output.stride), T: Int32(ids.count),
        K: Int32(matrix.inputs)))
  }

  package func gatherBackward(_ ids: IndexTensor, dOutput: Tensor, gradient: Tensor) {
    Shapes.gatherBackward(ids, dOutput: dOutput, gradient: gradient)
    addRows(dOutput, ids, gradient)
  }

  // MARK: Matrix products

  /// Up to so many rows a tile of few rows does; a tile of many would compute mostly nothing.
  private static let fewRows = 32

  package func linear(_ x: Tensor, _ weight: PackedMatrix, bias: Tensor?, into y: Tensor, accumulate: Bool) {
    Shapes.linear(x, weight, bias: bias, into: y)
    let few = x.rows <= Self.fewRows
    let (down, across) = few ? (Self.blocks(x.rows, of: 16), Self.blocks(y.columns, of: 32)) : (Self.blocks(x.rows, of: 128), Self.blocks(y.columns, of: 64))
    if let nf4 = NF4Parts(weight) {
      return device.launch(
        few ? "linear_nf4_small" : "linear_nf4", grid: down, y: across, shared: few ? 13632 : 25664,
        nrc_linear_nf4_arguments(
          x: address(x), codes: nf4.codes, absmax_codes: nf4.absmaxCodes, absmax: nf4.absmax, map: nf4.map, bias: address(bias),
          y: address(y), ldx: Int64(x.stride), ldy: Int64(y.stride), T: Int32(x.rows), N: Int32(y.columns), K: Int32(x.columns),
          accumulate: accumulate ? 1 : 0, is_nested: nf4.isNested, rounds: nf4.rounds))
    }
    let isFloat = weight.format == .float32
    device.launch(
      few ? (isFloat ? "linear_f32_small" : "linear_bf16_small") : (isFloat ? "linear_f32" : "linear_bf16"), grid: down, y: across,
      shared: few ? 27136 : 25600,
      nrc_linear_arguments(
        x: address(x), w: address(weight.storage), bias: address(bias), y: address(y), ldx: Int64(x.stride), ldy: Int64(y.stride),
        T: Int32(x.rows), N: Int32(y.columns), K: Int32(x.columns), accumulate: accumulate ? 1 : 0))
  }

  package func linearBackward(_ dy: Tensor, _ weight: PackedMatrix, into dx: Tensor, accumulate: Bool) {
    Shapes.linearBackward(dy, weight, into: dx)
    let (down, across) = (Self.blocks(dy.rows, of: 128), Self.blocks(dx.columns, of: 64))
    if let nf4 = NF4Parts(weight) {
      return device.launch(
        "linear_dx_nf4", grid: down, y: across, shared: 25664,
        nrc_linear_dx_nf4_arguments(
          dy: address(dy), codes: nf4.codes, absmax_codes: nf4.absmaxCodes, absmax: nf4.absmax, map: nf4.map, dx: address(dx),
          lddy: Int64(dy.stride), lddx: Int64(dx.stride), T: Int32(dy.rows), N: Int32(dy.columns), K: Int32(dx.columns),
          accumulate: accumulate ? 1 : 0, is_nested: nf4.isNested, rounds: nf4.rounds))
    }
    device.launch(
      weight.format == .float32 ? "linear_dx_f32" : "linear_dx_bf16", grid: down, y: across, shared: 25600,
      nrc_linear_dx_arguments(
        dy: address(dy), w: address(weight.storage), dx: address(dx), lddy: Int64(dy.stride), lddx: Int64(dx.stride), T: Int32(dy.rows),
        N: Int32(dy.columns), K: Int32(dx.columns), accumulate: accumulate ? 1 : 0))
  }

  package func linearBackward(_ dy: Tensor, x: Tensor, weightGradient: Tensor) {
    Shapes.linearBackward(dy, x: x, weightGradient: weightGradient)
    let (outputs, inputs) = (dy.columns, x.columns)
    let few = min(outputs, inputs) <= Self.fewRows
    device.launch(
      few ? "linear_dw_small" : "linear_dw", grid: Self.blocks(outputs, of: few ? 16 : 128), y: Self.blocks(inputs, of: few ? 32 : 64),
      shared: few ? 27136 : 25600,
      nrc_linear_dw_arguments(
        dy: address(dy), x: address(x), dw: address(weightGradient), lddy: Int64(dy.stride), ldx: Int64(x.stride),
        lddw: Int64(weightGradient.stride), T: Int32(dy.rows), N: Int32(outputs), K: Int32(inputs), accumulate: 1))
  }

  package func linearBackward(_ dy: Tensor, biasGradient: Tensor) {
    Shapes.linearBackward(dy, biasGradient: biasGradient)
    device.launch(
      "linear_db", grid: Self.blocks(dy.columns, of: 64),
      nrc_linear_db_arguments(dy: address(dy), db: address(biasGradient), lddy: Int64(dy.stride), T: Int32(dy.rows), N: Int32(dy.columns)))
  }

  // MARK: Rows

  package func scale(_ x: Tensor, by factor: Float) {
    Shapes.scale(x)
    device.launch("scale", grid: Self.blocks(x.count, of: 2048), nrc_scale_arguments(x: address(x), count: Int64(x.count), factor: factor, unused: 0))
  }

  package func add(_ y: Tensor, to x: Tensor) {
    Shapes.add(y, to: x)
    device.launch("add", grid: Self.blocks(x.count, of: 2048), nrc_add_arguments(x: address(x), y: address(y), count: Int64(x.count)))
  }

  package func take(_ rows: IndexTensor, of x: Tensor, into output: Tensor) {
    Shapes.take(rows, of: x, into: output)
    device.launch(
      "take_rows", grid: Self.blocks(rows.count * Self.blocks(x.columns, of: 256), of: 8),
      nrc_take_rows_arguments(
        x: address(x), rows: address(rows), out: address(output), ldx: Int64(x.stride), ldo: Int64(output.stride), n: Int32(rows.count),
        K: Int32(x.columns)))
  }

  package func add(_ y: Tensor, toRows rows: IndexTensor, of x: Tensor) {
    Shapes.add(y, toRows: rows, of: x)
    addRows(y, rows, x)
  }

  private func addRows(_ y: Tensor, _ rows: IndexTensor, _ x: Tensor) {
    device.launch(
      "add_rows", grid: Self.blocks(rows.count, of: 4), shared: 512,
      nrc_add_rows_arguments(
        y: address(y), rows: address(rows), x: address(x), ldy: Int64(y.stride), ldx: Int64(x.stride), n: Int32(rows.count),
        K: Int32(x.columns)))
  }

  package func rmsNorm(_ x: Tensor, _ norm: NormWeights, into y: Tensor, rstd: Tensor) {
    Shapes.rmsNorm(x, norm, into: y, rstd: rstd)
    device.launch(
      "rmsnorm", grid: Self.blocks(x.rows, of: 8), shared: 512,
      nrc_rmsnorm_arguments(
        x: address(x), w: address(norm.weight), y: address(y), rstd: address(rstd), T: Int64(x.rows), K: Int32(x.columns),
        epsilon: norm.epsilon))
  }

  package func rmsNormBackward(
    _ dy: Tensor, x: Tensor, _ norm: NormWeights, rstd: Tensor, into dx: Tensor, accumulate: Bool, weightGradient: Tensor?
  ) {
    Shapes.rmsNormBackward(dy, x: x, norm, rstd: rstd, into: dx, weightGradient: weightGradient)
    let arguments = nrc_rmsnorm_backward_arguments(
      dy: address(dy), x: address(x), w: address(norm.weight), rstd: address(rstd), dx: address(dx), dw: address(weightGradient),
      T: Int64(x.rows), K: Int32(x.columns), accumulate: accumulate ? 1 : 0)
    // The weight's gradient first: dx may lie over dy.
    if weightGradient != nil { device.launch("rmsnorm_dw", grid: Self.blocks(x.columns, of: 64), arguments) }
    device.launch("rmsnorm_dx", grid: Self.blocks(x.rows, of: 8), shared: 512, arguments)
  }

  package func rotate(_ x: Tensor, channels: Int, positions: IndexTensor, cos: Tensor, sin: Tensor, inverse: Bool) {
    Shapes.rotate(x, channels: channels, positions: positions, cos: cos, sin: sin)
    device.launch(
      "rope", grid: Self.blocks(x.rows, of: 4),
      nrc_rope_arguments(
        x: address(x), positions: address(positions), cos: address(cos), sin: address(sin), ldx: Int64(x.stride), T: Int32(x.rows),
        heads: Int32(x.columns / channels), C: Int32(channels), is_inverse: inverse ? 1 : 0))
  }

  package func swiGLU(gate: Tensor, up: Tensor, into output: Tensor) {
    Shapes.swiGLU(gate: gate, up: up, into: output)
    device.launch(
      "swiglu", grid: Self.blocks(gate.count, of: 1024),
      nrc_swiglu_arguments(gate: address(gate), up: address(up), out: address(output), count: Int64(gate.count)))
  }

  package func swiGLUBackward(_ dOutput: Tensor, gate: Tensor, up: Tensor, dGate: Tensor, dUp: Tensor) {
    Shapes.swiGLUBackward(dOutput, gate: gate, up: up, dGate: dGate, dUp: dUp)
    device.launch(
      "swiglu_backward", grid: Self.blocks(gate.count, of: 1024),
      nrc_swiglu_backward_arguments(
        gate: address(gate), up: address(up), dout: address(dOutput), dgate: address(dGate), dup: address(dUp), count: Int64(gate.count)))
  }

  // MARK: Attention

  package func plan(_ segments: [Segment], _ heads: HeadShape, rows: Int, in arena: Arena) throws(Failure) -> AttentionPlan {
    Shapes.plan(segments, rows: rows)
    return try plan(AttentionLists(segments, heads, rows: rows, tiles: .plain), segments.count, heads, rows: rows, in: arena)
  }

  func plan(_ lists: AttentionLists, _ segments: Int, _ heads: HeadShape, rows: Int, in arena: Arena) throws(Failure) -> AttentionPlan {
    let list = try arena.indices(count: lists.words)
    upload(lists.values, to: list.prefix(lists.values.count))
    return AttentionPlan(
      segments: segments, rows: rows, heads: heads, list: list, counts: [lists.queryTiles.count, lists.keyTiles.count])
  }

  package func attention(_ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, into output: Tensor, logSum: Tensor) {
    Shapes.attention(plan, q: q, k: k, v: v, into: output, logSum: logSum)
    let (heads, parts) = (plan.heads, AttentionLists.Parts(plan))
    device.launch(
      "attention_forward", grid: parts.queryTileCount, y: heads.keyValueHeads, z: Self.blocks(heads.channels, of: 128),
      shared: 4 * (80 * AttentionLists.rowStride(heads.channels) + 2352),
      nrc_attention_arguments(
        segments: address(parts.segments), tiles: address(parts.queryTiles), q: address(q), k: address(k), v: address(v),
        out: address(output), log_sum: address(logSum), ldq: Int64(q.stride), ldk: Int64(k.stride), ldv: Int64(v.stride),
        ldo: Int64(output.stride), heads: Int32(heads.queryHeads), groups: Int32(heads.keyValueHeads), channels: Int32(heads.channels),
        scale: heads.scale))
  }

  package func attentionBackward(
    _ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, output: Tensor, logSum: Tensor, dOutput: Tensor, dq: Tensor, dk: Tensor,
    dv: Tensor
  ) {
    Shapes.attentionBackward(plan, q: q, k: k, v: v, output: output, logSum: logSum, dOutput: dOutput, dq: dq, dk: dk, dv: dv)
    let (heads, parts) = (plan.heads, AttentionLists.Parts(plan))
    let arguments = nrc_attention_backward_arguments(
      segments: address(parts.segments), query_tiles: address(parts.queryTiles), key_tiles: address(parts.keyTiles), q: address(q),
      k: address(k), v: address(v), out: address(output), log_sum: address(logSum), d_out: address(dOutput), dots: address(parts.dots),
      dq: address(dq), dk: address(dk), dv: address(dv), ldq: Int64(q.stride), ldk: Int64(k.stride), ldv: Int64(v.stride),
      ldo: Int64(output.stride), ldd: Int64(dOutput.stride), lddq: Int64(dq.stride), lddk: Int64(dk.stride), lddv: Int64(dv.stride),
      heads: Int32(heads.queryHeads), groups: Int32(heads.keyValueHeads), channels: Int32(heads.channels), scale: heads.scale)
    let deep = Self.blocks(heads.channels, of: 128)
    device.launch(
      "attention_backward_queries", grid: parts.queryTileCount, y: heads.keyValueHeads, z: deep,
      shared: 4 * (128 * AttentionLists.rowStride(heads.channels) + 2304), arguments)
    device.launch(
      "attention_backward_keys", grid: parts.keyTileCount, y: heads.keyValueHeads, z: deep,
      shared: 4 * (128 * AttentionLists.rowStride(heads.channels) + 3136), arguments)
  }

  package func cacheShape(_ heads: HeadShape, slots: Int, capacity: Int) -> (capacity: Int, bytes: Int) {
    let rounded = (max(capacity, 1) + 31) / 32 * 32
    return (rounded, 2 * heads.keyValueHeads * heads.channels * rounded * slots * 4)
  }

  package func makeCache(_ heads: HeadShape, slots: Int, capacity: Int) throws(Failure) -> CacheLayer {
    let shape = cacheShape(heads, slots: slots, capacity: capacity)
    return CacheLayer(storage: try allocate(byteCount: shape.bytes), slots: slots, capacity: shape.capacity)
  }

  package func writeCache(
    _ cache: CacheLayer, _ heads: HeadShape, k: Tensor, v: Tensor, slots: IndexTensor, positions: IndexTensor
  ) {
    Shapes.writeCache(heads, k: k, v: v, slots: slots, positions: positions)
    device.launch(
      "kv_write", grid: k.rows,
      nrc_kv_write_arguments(
        k: address(k), v: address(v), cache: address(cache.storage), slots: address(slots), positions: address(positions),
        ldk: Int64(k.stride), ldv: Int64(v.stride), capacity: Int64(cache.capacity), groups: Int32(heads.keyValueHeads),
        channels: Int32(heads.channels)))
  }

  private static func scoreWords(rows: Int, _ heads: HeadShape, prompts: CacheLayer, cache: CacheLayer) -> Int {
    rows * heads.queryHeads * (prompts.capacity + cache.capacity)
  }

  package func attention(
    _ state: DecodeState, _ heads: HeadShape, prompts: CacheLayer, cache: CacheLayer, q: Tensor, into output: Tensor, in arena: Arena
  ) throws(Failure) {
    Shapes.attention(state, heads, q: q, into: output)
    let share = heads.queryHeads / heads.keyValueHeads
    try arena.scope { () throws(Failure) in
      let scores = try arena.indices(count: Self.scoreWords(rows: q.rows, heads, prompts: prompts, cache: cache))
      device.launch(
        "attention_decode", grid: q.rows, y: heads.keyValueHeads, shared: 4 * share * (288 + (heads.channels + 3) / 4 * 4),
        nrc_attention_decode_arguments(
          q: address(q), prompts: address(prompts.storage), cache: address(cache.storage), prompt_slots: address(state.promptSlots),
          prompt_lengths: address(state.promptLengths), slots: address(state.slots), lengths: address(state.lengths),
          scores: address(scores), out: address(output), ldq: Int64(q.stride), ldo: Int64(output.stride),
          prompt_capacity: Int64(prompts.capacity), capacity: Int64(cache.capacity), width: Int64(prompts.capacity + cache.capacity),
          heads: Int32(heads.queryHeads), groups: Int32(heads.keyValueHeads), channels: Int32(heads.channels), scale: heads.scale))
    }
  }

  // MARK: Loss head and sampler

  private static func sharedOfRow(_ columns: Int) -> Int { 128 * blocks(columns, of: 1024) }

  package func logSoftmax(
    _ logits: Tensor, inverseTemperature: Float, targets: IndexTensor, logProb: Tensor, entropy: Tensor, logSum: Tensor
  ) {
    Shapes.logSoftmax(logits, targets: targets, logProb: logProb, entropy: entropy, logSum: logSum)
    guard logits.columns > 0 else { return }
    device.launch(
      "log_softmax", grid: logits.rows, shared: 2048 + Self.sharedOfRow(logits.columns),
      nrc_log_softmax_arguments(
        logits: address(logits), targets: address(targets), log_prob: address(logProb), entropy: address(entropy), log_z: address(logSum),
        V: Int64(logits.columns), ld: Int64(logits.stride), factor: inverseTemperature, unused: 0))
  }

  package func logSoftmaxBackward(
    _ logits: Tensor, inverseTemperature: Float, targets: IndexTensor, logSum: Tensor, entropy: Tensor, dLogProb: Tensor, dEntropy: Tensor?
  ) {
    Shapes.logSoftmaxBackward(logits, targets: targets, logSum: logSum, entropy: entropy, dLogProb: dLogProb, dEntropy: dEntropy)
    device.launch(
      "log_softmax_backward", grid: logits.rows, y: Self.blocks(logits.columns, of: 2048),
      nrc_log_softmax_backward_arguments(
        logits: address(logits), targets: address(targets), log_z: address(logSum), entropy: address(entropy), d_log_prob: address(dLogProb),
        d_entropy: address(dEntropy), V: Int64(logits.columns), ld: Int64(logits.stride), factor: inverseTemperature, unused: 0))
  }

  static func isTruncated(_ settings: SamplingSettings, _ columns: Int) -> Bool {
    settings.temperature > 0 && (settings.topK > 0 && settings.topK < columns || settings.topP < 1)
  }

  package func sampleStep(_ logits: Tensor, _ settings: SamplingSettings, _ state: DecodeState, in arena: Arena) throws(Failure) {
    precondition(state.rows == logits.rows)
    let isTruncated = Self.isTruncated(settings, logits.columns)
    let (lines, first) = (state.drawn, 4 * UInt64(state.drawn.first))
    try arena.scope { () throws(Failure) in
      let scratch = try arena.indices(count: isTruncated ? 2 * logits.rows * logits.columns : 0)
      device.launch(
        isTruncated ? "sample_truncated" : "sample", grid: logits.rows,
        shared: isTruncated
          ? 49168 + max(32832, 2048 + Self.sharedOfRow(logits.columns)) : 6400 + Self.sharedOfRow(logits.columns),
        nrc_sample_arguments(
          logits: address(logits), streams: address(state.streams), stop_tokens: address(state.stopTokens), scratch: address(scratch),
          tokens: address(state.tokens), drawn: address(lines.tokens) + first, log_prob: address(lines.logProbs) + first,
          entropy: address(lines.entropies) + first, positions: address(state.positions), own_positions: address(state.ownPositions),
          lengths: address(state.lengths), remaining: address(state.remaining), outcomes: address(state.outcomes),
          V: Int64(logits.columns), ld: Int64(logits.stride), temperature: settings.temperature, top_p: settings.topP,
          top_k: Int32(clamping: settings.topK), stop_count: Int32(state.stopTokens.count), window: Int32(lines.window),
          width: Int32(lines.width)))
    }
  }

  package func drawn(_ state: DecodeState) throws(Failure) -> Pending<DrawnTokens> {
    let lines = state.drawn
    let lengths = try device.download(UInt(address(state.lengths)), count: state.rows, as: Int32.self)
    let outcomes = try device.download(UInt(address(state.outcomes)), count: state.rows, as: Int32.self)
    let tokens = try device.download(UInt(address(lines.tokens)), count: lines.tokens.count, as: Int32.self)
    let (logProbs, entropies) = (try download(lines.logProbs), try download(lines.entropies))
    return Pending { () throws(Failure) in
      DrawnTokens(
        lengths: try lengths.value(), outcomes: try outcomes.value(), tokens: try tokens.value(), logProbs: try logProbs.value(),
        entropies: try entropies.value(), of: lines)
    }
  }

  // MARK: Recording

  /// Sequences of a recording: it is made once for several numbers of them.
  package func decodeRows(for sequences: Int) -> Int {
    let step = sequences <= 16 ? 8 : sequences <= 64 ? 16 : sequences <= 128 ? 32 : 64
    return Self.blocks(sequences, of: step) * step
  }

  package var stepsTogether: Int { 8 }

  package func replay(_ recording: Recording) throws(Failure) {
    let graph = try recording.graph { body throws(Failure) in try device.graph(body) }
    if let graph { try device.launch(graph: graph) } else { try recording.body() }
  }

  // MARK: Optimiser

  package func adamW(
    _ settings: AdamWSettings, step: Int, parameter: Tensor, gradient: Tensor, m: Tensor, v: Tensor, gradientFactor: Float
  ) {
    Shapes.adamW(parameter: parameter, gradient: gradient, m: m, v: v)
    let (c1, c2) = (1 - pow(settings.beta1, Double(step)), 1 - pow(settings.beta2, Double(step)))
    device.launch(
      "adamw", grid: Self.blocks(parameter.count, of: 1024),
      nrc_adamw_arguments(
        parameter: address(parameter), m: address(m), v: address(v), gradient: address(gradient), count: Int64(parameter.count),
        keep: Float(1 - settings.learningRate * settings.weightDecay), beta1: Float(settings.beta1), beta2: Float(settings.beta2),
        rest1: Float(1 - settings.beta1), rest2: Float(1 - settings.beta2), root_c2: Float(c2.squareRoot()),
        epsilon: Float(settings.epsilon), rate: Float(settings.learningRate / c1), factor: gradientFactor, unused: 0))
  }

  package func parts(_ ranges: [Range<Int>]) throws(Failure) -> FlatParts {
    let blocks = PartBlocks(ranges)
    let list = try allocate(byteCount: blocks.byteCount)
    func upload<Element>(_ values: [Element], at offset: Int) {
      unsafe values.withUnsafeBytes { unsafe device.upload($0, to: list.address + UInt(offset)) }
    }
    upload(blocks.starts, at: blocks.startsOffset)
    upload(blocks.counts, at: blocks.countsOffset)
    upload(blocks.parts, at: blocks.partsOffset)
    return FlatParts(ranges, list: list)
  }

  package func sumOfSquares(_ x: Tensor, _ parts: FlatParts) throws(Failure) -> Pending<Double> {
    Shapes.sumOfSquares(x, parts)
    guard let list = parts.list else { preconditionFailure("parts of this backend") }
    let blocks = PartBlocks(parts.ranges)
    let start = address(list)
    let arguments = nrc_sum_squares_arguments(
      x: address(x), starts: start + UInt64(blocks.startsOffset), counts: start + UInt64(blocks.countsOffset),
      parts: start + UInt64(blocks.partsOffset), sums: start + 8, result: start, blocks: Int64(blocks.starts.count))
    device.launch("sum_squares_blocks", grid: Self.blocks(blocks.starts.count, of: 16), shared: 2048, arguments)
    device.launch("sum_squares_join", grid: 1, shared: 3072, arguments)
    let result = try device.download(list.address, count: 1, as: Double.self)
    return Pending { () throws(Failure) in try result.value()[0] }
  }
}

/// Parts of a flat tensor cut into blocks whose sums are joined in order (optimizer_arguments.h), and where their lists lie: the result
/// first, a sum for each block, then the lists.
private struct PartBlocks {
  var starts: [Int64] = []
  var counts: [Int32] = []
  var parts: [Int32] = []

  init(_ ranges: [Range<Int>]) {
    let size = 8192
    for (number, part) in ranges.enumerated() {
      for start in stride(from: part.lowerBound, to: part.upperBound, by: size) {
        starts.append(Int64(start))
        counts.append(Int32(min(size, part.upperBound - start)))
        parts.append(Int32(number))
      }
    }
  }

  var startsOffset: Int { 8 + 8 * starts.count }
  var countsOffset: Int { startsOffset + 8 * starts.count }
  var partsOffset: Int { countsOffset + 4 * starts.count }
  var byteCount: Int { partsOffset + 4 * starts.count }
}
