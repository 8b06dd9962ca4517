import Support

/// The operations a model is made of: coarse, forward and backward side by side, each over a whole packed batch.
///
/// Letters: T rows (tokens), K inputs, N outputs, H·C query channels, G·C key-value channels, V vocabulary, R rank.
/// An output row is the same bits whatever else is in the batch. Nothing here throws but taking memory and reading back:
/// a device that fails says so there. Operations are queued in the order of the calls; only what is `Pending` is waited for.
///
/// The small operations have to be there; the coarse ones below them are made of those and may be done better by a backend.
package protocol Backend: AnyObject, Sendable {
  /// What runs the operations, for `doctor` and `run.json`.
  var name: String { get }
  /// A row is the same bits in decoding and in a whole batch, so the sampler's log-probabilities are the trainer's.
  var isRowExact: Bool { get }

  /// The elements of what lies between operations and is read by products: normed inputs, queries, keys, values, gates, and their
  /// gradients. Residual streams, statistics, logits, weight gradients and the optimiser are float32 in any case.
  var activation: ElementType { get }

  /// Whether the loss head makes ``HeadOutput/mean`` on its way, where a backward follows.
  var keepsHeadMean: Bool { get }

  /// Whether its memory is the host's, which the program takes of as well.
  var isHost: Bool { get }

  // MARK: Memory

  /// Memory until the last view of it goes; cleared. What a step needs comes from an ``Arena``.
  func allocate(byteCount: Int) throws(Failure) -> Storage
  var memory: MemoryUse { get }
  /// Bytes that the machine has for this backend, or that it may take of them.
  var availableBytes: Int { get }
  /// A backend that computes nothing and takes memory as this one does: what a plan runs on.
  func counter() -> any Backend
  func upload(_ values: [Float], to tensor: Tensor)
  func upload(_ indices: [Int32], to tensor: IndexTensor)
  func download(_ tensor: Tensor) throws(Failure) -> Pending<[Float]>
  /// The digests of parts of a flat tensor, those of its pieces of ``Digest/pieceBytes``, part after part.
  func digests(of x: Tensor, _ parts: [Range<Int>]) throws(Failure) -> [[Digest]]
  func zero(_ tensor: Tensor)
  func copy(_ source: Tensor, to destination: Tensor)

  // MARK: Weights

  /// A dense weight in the backend's form, from the bytes of a row-major `[N, K]` matrix of `format`.
  func packDense(_ bytes: UnsafeRawBufferPointer, format: WeightFormat, outputs: Int, inputs: Int, as target: WeightFormat)
    throws(Failure) -> PackedMatrix
  /// The blocks of four bits that the bytes of a row-major `[N, K]` matrix of `format` become, as a file has them.
  func quantize(_ bytes: UnsafeRawBufferPointer, format: WeightFormat, outputs: Int, inputs: Int, isNested: Bool) -> NF4Blocks
  /// A weight in the backend's form, from such blocks.
  func pack(_ blocks: NF4Blocks, roundsToBFloat16: Bool) throws(Failure) -> PackedMatrix
  /// A weight of that shape whose values come later.
  func packed(outputs: Int, inputs: Int, as format: WeightFormat) throws(Failure) -> PackedMatrix
  /// Packs float32 matrices again, all in one operation, after an optimiser step.
  func repack(_ list: PackingList)
  func packing(_ items: [Repacking]) throws(Failure) -> PackingList
  /// `[T, K]`: rows `ids` of a weight.
  func gather(_ ids: IndexTensor, from matrix: PackedMatrix, into output: Tensor)
  /// `gradient[ids[t]] += dOutput[t]`
  func gatherBackward(_ ids: IndexTensor, dOutput: Tensor, gradient: Tensor)

  // MARK: Matrix products

  /// `y[T, N] (+)= x[T, K] · Wᵀ (+ bias[N])`
  func linear(_ x: Tensor, _ weight: PackedMatrix, bias: Tensor?, into y: Tensor, accumulate: Bool)
  /// `dx[T, K] (+)= dy[T, N] · W`
  func linearBackward(_ dy: Tensor, _ weight: PackedMatrix, into dx: Tensor, accumulate: Bool)
  /// `dW[N, K] += dyᵀ · x`
  func linearBackward(_ dy: Tensor, x: Tensor, weightGradient: Tensor)
  /// `db[N] += Σ_t dy[t]`
  func linearBackward(_ dy: Tensor, biasGradient: Tensor)

  // MARK: Rows

  func scale(_ x: Tensor, by factor: Float)
  /// `x += y`
  func add(_ y: Tensor, to x: Tensor)
  /// `output[i] = x[rows[i]]`
  func take(_ rows: IndexTensor, of x: Tensor, into output: Tensor)
  /// `x[rows[i]] += y[i]`, in order of i
  func add(_ y: Tensor, toRows rows: IndexTensor, of x: Tensor)
  /// `y = x · rstd · w`, `rstd[T] = 1/√(mean x² + ε)`; y may be x.
  func rmsNorm(_ x: Tensor, _ norm: NormWeights, into y: Tensor, rstd: Tensor)
  /// `dx (+)= …`, `dw += …`
  func rmsNormBackward(
    _ dy: Tensor, x: Tensor, _ norm: NormWeights, rstd: Tensor, into dx: Tensor, accumulate: Bool, weightGradient: Tensor?)
  /// Rotary embedding in place over heads of `channels`; `inverse` rotates back. `cos`, `sin` `[positions, C/2]`.
  func rotate(_ x: Tensor, channels: Int, positions: IndexTensor, cos: Tensor, sin: Tensor, inverse: Bool)
  /// `output = silu(gate) · up`
  func swiGLU(gate: Tensor, up: Tensor, into output: Tensor)
  func swiGLUBackward(_ dOutput: Tensor, gate: Tensor, up: Tensor, dGate: Tensor, dUp: Tensor)

  // MARK: Attention

  /// What the attention of all layers of a batch needs to know of its segments.
  func plan(_ segments: [Segment], _ heads: HeadShape, rows: Int, in arena: Arena) throws(Failure) -> AttentionPlan
  /// q, output `[T, H·C]`; k, v `[T, G·C]`; logSum `[T, H]`.
  func attention(_ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, into output: Tensor, logSum: Tensor)
  func attentionBackward(
    _ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, output: Tensor, logSum: Tensor, dOutput: Tensor, dq: Tensor, dk: Tensor,
    dv: Tensor)
  func makeCache(_ heads: HeadShape, slots: Int, capacity: Int) throws(Failure) -> CacheLayer
  /// Row t of k and v goes to position `positions[t]` of slot `slots[t]`.
  func writeCache(
    _ cache: CacheLayer, _ heads: HeadShape, k: Tensor, v: Tensor, slots: IndexTensor, positions: IndexTensor)
  /// One query row per sequence against its prompt in `prompts` and what it has drawn in `cache`.
  func attention(
    _ state: DecodeState, _ heads: HeadShape, prompts: CacheLayer, cache: CacheLayer, q: Tensor, into output: Tensor, in arena: Arena
  ) throws(Failure)

  // MARK: Loss head and sampler, on rows of logits [n, V]

  /// `logProb[n]` of `targets`, `entropy[n]` and `logSum[n]`, all at the inverse temperature given.
  func logSoftmax(
    _ logits: Tensor, inverseTemperature: Float, targets: IndexTensor, logProb: Tensor, entropy: Tensor, logSum: Tensor)
  /// Logits become their own derivative.
  func logSoftmaxBackward(
    _ logits: Tensor, inverseTemperature: Float, targets: IndexTensor, logSum: Tensor, entropy: Tensor,
    dLogProb: Tensor, dEntropy: Tensor?)
  /// Draws a token for each row of a state, with its log-probability and the entropy of the distribution it was drawn from, and
  /// moves the state on by it. Rows whose sequence has ended are left as they are.
  func sampleStep(_ logits: Tensor, _ settings: SamplingSettings, _ state: DecodeState, in arena: Arena) throws(Failure)
  /// What became of the rows of a state, and what they drew in its newest steps.
  func drawn(_ state: DecodeState) throws(Failure) -> Pending<DrawnTokens>

  // MARK: Optimiser, on flat tensors

  func adamW(
    _ settings: AdamWSettings, step: Int, parameter: Tensor, gradient: Tensor, m: Tensor, v: Tensor,
    gradientFactor: Float)
  /// The sum of squares of the parts of a flat tensor, part after part; not finite where an element is not.
  func sumOfSquares(_ x: Tensor, _ parts: FlatParts) throws(Failure) -> Pending<Double>
  /// Parts of a flat tensor, one after another, for sums over them.
  func parts(_ ranges: [Range<Int>]) throws(Failure) -> FlatParts

  // MARK: Recording

  /// Queues the operations of `body` now and whenever the recording is replayed. The body takes its memory from `arena`, reads nothing of
  /// the host and asks for no result.
  func record(in arena: Arena, _ body: @escaping () throws(Failure) -> Void) throws(Failure) -> Recording
  func replay(_ recording: Recording) throws(Failure)
  /// Steps of decoding that are best queued before the host looks at what they drew.
  var stepsTogether: Int { get }
  /// The rows that a recording for so many sequences is made for: a backend that records graphs rounds up.
  func decodeRows(for sequences: Int) -> Int

  // MARK: Coarse operations

  /// A norm and the linear layers that read it: q·k·v, gate·up.
  func normedProjection(_ x: Tensor, _ norm: NormWeights, _ parts: [LinearWeights], in arena: Arena) throws(Failure) -> NormedProjection
  /// `d[i] [T, Nᵢ]` → gradients, and `dx += …` where there is a `dx`.
  func normedProjectionBackward(
    _ d: [Tensor], x: Tensor, _ kept: NormedProjection, _ norm: NormWeights, _ parts: [LinearWeights], _ gradients: [LinearGradients],
    normGradient: Tensor?, addingTo dx: Tensor?, in arena: Arena) throws(Failure)
  /// Rotary embedding of queries and keys in place; where there is a sink, keys and values go to a cache as well, row t to position
  /// `places[t]` of slot `slots[t]`.
  func rotate(
    q: Tensor, k: Tensor, v: Tensor, _ heads: HeadShape, positions: IndexTensor, cos: Tensor, sin: Tensor, inverse: Bool, sink: CacheSink?)
  /// `into = a · Wᵀ + … + x`; returns what the backward needs of a low-rank addition.
  func residualProjection(_ a: Tensor, _ linear: LinearWeights, addingTo x: Tensor, into y: Tensor, in arena: Arena)
    throws(Failure) -> Tensor?
  /// `dy [T, N]` → gradients and `da [T, K]`.
  func residualProjectionBackward(
    _ dy: Tensor, a: Tensor, projected: Tensor?, _ linear: LinearWeights, _ gradients: LinearGradients, into da: Tensor, in arena: Arena
  ) throws(Failure)
  /// `hidden [n, D]`, targets `[n]` → log-probabilities and entropies (nats); logits exist for some rows at a time.
  func head(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor, inverseTemperature: Float, into output: HeadOutput, in arena: Arena)
    throws(Failure)
  /// Derivatives by log-probability and entropy → `dHidden [n, D]` and the gradient of the head where it is trained.
  func headBackward(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor, inverseTemperature: Float, _ output: HeadOutput, dLogProb: Tensor,
    dEntropy: Tensor?, into dHidden: Tensor, weightGradient: Tensor?, in arena: Arena) throws(Failure)
  /// `hidden [B, D]` → a token for each row of a state, as ``sampleStep(_:_:_:in:)``; its log-probability is the head's.
  func drawStep(_ hidden: Tensor, _ matrix: PackedMatrix, _ settings: SamplingSettings, _ state: DecodeState, in arena: Arena) throws(Failure)
}

