import CCUDA
import Support
import Synchronization

/// An NVIDIA GPU that computes in bfloat16: products on tensor cores, with bfloat16 operands and float32 sums.
///
/// Weights are bfloat16 or of four bits. What products read is rounded to bfloat16 where it is stored: normed inputs, queries, keys,
/// values, attention's output, the two gates and their product, low-rank inputs, the cache, and the gradients of all these. The residual
/// stream, statistics, logits, weight gradients and the optimiser are float32. A row's bits do not depend on what is computed beside it, how the
/// work is cut, or whether it is decoded or trained on (product_arguments.h, flash.cu, vocabulary.cuh say in what order sums are made).
///
/// Dense weights are kept in bfloat16 whatever is asked for, and the values of blocks of four bits are rounded to it. What is float32 on both
/// sides and no product takes the plain kernels of ``CUDABackend``.
package final class TensorCoreBackend: CUDABackend, BFloat16Products, @unchecked Sendable {
  /// Blocks that there should be at least: the card's, or what a test says. Changes no result.
  package var multiprocessors: Int {
    get { wantedBlocks ?? device.properties.multiprocessors }
    set { wantedBlocks = newValue }
  }
  private var wantedBlocks: Int?

  /// Makes gradients of inputs where it is there; opened for the first of them.
  private lazy var products = findProducts?()
  private var findProducts: (() -> CUBLASLt?)?
  private let workspace = Mutex<Storage?>(nil)

  /// - Parameter products: opens what makes gradients of inputs; nil leaves them to kernels of ours.
  package convenience init(
    _ device: CUDADevice, products: @escaping () -> CUBLASLt?, threads: Int? = nil, memory: Int? = nil
  ) throws(Failure) {
    try self.init(device, threads: threads, memory: memory)
    findProducts = products
  }

  /// Whether gradients of inputs are a library's.
  package var hasLibrary: Bool { products != nil }

  override package func counter() -> any Backend {
    let counter = super.counter()
    (counter as? TensorCoreBackend)?.findProducts = { [self] in products }
    return counter
  }

  override var family: String { "bfloat16 on tensor cores\(products.map { ", gradients by cuBLASLt \($0.version)" } ?? "")" }
  override package var activation: ElementType { .bfloat16 }

  private func bf16(_ tensor: Tensor) -> UInt64 {
    precondition(tensor.element == .bfloat16)
    return place(tensor)
  }

  private func isFloat(_ tensor: Tensor) -> Int32 {
    precondition(tensor.element == .float32 || tensor.element == .bfloat16)
    return tensor.element == .float32 ? 1 : 0
  }

  // MARK: Copies

  /// `output[i] = x[rows[i]]`, between elements of both kinds.
  private func convert(_ x: Tensor, rows: IndexTensor?, into output: Tensor) {
    device.launch(
      "take_rows_bf16", grid: Self.blocks(output.rows * Self.blocks(output.columns, of: 256), of: 8),
      nrc_take_rows_bf16_arguments(
        x: place(x), rows: rows.map { address($0) } ?? 0, out: place(output), ldx: Int64(x.stride), ldo: Int64(output.stride),
        n: Int32(output.rows), K: Int32(output.columns), x_is_float: isFloat(x), out_is_float: isFloat(output)))
  }

  override package func copy(_ source: Tensor, to destination: Tensor) {
    let isPlain = source.element == .float32 && destination.element == .float32
    let isBlock = source.element == destination.element && source.isContiguous && destination.isContiguous
    if isPlain || isBlock { return super.copy(source, to: destination) }
    Shapes.copy(source, to: destination)
    convert(source, rows: nil, into: destination)
  }

  override package func take(_ rows: IndexTensor, of x: Tensor, into output: Tensor) {
    if x.element == .float32, output.element == .float32 { return super.take(rows, of: x, into: output) }
    Shapes.take(rows, of: x, into: output)
    convert(x, rows: rows, into: output)
  }

  override package func download(_ tensor: Tensor) throws(Failure) -> Pending<[Float]> {
    if tensor.element == .float32 { return try super.download(tensor) }
    let wide = try self.tensor(tensor.rows, tensor.columns)
    copy(tensor, to: wide)
    return try super.download(wide)
  }

  // MARK: Weights

  override package func packed(outputs: Int, inputs: Int, as format: WeightFormat) throws(Failure) -> PackedMatrix {
    try super.packed(outputs: outputs, inputs: inputs, as: format.inBFloat16)
  }

  override package func packDense(
    _ bytes: UnsafeRawBufferPointer, format: WeightFormat, outputs: Int, inputs: Int, as target: WeightFormat
  ) throws(Failure) -> PackedMatrix {
    try unsafe super.packDense(bytes, format: format, outputs: outputs, inputs: inputs, as: target.inBFloat16)
  }

  override package func gather(_ ids: IndexTensor, from matrix: PackedMatrix, into output: Tensor) {
    guard case .nf4 = matrix.format else { return super.gather(ids, from: matrix, into: output) }
    withScratch { arena throws(Failure) in
      let out = try arena.tensor(matrix.outputs, matrix.inputs, .bfloat16)
      expanded(matrix, into: out)
      take(ids, of: out, into: output)
    }
  }

  /// In the order of fragments, in which products of few rows read them.
  private static func isReordered(_ matrix: PackedMatrix) -> Bool { matrix.outputs % 16 == 0 && matrix.inputs % 64 == 0 }

  private func matrixArguments(_ nf4: NF4Parts, _ matrix: PackedMatrix, into out: UInt64) -> nrc_nf4_matrix_arguments {
    nrc_nf4_matrix_arguments(
      codes: nf4.codes, absmax_codes: nf4.absmaxCodes, absmax: nf4.absmax, map: nf4.map, out: out, N: Int32(matrix.outputs),
      K: Int32(matrix.inputs), is_nested: nf4.isNested, is_reordered: Self.isReordered(matrix) ? 1 : 0)
  }

  override package func pack(_ blocks: NF4Blocks, roundsToBFloat16: Bool) throws(Failure) -> PackedMatrix {
    let filed = try super.pack(blocks, roundsToBFloat16: true)
    guard Self.isReordered(filed), let parts = NF4Parts(filed) else { return filed }
    let matrix = try packed(outputs: filed.outputs, inputs: filed.inputs, as: filed.format)
    device.copy(from: filed.storage.address, to: matrix.storage.address, byteCount: filed.storage.byteCount)
    device.launch(
      "nf4_reorder", grid: Self.blocks(matrix.outputs * matrix.inputs, of: 8192), matrixArguments(parts, filed, into: address(matrix.storage)))
    return matrix
  }

  /// A matrix in bfloat16 as products of many rows read it.
  private func expanded(_ matrix: PackedMatrix, into out: Tensor) {
    guard let parts = NF4Parts(matrix) else { preconditionFailure("a matrix of four bits") }
    device.launch(
      "nf4_expand", grid: Self.blocks(matrix.outputs * matrix.inputs, of: 8192), shared: 16448, matrixArguments(parts, matrix, into: place(out)))
  }

  /// The matrices as bfloat16 rows, those of four bits expanded into an arena.
  private func dense(_ matrices: [PackedMatrix], in arena: Arena) throws(Failure) -> [UInt64] {
    var addresses: [UInt64] = []
    for matrix in matrices {
      guard case .nf4 = matrix.format else {
        precondition(matrix.format == .bfloat16, "products on tensor cores read bfloat16")
        addresses.append(address(matrix.storage))
        continue
      }
      let out = try arena.tensor(matrix.outputs, matrix.inputs, .bfloat16)
      expanded(matrix, into: out)
      addresses.append(place(out))
    }
    return addresses
  }

  // MARK: Products

  /// Rows and columns of a tile, and the shared memory of its kernel.
  private struct Tile {
    let name: StaticString
    let rows, columns, shared: Int
  }

  /// The most work in a block first: each does more with what it reads than the next.
  private static let tiles = [
    Tile(name: "product_128x256", rows: 128, columns: 256, shared: 98304), Tile(name: "product_128x128", rows: 128, columns: 128, shared: 98304),
    Tile(name: "product_128x64", rows: 128, columns: 64, shared: 73728), Tile(name: "product_64x64", rows: 64, columns: 64, shared: 65536),
    Tile(name: "product_32x64", rows: 32, columns: 64, shared: 49152), Tile(name: "product_16x32", rows: 16, columns: 32, shared: 36864),
  ]

  /// These have no registers for a second sum, and where they do the work another one is not needed.
  private static let ofOneChunk: Set<String> = ["product_128x256", "product_128x64"]

  /// The first of some tiles of which no half is past the rows and with which there is a block for each multiprocessor; the last otherwise.
  private func tile(of tiles: [Tile], rows: Int, columns: [Int], depth: Int = 1) -> Tile {
    let wide = tiles.filter { $0.rows < 2 * rows || $0.rows <= 16 }
    return wide.first { tile in
      depth * Self.blocks(rows, of: tile.rows) * columns.reduce(0) { $0 + Self.blocks($1, of: tile.columns) } >= multiprocessors
    } ?? wide.last ?? tiles[tiles.count - 1]
  }

  private static let nf4Tiles = [
    Tile(name: "nf4_16", rows: 16, columns: 64, shared: 66560), Tile(name: "nf4_32", rows: 32, columns: 64, shared: 66560),
    Tile(name: "nf4_64", rows: 64, columns: 64, shared: 82944), Tile(name: "nf4_128", rows: 128, columns: 64, shared: 97280),
  ]

  /// The first of some tiles, the lowest first, that has room for all rows; the last where none has.
  private static func lowest(of tiles: [Tile], rows: Int) -> Tile { tiles.first { rows <= $0.rows } ?? tiles[tiles.count - 1] }

  /// Up to so many rows weights of four bits are expanded in registers; more share one expanded copy.
  private static let fusedRows = 128

  private func part(_ layer: ProductLayer, _ weight: UInt64, first: Int) -> nrc_product_part {
    let nf4 = NF4Parts(layer.matrix)
    return nrc_product_part(
      w: weight, absmax_codes: nf4?.absmaxCodes ?? 0, absmax: nf4?.absmax ?? 0, map: nf4?.map ?? 0, bias: address(layer.bias),
      low: layer.low.map { bf16($0) } ?? 0, up: layer.up.map { address($0.storage) } ?? 0, residual: address(layer.residual),
      y: place(layer.y), ldr: Int64(layer.residual?.stride ?? 0), ldy: Int64(layer.y.stride), N: Int32(layer.matrix.outputs),
      R: Int32(layer.up?.inputs ?? 0), first: Int32(first), is_float: isFloat(layer.y), is_nested: nf4?.isNested ?? 0, scale: layer.scale)
  }

  private func launch(
    _ tile: Tile, _ x: Tensor, _ layers: [ProductLayer], _ weights: [UInt64], partial: UInt64, depth: Int
  ) {
    var first = 0
    var parts: [nrc_product_part] = []
    for (layer, weight) in zip(layers, weights) {
      parts.append(part(layer, weight, first: first))
      first += Self.blocks(layer.matrix.outputs, of: tile.columns)
    }
    while parts.count < NRC_PRODUCT_PARTS { parts.append(nrc_product_part()) }
    device.launch(
      tile.name, grid: first, y: Self.blocks(x.rows, of: tile.rows), z: depth, shared: tile.shared,
      nrc_product_arguments(
        x: place(x), partial: partial, ldx: Int64(x.stride), T: Int32(x.rows), K: Int32(x.columns), parts: Int32(layers.count),
        is_float: isFloat(x), part: (parts[0], parts[1], parts[2])))
  }

  /// Up to three layers that read the same rows.
  package func multiply(_ x: Tensor, _ layers: [ProductLayer], in arena: Arena) throws(Failure) {
    guard x.rows > 0 else { return }
    try arena.scope { () throws(Failure) in
      let chunks = Self.blocks(x.columns, of: Int(NRC_PRODUCT_CHUNK))
      let columns = layers.reduce(0) { $0 + $1.matrix.outputs }
      let isFused = x.rows <= Self.fusedRows && layers.allSatisfy { if case .nf4 = $0.matrix.format { Self.isReordered($0.matrix) } else { false } }
      // Few rows leave most of the device idle where one block makes a long sum.
      let isSplit = chunks > 1 && x.rows <= 256
      let partial = isSplit ? place(try arena.tensor(chunks * x.rows, columns)) : 0
      let weights = isFused ? layers.map { address($0.matrix.storage) } : try dense(layers.map(\.matrix), in: arena)
      let oneChunk = chunks == 1 || isSplit
      let tile =
        isFused
        ? Self.lowest(of: Self.nf4Tiles, rows: x.rows)
        : tile(
          of: Self.tiles.filter { oneChunk ? $0.name.description != "product_128x128" : !Self.ofOneChunk.contains($0.name.description) }, rows: x.rows,
          columns: layers.map(\.matrix.outputs), depth: isSplit ? chunks : 1)
      launch(tile, x, layers, weights, partial: partial, depth: isSplit ? chunks : 1)
      if isSplit { launch(Tile(name: "product_join", rows: 16, columns: 32, shared: 2048), x, layers, weights, partial: partial, depth: 1) }
    }
  }

  override package func linear(_ x: Tensor, _ weight: PackedMatrix, bias: Tensor?, into y: Tensor, accumulate: Bool) {
    Shapes.linear(x, weight, bias: bias, into: y)
    withScratch { arena throws(Failure) in
      try multiply(x, [ProductLayer(matrix: weight, bias: bias, residual: accumulate ? y : nil, y: y)], in: arena)
    }
  }

  /// Memory for an operation that is given none; what goes wrong is said where something is next asked of the device.
  private func withScratch(_ body: (Arena) throws(Failure) -> Void) {
    do throws(Failure) {
      let arena = try Arena(on: self)
      try arena.scope { () throws(Failure) in try body(arena) }
    } catch {
      device.fail(error)
    }
  }

  // MARK: Gradients of products

  /// Fewer rows or inputs than these are not worth a call of the library.
  private static let leastOfLibrary = 128

  /// The same by the library, layer after layer, where it is there and takes all of them.
  private func multiplied(_ layers: [GradientTerm], _ weights: [UInt64], scale: Float, into dx: Tensor, accumulate: Bool) throws(Failure) -> Bool {
    guard let products, dx.rows >= Self.leastOfLibrary, dx.columns >= Self.leastOfLibrary else { return false }
    func isAligned(_ tensor: Tensor) -> Bool {
      place(tensor) % UInt64(CUBLASLt.alignment) == 0 && tensor.stride * tensor.element.byteCount % CUBLASLt.alignment == 0
    }
    let operands = layers.map(\.dy) + layers.compactMap(\.low) + [dx]
    guard operands.dropLast().allSatisfy({ $0.element == .bfloat16 }), operands.allSatisfy(isAligned), dx.columns % 8 == 0 else { return false }
    let workspace = try workspace.withLock { (workspace: inout Storage?) throws(Failure) in
      if let workspace { return workspace }
      let taken = try allocate(byteCount: CUBLASLt.workspaceBytes)
      workspace = taken
      return taken
    }
    var adds = accumulate
    var terms = zip(layers, weights).map { (dy: $0.dy, weight: $1, outputs: $0.matrix.outputs) }
    for layer in layers {
      if let low = layer.low, let down = layer.down { terms.append((low, address(down.storage), down.outputs)) }
    }
    for (index, term) in terms.enumerated() {
      let isDone = products.inputGradient(
        term.dy, term.weight, outputs: term.outputs, scale: scale, into: dx, adds: adds, workspace: workspace, on: device)
      if !isDone {
        // One that takes the first of some layers takes the others.
        if index == 0 { return false }
        throw .internalError("cuBLASLt takes no gradient of \(dx.rows) rows, \(term.outputs) outputs, \(dx.columns) inputs")
      }
      adds = true
    }
    return true
  }

  package func inputGradient(_ layers: [GradientTerm], scale: Float, into dx: Tensor, accumulate: Bool, in arena: Arena) throws(Failure) {
    guard dx.rows > 0 else { return }
    try arena.scope { () throws(Failure) in
      let weights = try dense(layers.map(\.matrix), in: arena)
      if try multiplied(layers, weights, scale: scale, into: dx, accumulate: accumulate) { return }
      var parts: [nrc_product_dx_part] = []
      for (layer, weight) in zip(layers, weights) {
        parts.append(
          nrc_product_dx_part(
            dy: place(layer.dy), w: weight, low: layer.low.map { bf16($0) } ?? 0, down: layer.down.map { address($0.storage) } ?? 0,
            lddy: Int64(layer.dy.stride), N: Int32(layer.matrix.outputs), R: Int32(layer.low?.columns ?? 0), is_float: isFloat(layer.dy), unused: 0))
      }
      while parts.count < NRC_PRODUCT_PARTS { parts.append(nrc_product_dx_part()) }
      let tile =
        dx.columns <= 16
        ? Tile(name: "product_dx_64x16", rows: 64, columns: 16, shared: 81920)
        : tile(
          of: [
            Tile(name: "product_dx_128x128", rows: 128, columns: 128, shared: 98304), Tile(name: "product_dx_64x64", rows: 64, columns: 64, shared: 65536),
          ], rows: dx.rows, columns: [dx.columns])
      device.launch(
        tile.name, grid: Self.blocks(dx.columns, of: tile.columns), y: Self.blocks(dx.rows, of: tile.rows), shared: tile.shared,
        nrc_product_dx_arguments(
          dx: place(dx), lddx: Int64(dx.stride), T: Int32(dx.rows), K: Int32(dx.columns), parts: Int32(layers.count),
          accumulate: accumulate ? 1 : 0, is_float: isFloat(dx), scale: scale, part: (parts[0], parts[1], parts[2])))
    }
  }

  override package func linearBackward(_ dy: Tensor, _ weight: PackedMatrix, into dx: Tensor, accumulate: Bool) {
    Shapes.linearBackward(dy, weight, into: dx)
    withScratch { arena throws(Failure) in
      try inputGradient([GradientTerm(dy: dy, matrix: weight)], scale: 1, into: dx, accumulate: accumulate, in: arena)
    }
  }

  /// `dw += dyᵀ · x` of up to three layers.
  package func weightGradients(_ list: [WeightTerm], in arena: Arena) throws(Failure) {
    guard let rows = list.first?.dy.rows, rows > 0 else { return }
    try arena.scope { () throws(Failure) in
      // Thin matrices have few tiles: their rows are shared out in runs.
      let runs = Self.blocks(rows, of: Int(NRC_PRODUCT_RUN))
      var partials: [UInt64]?
      if runs > 1, list.allSatisfy({ min($0.dw.rows, $0.dw.columns) <= 16 }) {
        var places: [UInt64] = []
        for (_, _, dw) in list { places.append(place(try arena.tensor(runs * dw.rows, dw.columns))) }
        partials = places
      }
      weightGradients(list, partials: partials)
    }
  }

  /// - Parameter partials: where the sums of runs of rows go, so that blocks share them out; nil: a block makes all of them. The same bits.
  private func weightGradients(_ list: [WeightTerm], partials: [UInt64]?) {
    guard let rows = list.first?.dy.rows, rows > 0 else { return }
    let tile =
      list.allSatisfy { $0.dw.rows <= 16 }
      ? Tile(name: "product_dw_16x128", rows: 16, columns: 128, shared: 73728)
      : list.allSatisfy { $0.dw.columns <= 16 }
        ? Tile(name: "product_dw_128x16", rows: 128, columns: 16, shared: 73728) : Tile(name: "product_dw_128x128", rows: 128, columns: 128, shared: 98304)
    var first = 0
    var parts: [nrc_product_dw_part] = []
    for (index, (dy, x, dw)) in list.enumerated() {
      parts.append(
        nrc_product_dw_part(
          dy: place(dy), x: place(x), dw: address(dw), partial: partials?[index] ?? 0, lddy: Int64(dy.stride), ldx: Int64(x.stride),
          lddw: Int64(dw.stride), N: Int32(dw.rows), K: Int32(dw.columns), first: Int32(first), dy_is_float: isFloat(dy), x_is_float: isFloat(x),
          unused: 0))
      first += Self.blocks(dw.rows, of: tile.rows) * Self.blocks(dw.columns, of: tile.columns)
    }
    while parts.count < NRC_PRODUCT_PARTS { parts.append(nrc_product_dw_part()) }
    let arguments = nrc_product_dw_arguments(T: Int32(rows), parts: Int32(list.count), part: (parts[0], parts[1], parts[2]))
    device.launch(tile.name, grid: first, z: partials == nil ? 1 : Self.blocks(rows, of: Int(NRC_PRODUCT_RUN)), shared: tile.shared, arguments)
    guard partials != nil else { return }
    let largest = list.reduce(0) { max($0, $1.dw.count) }
    device.launch("product_dw_join", grid: Self.blocks(largest, of: 1024), y: list.count, arguments)
  }

  override package func linearBackward(_ dy: Tensor, x: Tensor, weightGradient: Tensor) {
    Shapes.linearBackward(dy, x: x, weightGradient: weightGradient)
    weightGradients([(dy, x, weightGradient)], partials: nil)
  }

  package func biasGradient(_ dy: Tensor, _ gradient: Tensor, in arena: Arena) throws(Failure) {
    try arena.scope { () throws(Failure) in
      let wide = try arena.tensor(dy.rows, dy.columns)
      copy(dy, to: wide)
      super.linearBackward(wide, biasGradient: gradient)
    }
  }

  override package func linearBackward(_ dy: Tensor, biasGradient gradient: Tensor) {
    if dy.element == .float32 { return super.linearBackward(dy, biasGradient: gradient) }
    withScratch { arena throws(Failure) in try biasGradient(dy, gradient, in: arena) }
  }

  // MARK: Rows

  /// Shared memory of four rows' beginnings.
  private static func sharedOfRows(_ columns: Int, _ element: ElementType) -> Int {
    4 * (blocks(element.byteCount * min(columns, 4096), of: 128) * 128 + 64)
  }

  override package func rmsNorm(_ x: Tensor, _ norm: NormWeights, into y: Tensor, rstd: Tensor) {
    if y.element == .float32 { return super.rmsNorm(x, norm, into: y, rstd: rstd) }
    Shapes.rmsNorm(x, norm, into: y, rstd: rstd)
    device.launch(
      x.element == .float32 ? "rmsnorm_to_bf16" : "rmsnorm_bf16", grid: Self.blocks(x.rows, of: 4),
      shared: Self.sharedOfRows(x.columns, x.element),
      nrc_rmsnorm_bf16_arguments(
        x: place(x), w: address(norm.weight), y: bf16(y), rstd: address(rstd), T: Int64(x.rows), K: Int32(x.columns), epsilon: norm.epsilon))
  }

  override package func rmsNormBackward(
    _ dy: Tensor, x: Tensor, _ norm: NormWeights, rstd: Tensor, into dx: Tensor, accumulate: Bool, weightGradient: Tensor?
  ) {
    if dy.element == .float32 {
      return super.rmsNormBackward(dy, x: x, norm, rstd: rstd, into: dx, accumulate: accumulate, weightGradient: weightGradient)
    }
    Shapes.rmsNormBackward(dy, x: x, norm, rstd: rstd, into: dx, weightGradient: weightGradient)
    let arguments = nrc_rmsnorm_backward_bf16_arguments(
      dy: bf16(dy), x: bf16(x), w: address(norm.weight), rstd: address(rstd), dx: bf16(dx), dw: address(weightGradient), T: Int64(x.rows),
      K: Int32(x.columns), accumulate: accumulate ? 1 : 0)
    if weightGradient != nil { device.launch("rmsnorm_dw_bf16", grid: Self.blocks(x.columns, of: 64), arguments) }
    device.launch("rmsnorm_dx_bf16", grid: Self.blocks(x.rows, of: 4), shared: 2 * Self.sharedOfRows(x.columns, .bfloat16), arguments)
  }

  override package func rotate(_ x: Tensor, channels: Int, positions: IndexTensor, cos: Tensor, sin: Tensor, inverse: Bool) {
    if x.element == .float32 { return super.rotate(x, channels: channels, positions: positions, cos: cos, sin: sin, inverse: inverse) }
    Shapes.rotate(x, channels: channels, positions: positions, cos: cos, sin: sin)
    device.launch(
      "rope_bf16", grid: Self.blocks(x.rows * (x.columns / channels) * Self.blocks(channels, of: 16), of: 256),
      nrc_rope_bf16_arguments(
        x: bf16(x), positions: address(positions), cos: address(cos), sin: address(sin), ldx: Int64(x.stride), T: Int32(x.rows),
        heads: Int32(x.columns / channels), C: Int32(channels), is_inverse: inverse ? 1 : 0))
  }

  override package func rotate(
    q: Tensor, k: Tensor, v: Tensor, _ heads: HeadShape, positions: IndexTensor, cos: Tensor, sin: Tensor, inverse: Bool, sink: CacheSink?
  ) {
    Shapes.rotate(q, channels: heads.channels, positions: positions, cos: cos, sin: sin)
    Shapes.rotate(k, channels: heads.channels, positions: positions, cos: cos, sin: sin)
    if let sink { Shapes.writeCache(heads, k: k, v: v, slots: sink.slots, positions: sink.places) }
    let all = heads.queryHeads + heads.keyValueHeads + (sink == nil ? 0 : heads.keyValueHeads)
    device.launch(
      "rope_heads_bf16", grid: Self.blocks(q.rows * all * Self.blocks(heads.channels, of: 16), of: 256),
      nrc_rope_heads_arguments(
        q: bf16(q), k: bf16(k), v: bf16(v), positions: address(positions), cos: address(cos), sin: address(sin),
        cache: sink.map { address($0.cache.storage) } ?? 0, slots: sink.map { address($0.slots) } ?? 0, places: sink.map { address($0.places) } ?? 0,
        ldq: Int64(q.stride), ldk: Int64(k.stride), ldv: Int64(v.stride), capacity: Int64(sink?.cache.capacity ?? 0), T: Int32(q.rows),
        heads: Int32(heads.queryHeads), groups: Int32(heads.keyValueHeads), C: Int32(heads.channels), is_inverse: inverse ? 1 : 0, unused: 0))
  }

  override package func swiGLU(gate: Tensor, up: Tensor, into output: Tensor) {
    if gate.element == .float32 { return super.swiGLU(gate: gate, up: up, into: output) }
    Shapes.swiGLU(gate: gate, up: up, into: output)
    device.launch(
      "swiglu_bf16", grid: Self.blocks(gate.count, of: 2048),
      nrc_swiglu_bf16_arguments(gate: bf16(gate), up: bf16(up), out: bf16(output), count: Int64(gate.count)))
  }

  override package func swiGLUBackward(_ dOutput: Tensor, gate: Tensor, up: Tensor, dGate: Tensor, dUp: Tensor) {
    if gate.element == .float32 { return super.swiGLUBackward(dOutput, gate: gate, up: up, dGate: dGate, dUp: dUp) }
    Shapes.swiGLUBackward(dOutput, gate: gate, up: up, dGate: dGate, dUp: dUp)
    device.launch(
      "swiglu_backward_bf16", grid: Self.blocks(gate.count, of: 2048),
      nrc_swiglu_backward_bf16_arguments(
        gate: bf16(gate), up: bf16(up), dout: bf16(dOutput), dgate: bf16(dGate), dup: bf16(dUp), count: Int64(gate.count)))
  }

  // MARK: Attention

  /// Heads as the kernels take them.
  private static func check(_ heads: HeadShape) throws(Failure) {
    guard heads.channels <= 128, heads.channels % 2 == 0, heads.queryHeads / heads.keyValueHeads <= 8 else {
      throw .usage(
        "attention on tensor cores takes heads of up to 128 channels, an even number of them, and up to 8 query heads that share keys; this model has \(heads.channels) channels and \(heads.queryHeads) heads on \(heads.keyValueHeads): --precision fp32, or --device cpu"
      )
    }
  }

  /// The kernel for so many channels, and its shared memory.
  private static func kernel(_ heads: HeadShape, _ narrow: StaticString, _ wide: StaticString, each: Int, more: Int = 0) -> (StaticString, Int) {
    heads.channels <= 64 ? (narrow, 64 * each + more) : (wide, 128 * each + more)
  }

  override package func plan(_ segments: [Segment], _ heads: HeadShape, rows: Int, in arena: Arena) throws(Failure) -> AttentionPlan {
    try Self.check(heads)
    Shapes.plan(segments, rows: rows)
    return try plan(AttentionLists(segments, heads, rows: rows, tiles: .flash), segments.count, heads, rows: rows, in: arena)
  }

  override package func attention(_ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, into output: Tensor, logSum: Tensor) {
    Shapes.attention(plan, q: q, k: k, v: v, into: output, logSum: logSum)
    let (heads, parts) = (plan.heads, AttentionLists.Parts(plan))
    let (name, shared) = Self.kernel(heads, "flash_forward_64", "flash_forward_128", each: 640)
    device.launch(
      name, grid: parts.queryTileCount, y: heads.keyValueHeads, shared: shared,
      nrc_flash_arguments(
        segments: address(parts.segments), tiles: address(parts.queryTiles), q: bf16(q), k: bf16(k), v: bf16(v), out: bf16(output),
        log_sum: address(logSum), ldq: Int64(q.stride), ldk: Int64(k.stride), ldv: Int64(v.stride), ldo: Int64(output.stride),
        heads: Int32(heads.queryHeads), groups: Int32(heads.keyValueHeads), channels: Int32(heads.channels), scale: heads.scale))
  }

  override package func attentionBackward(
    _ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, output: Tensor, logSum: Tensor, dOutput: Tensor, dq: Tensor, dk: Tensor,
    dv: Tensor
  ) {
    Shapes.attentionBackward(plan, q: q, k: k, v: v, output: output, logSum: logSum, dOutput: dOutput, dq: dq, dk: dk, dv: dv)
    let (heads, parts) = (plan.heads, AttentionLists.Parts(plan))
    let arguments = nrc_flash_backward_arguments(
      segments: address(parts.segments), query_tiles: address(parts.queryTiles), key_tiles: address(parts.keyTiles), q: bf16(q), k: bf16(k),
      v: bf16(v), out: bf16(output), log_sum: address(logSum), d_out: bf16(dOutput), dots: address(parts.dots), dq: bf16(dq), dk: bf16(dk),
      dv: bf16(dv), ldq: Int64(q.stride), ldk: Int64(k.stride), ldv: Int64(v.stride), ldo: Int64(output.stride), ldd: Int64(dOutput.stride),
      lddq: Int64(dq.stride), lddk: Int64(dk.stride), lddv: Int64(dv.stride), heads: Int32(heads.queryHeads), groups: Int32(heads.keyValueHeads),
      channels: Int32(heads.channels), scale: heads.scale)
    let queries = Self.kernel(heads, "flash_backward_queries_64", "flash_backward_queries_128", each: 640)
    device.launch(queries.0, grid: parts.queryTileCount, y: heads.keyValueHeads, shared: queries.1, arguments)
    let keys = Self.kernel(heads, "flash_backward_keys_64", "flash_backward_keys_128", each: 576, more: 1024)
    device.launch(keys.0, grid: 2 * parts.keyTileCount, y: heads.keyValueHeads, shared: keys.1, arguments)
  }

  override package func cacheShape(_ heads: HeadShape, slots: Int, capacity: Int) -> (capacity: Int, bytes: Int) {
    let plain = super.cacheShape(heads, slots: slots, capacity: capacity)
    return (plain.capacity, plain.bytes / 2)
  }

  override package func makeCache(_ heads: HeadShape, slots: Int, capacity: Int) throws(Failure) -> CacheLayer {
    try Self.check(heads)
    return try super.makeCache(heads, slots: slots, capacity: capacity)
  }

  override package func writeCache(
    _ cache: CacheLayer, _ heads: HeadShape, k: Tensor, v: Tensor, slots: IndexTensor, positions: IndexTensor
  ) {
    Shapes.writeCache(heads, k: k, v: v, slots: slots, positions: positions)
    device.launch(
      "flash_write", grid: k.rows,
      nrc_flash_write_arguments(
        k: bf16(k), v: bf16(v), cache: address(cache.storage), slots: address(slots), positions: address(positions), ldk: Int64(k.stride),
        ldv: Int64(v.stride), capacity: Int64(cache.capacity), groups: Int32(heads.keyValueHeads), channels: Int32(heads.channels)))
  }

  override package func attention(
    _ state: DecodeState, _ heads: HeadShape, prompts: CacheLayer, cache: CacheLayer, q: Tensor, into output: Tensor, in arena: Arena
  ) throws(Failure) {
    Shapes.attention(state, heads, q: q, into: output)
    let blocks = q.rows * heads.keyValueHeads
    let together = blocks < 256 ? 1 : blocks < 512 ? 2 : blocks < 1024 ? 4 : 8
    let (name, shared) = Self.kernel(heads, "flash_decode_64", "flash_decode_128", each: 640, more: 9376)
    device.launch(
      name, grid: Self.blocks(q.rows, of: together), y: heads.keyValueHeads, shared: shared,
      nrc_flash_decode_arguments(
        q: bf16(q), prompts: address(prompts.storage), cache: address(cache.storage), prompt_slots: address(state.promptSlots),
        prompt_lengths: address(state.promptLengths), slots: address(state.slots), lengths: address(state.lengths), out: bf16(output),
        ldq: Int64(q.stride), ldo: Int64(output.stride), prompt_capacity: Int64(prompts.capacity), capacity: Int64(cache.capacity),
        T: Int32(q.rows), heads: Int32(heads.queryHeads), groups: Int32(heads.keyValueHeads), channels: Int32(heads.channels),
        scale: heads.scale, unused: 0))
  }

  // MARK: The head

  private static let vocabularyTile = Int(NRC_VOCABULARY_TILE)
  private static let vocabularyTiles = [
    Tile(name: "vocabulary_16", rows: 16, columns: vocabularyTile, shared: 55296), Tile(name: "vocabulary_32", rows: 32, columns: vocabularyTile, shared: 61440),
    Tile(name: "vocabulary_64", rows: 64, columns: vocabularyTile, shared: 73728), Tile(name: "vocabulary_128", rows: 128, columns: vocabularyTile, shared: 98304),
  ]

  /// Rows of logits' sums that are kept at once.
  private static let rowsOfSums = 1024

  private func sums(_ rows: Int, _ matrix: PackedMatrix, in arena: Arena) throws(Failure) -> Tensor {
    try arena.tensor(rows, 4 * Self.blocks(matrix.outputs, of: Self.vocabularyTile))
  }

  private func vocabulary(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor?, inverseTemperature: Float, logits: Tensor?, sums: Tensor, targetLogit: Tensor?
  ) {
    precondition(matrix.format == .bfloat16, "the head is bfloat16")
    let tile = Self.lowest(of: Self.vocabularyTiles, rows: hidden.rows)
    device.launch(
      tile.name, grid: Self.blocks(hidden.rows, of: tile.rows), y: Self.blocks(matrix.outputs, of: tile.columns), shared: tile.shared,
      nrc_vocabulary_arguments(
        hidden: bf16(hidden), w: address(matrix.storage), targets: targets.map { address($0) } ?? 0, logits: address(logits), sums: address(sums),
        target_logit: address(targetLogit), ldh: Int64(hidden.stride), ldl: Int64(logits?.stride ?? 0), n: Int32(hidden.rows),
        V: Int32(matrix.outputs), D: Int32(matrix.inputs), inverse_temperature: inverseTemperature))
  }

  override package func head(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor, inverseTemperature: Float, into output: HeadOutput, in arena: Arena)
    throws(Failure)
  {
    for start in stride(from: 0, to: hidden.rows, by: Self.rowsOfSums) {
      let range = start..<min(start + Self.rowsOfSums, hidden.rows)
      try arena.scope { () throws(Failure) in
        let sums = try sums(range.count, matrix, in: arena)
        let targetLogit = try arena.tensor(range.count, 1)
        vocabulary(
          hidden.rows(range), matrix, targets: targets.range(range), inverseTemperature: inverseTemperature, logits: nil, sums: sums,
          targetLogit: targetLogit)
        let tiles = sums.columns / 4
        device.launch(
          "vocabulary_join", grid: range.count, shared: 128 + 8 * Self.blocks(tiles, of: 32),
          nrc_vocabulary_join_arguments(
            sums: address(sums), target_logit: address(targetLogit), log_prob: address(output.logProb.rows(range)),
            entropy: address(output.entropy.rows(range)), log_z: address(output.logSum.rows(range)), n: Int32(range.count), tiles: Int32(tiles),
            inverse_temperature: inverseTemperature, unused: 0))
      }
    }
  }

  override package func headBackward(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor, inverseTemperature: Float, _ output: HeadOutput, dLogProb: Tensor,
    dEntropy: Tensor?, into dHidden: Tensor, weightGradient: Tensor?, in arena: Arena
  ) throws(Failure) {
    // Derivatives of logits in whole tiles of rows: as many as fill the device, where there is memory for them.
    let columns = Self.blocks(matrix.outputs, of: 8) * 8
    let rows = min(1408, max(128, availableBytes / 64 / (2 * columns) / 128 * 128))
    for start in stride(from: 0, to: hidden.rows, by: rows) {
      let range = start..<min(start + rows, hidden.rows)
      try arena.scope { () throws(Failure) in
        let whole = try arena.tensor(range.count, columns, .bfloat16)
        let dLogits = Tensor(
          storage: whole.storage, element: .bfloat16, offset: whole.offset, rows: range.count, columns: matrix.outputs, stride: columns)
        device.launch(
          "vocabulary_backward", grid: Self.blocks(range.count, of: 128), y: Self.blocks(matrix.outputs, of: Self.vocabularyTile), shared: 98304,
          nrc_vocabulary_backward_arguments(
            hidden: bf16(hidden.rows(range)), w: address(matrix.storage), targets: address(targets.range(range)),
            log_z: address(output.logSum.rows(range)), entropy: address(output.entropy.rows(range)), d_log_prob: address(dLogProb.rows(range)),
            d_entropy: address(dEntropy?.rows(range)), d_logits: bf16(dLogits), ldh: Int64(hidden.stride), ldd: Int64(columns), n: Int32(range.count),
            V: Int32(matrix.outputs), D: Int32(matrix.inputs), inverse_temperature: inverseTemperature))
        try inputGradient([GradientTerm(dy: dLogits, matrix: matrix)], scale: 1, into: dHidden.rows(range), accumulate: false, in: arena)
        if let weightGradient { try weightGradients([(dLogits, hidden.rows(range), weightGradient)], in: arena) }
      }
    }
  }

  override package func drawStep(
    _ hidden: Tensor, _ matrix: PackedMatrix, _ settings: SamplingSettings, _ state: DecodeState, in arena: Arena
  ) throws(Failure) {
    precondition(state.rows == hidden.rows)
    try arena.scope { () throws(Failure) in
      let logits = try arena.tensor(hidden.rows, matrix.outputs)
      let sums = try sums(hidden.rows, matrix, in: arena)
      let inverse = settings.temperature > 0 ? SamplingSettings.inverse(of: Double(settings.temperature)) : 1
      vocabulary(hidden, matrix, targets: nil, inverseTemperature: inverse, logits: logits, sums: sums, targetLogit: nil)
      let isTruncated = Self.isTruncated(settings, logits.columns)
      let scratch = try arena.indices(count: isTruncated ? 2 * logits.rows * logits.columns : 0)
      let (lines, first) = (state.drawn, 4 * UInt64(state.drawn.first))
      device.launch(
        isTruncated ? "draw_truncated" : "draw", grid: logits.rows,
        shared: isTruncated ? 82000 : 2304 + 8 * Self.blocks(sums.columns / 4, of: 32),
        nrc_draw_arguments(
          logits: address(logits), sums: address(sums), streams: address(state.streams), stop_tokens: address(state.stopTokens),
          scratch: address(scratch), tokens: address(state.tokens), drawn: address(lines.tokens) + first, log_prob: address(lines.logProbs) + first,
          entropy: address(lines.entropies) + first, positions: address(state.positions), own_positions: address(state.ownPositions),
          lengths: address(state.lengths), remaining: address(state.remaining), outcomes: address(state.outcomes), V: Int64(logits.columns),
          ld: Int64(logits.stride), temperature: settings.temperature, top_p: settings.topP, top_k: Int32(clamping: settings.topK),
          stop_count: Int32(state.stopTokens.count), window: Int32(lines.window), width: Int32(lines.width)))
    }
  }
}