/// What a backend has taken of the machine's memory.
package struct MemoryUse: Sendable, Equatable {
  package var bytes = 0
  package var peakBytes = 0
  /// How often memory was taken.
  package var allocations = 0

  package init() {}

  mutating func take(_ byteCount: Int) {
    bytes += byteCount
    peakBytes = max(peakBytes, bytes)
    allocations += 1
  }
}

extension Backend {
  /// A matrix that stays, not of a step.
  package func tensor(_ rows: Int, _ columns: Int) throws(Failure) -> Tensor {
    Tensor(storage: try allocate(byteCount: max(1, rows * columns) * 4), rows: rows, columns: columns)
  }

  package func tensor(_ values: [Float], rows: Int, columns: Int) throws(Failure) -> Tensor {
    let tensor = try tensor(rows, columns)
    upload(values, to: tensor)
    return tensor
  }

  /// A row vector.
  package func vector(_ values: [Float]) throws(Failure) -> Tensor {
    try tensor(values, rows: 1, columns: values.count)
  }

  package func indices(_ values: [Int32]) throws(Failure) -> IndexTensor {
    let tensor = IndexTensor(storage: try allocate(byteCount: max(1, values.count) * 4), count: values.count)
    upload(values, to: tensor)
    return tensor
  }

  /// Blocks of four bits from float32 values, row-major `[outputs, inputs]`.
  package func quantize(_ values: [Float], outputs: Int, inputs: Int, isNested: Bool = true) -> NF4Blocks {
    unsafe values.withUnsafeBytes { unsafe quantize($0, format: .float32, outputs: outputs, inputs: inputs, isNested: isNested) }
  }

  /// A weight in the backend's form, from the bytes of a row-major `[N, K]` matrix of `format`.
  package func pack(_ bytes: UnsafeRawBufferPointer, format: WeightFormat, outputs: Int, inputs: Int, as target: WeightFormat)
    throws(Failure) -> PackedMatrix
  {
    unsafe Shapes.pack(bytes, format, outputs: outputs, inputs: inputs)
    guard case .nf4(let nf4) = target else {
      return try unsafe packDense(bytes, format: format, outputs: outputs, inputs: inputs, as: target)
    }
    return try pack(
      unsafe quantize(bytes, format: format, outputs: outputs, inputs: inputs, isNested: nf4.isNested), roundsToBFloat16: nf4.roundsToBFloat16)
  }

  /// A weight from float32 values, row-major `[outputs, inputs]`.
  package func pack(_ values: [Float], outputs: Int, inputs: Int, as format: WeightFormat = .float32)
    throws(Failure) -> PackedMatrix
  {
    let outcome: Result<PackedMatrix, Failure> = unsafe values.withUnsafeBytes { bytes in
      do throws(Failure) {
        return .success(unsafe try pack(bytes, format: .float32, outputs: outputs, inputs: inputs, as: format))
      } catch { return .failure(error) }
    }
    return try outcome.get()
  }

  package func record(in arena: Arena, _ body: @escaping () throws(Failure) -> Void) throws(Failure) -> Recording {
    let recording = Recording(in: arena, body)
    try body()
    return recording
  }

  package var stepsTogether: Int { 1 }

  package func replay(_ recording: Recording) throws(Failure) { try recording.body() }

  package var isHost: Bool { true }

  /// How products read what is trained.
  package var trainedFormat: WeightFormat { activation == .bfloat16 ? .bfloat16 : .float32 }

  /// A matrix of activations that stays.
  package func activations(_ rows: Int, _ columns: Int) throws(Failure) -> Tensor {
    Tensor(storage: try allocate(byteCount: max(1, rows * columns) * activation.byteCount), element: activation, rows: rows, columns: columns)
  }

  package func parts(_ ranges: [Range<Int>]) throws(Failure) -> FlatParts { FlatParts(ranges) }

  package func digests(of x: Tensor, _ parts: [Range<Int>]) throws(Failure) -> [[Digest]] {
    let values = try download(x).value()
    return unsafe values.withUnsafeBytes { unsafe Digest.pieces(of: $0, parts.map { $0.bytes }, threads: CPUBackend.availableCores) }
  }

  package func packing(_ items: [Repacking]) throws(Failure) -> PackingList { PackingList(items) }

  package func decodeRows(for sequences: Int) -> Int { sequences }
}

extension Range<Int> {
  /// Of float32 elements.
  var bytes: Range<Int> { (4 * lowerBound)..<(4 * upperBound) }
}
