import Support
import Synchronization

/// A backend that computes nothing and takes no memory, but counts what another would take: the same program run on it says what a
/// run will need before there is one. Results that are asked for are zeros.
package final class CountingBackend: ComposedBackend, BFloat16Products, @unchecked Sendable {
  private let use: Mutex<MemoryUse>
  private let sizes: Sizes
  package let name: String
  package let isRowExact: Bool
  package let availableBytes: Int

  /// The sizes in which a backend keeps what it has a form of its own for.
  struct Sizes: Sendable {
    let activation: ElementType
    let keepsHeadMean: Bool
    /// Bytes to a multiple of which memory is taken.
    let alignment: Int
    let packed: @Sendable (_ outputs: Int, _ inputs: Int, WeightFormat) -> Int
    let cache: @Sendable (HeadShape, _ slots: Int, _ capacity: Int) -> (capacity: Int, bytes: Int)
    /// Words of a plan's lists, and of what attention and its backward take besides while they run.
    let plan: @Sendable ([Segment], HeadShape, _ rows: Int) -> Int
    /// Words that drawing tokens takes.
    let sampling: @Sendable (_ rows: Int, _ columns: Int, SamplingSettings) -> Int
  }

  init(like backend: any Backend, _ sizes: Sizes) {
    use = Mutex(MemoryUse())
    name = "a plan for \(backend.name)"
    isRowExact = backend.isRowExact
    availableBytes = backend.availableBytes
    self.sizes = sizes
  }

  private init(like other: CountingBackend) {
    use = Mutex(MemoryUse())
    (name, isRowExact, availableBytes, sizes) = (other.name, other.isRowExact, other.availableBytes, other.sizes)
  }

  override package var activation: ElementType { sizes.activation }
  private var isBFloat16: Bool { activation == .bfloat16 }
  override package var keepsHeadMean: Bool { sizes.keepsHeadMean }
  package var memory: MemoryUse { use.withLock { $0 } }
  package func counter() -> any Backend { CountingBackend(like: self) }

  package func allocate(byteCount: Int) -> Storage {
    let size = (max(byteCount, 1) + sizes.alignment - 1) / sizes.alignment * sizes.alignment
    use.withLock { $0.take(size) }
    return Storage(address: 0, byteCount: size) { [self] _, size in use.withLock { $0.bytes -= size } }
  }

  package func upload(_ values: [Float], to tensor: Tensor) {}
  package func upload(_ indices: [Int32], to tensor: IndexTensor) {}
  package func download(_ tensor: Tensor) -> Pending<[Float]> { Pending(Array(repeating: 0, count: tensor.count)) }
  package func zero(_ tensor: Tensor) {}
  package func copy(_ source: Tensor, to destination: Tensor) {}

  package func packDense(
    _ bytes: UnsafeRawBufferPointer, format: WeightFormat, outputs: Int, inputs: Int, as target: WeightFormat
  ) -> PackedMatrix {
    packed(outputs: outputs, inputs: inputs, as: target)
  }

  package func quantize(_ bytes: UnsafeRawBufferPointer, format: WeightFormat, outputs: Int, inputs: Int, isNested: Bool) -> NF4Blocks {
    let blocks = NF4Blocks.blockCount(outputs * inputs)
    let magnitudes = [Float](repeating: 0, count: blocks)
    return NF4Blocks(
      outputs: outputs, inputs: inputs, codes: Array(repeating: 0, count: NF4Blocks.codeCount(outputs * inputs)),
      magnitudes: isNested ? .nested(NF4Blocks.NestedMagnitudes(magnitudes)) : .float32(magnitudes))
  }

  package func pack(_ blocks: NF4Blocks, roundsToBFloat16: Bool) -> PackedMatrix {
    packed(outputs: blocks.outputs, inputs: blocks.inputs, as: blocks.format(roundsToBFloat16: roundsToBFloat16))
  }

  package func packed(outputs: Int, inputs: Int, as format: WeightFormat) -> PackedMatrix {
    let kept = isBFloat16 ? format.inBFloat16 : format
    return PackedMatrix(storage: allocate(byteCount: sizes.packed(outputs, inputs, kept)), outputs: outputs, inputs: inputs, format: kept)
  }

  package func repack(_ list: PackingList) {}
  package func gather(_ ids: IndexTensor, from matrix: PackedMatrix, into output: Tensor) {}
  package func gatherBackward(_ ids: IndexTensor, dOutput: Tensor, gradient: Tensor) {}
  package func linear(_ x: Tensor, _ weight: PackedMatrix, bias: Tensor?, into y: Tensor, accumulate: Bool) {}
  package func linearBackward(_ dy: Tensor, _ weight: PackedMatrix, into dx: Tensor, accumulate: Bool) {}
  package func linearBackward(_ dy: Tensor, x: Tensor, weightGradient: Tensor) {}
  package func linearBackward(_ dy: Tensor, biasGradient: Tensor) {}
  package func multiply(_ x: Tensor, _ layers: [ProductLayer], in arena: Arena) {}
  package func inputGradient(_ layers: [GradientTerm], scale: Float, into dx: Tensor, accumulate: Bool, in arena: Arena) {}
  package func weightGradients(_ list: [WeightTerm], in arena: Arena) {}
  package func biasGradient(_ dy: Tensor, _ gradient: Tensor, in arena: Arena) throws(Failure) {
    try arena.scope { () throws(Failure) in _ = try arena.tensor(dy.rows, dy.columns) }
  }
  package func scale(_ x: Tensor, by factor: Float) {}
  package func add(_ y: Tensor, to x: Tensor) {}
  package func take(_ rows: IndexTensor, of x: Tensor, into output: Tensor) {}
  package func add(_ y: Tensor, toRows rows: IndexTensor, of x: Tensor) {}
  package func rmsNorm(_ x: Tensor, _ norm: NormWeights, into y: Tensor, rstd: Tensor) {}
  package func rmsNormBackward(
    _ dy: Tensor, x: Tensor, _ norm: NormWeights, rstd: Tensor, into dx: Tensor, accumulate: Bool, weightGradient: Tensor?
  ) {}
  package func rotate(_ x: Tensor, channels: Int, positions: IndexTensor, cos: Tensor, sin: Tensor, inverse: Bool) {}
  package func swiGLU(gate: Tensor, up: Tensor, into output: Tensor) {}
  package func swiGLUBackward(_ dOutput: Tensor, gate: Tensor, up: Tensor, dGate: Tensor, dUp: Tensor) {}

  package func plan(_ segments: [Segment], _ heads: HeadShape, rows: Int, in arena: Arena) throws(Failure) -> AttentionPlan {
    AttentionPlan(
      segments: segments.count, rows: rows, heads: heads, list: try arena.indices(count: sizes.plan(segments, heads, rows)))
  }

  package func attention(_ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, into output: Tensor, logSum: Tensor) {}
  package func attentionBackward(
    _ plan: AttentionPlan, q: Tensor, k: Tensor, v: Tensor, output: Tensor, logSum: Tensor, dOutput: Tensor, dq: Tensor, dk: Tensor,
    dv: Tensor
  ) {}

  package func makeCache(_ heads: HeadShape, slots: Int, capacity: Int) -> CacheLayer {
    let shape = sizes.cache(heads, slots, capacity)
    return CacheLayer(storage: allocate(byteCount: shape.bytes), slots: slots, capacity: shape.capacity)
  }

  package func writeCache(
    _ cache: CacheLayer, _ heads: HeadShape, k: Tensor, v: Tensor, slots: IndexTensor, positions: IndexTensor
  ) {}
  package func attention(
    _ state: DecodeState, _ heads: HeadShape, prompts: CacheLayer, cache: CacheLayer, q: Tensor, into output: Tensor, in arena: Arena
  ) {}
  package func logSoftmax(
    _ logits: Tensor, inverseTemperature: Float, targets: IndexTensor, logProb: Tensor, entropy: Tensor, logSum: Tensor
  ) {}
  package func logSoftmaxBackward(
    _ logits: Tensor, inverseTemperature: Float, targets: IndexTensor, logSum: Tensor, entropy: Tensor, dLogProb: Tensor,
    dEntropy: Tensor?
  ) {}

  package func sampleStep(_ logits: Tensor, _ settings: SamplingSettings, _ state: DecodeState, in arena: Arena) throws(Failure) {
    try arena.scope { () throws(Failure) in _ = try arena.indices(count: sizes.sampling(logits.rows, logits.columns, settings)) }
  }

  package func drawn(_ state: DecodeState) -> Pending<DrawnTokens> {
    let lines = state.drawn
    let zeros = [Float](repeating: 0, count: lines.tokens.count)
    return Pending(
      DrawnTokens(
        lengths: Array(repeating: 1, count: state.rows), outcomes: Array(repeating: 0, count: state.rows),
        tokens: Array(repeating: 0, count: lines.tokens.count), logProbs: zeros, entropies: zeros, of: lines))
  }

  package func adamW(
    _ settings: AdamWSettings, step: Int, parameter: Tensor, gradient: Tensor, m: Tensor, v: Tensor, gradientFactor: Float
  ) {}
  package func sumOfSquares(_ x: Tensor, _ parts: FlatParts) -> Pending<Double> { Pending(0) }

  // MARK: Coarse operations

  /// In bfloat16 logits exist within the operation only.
  override package func head(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor, inverseTemperature: Float, into output: HeadOutput, in arena: Arena)
    throws(Failure)
  {
    if !isBFloat16 { try super.head(hidden, matrix, targets: targets, inverseTemperature: inverseTemperature, into: output, in: arena) }
  }

  override package func headBackward(
    _ hidden: Tensor, _ matrix: PackedMatrix, targets: IndexTensor, inverseTemperature: Float, _ output: HeadOutput, dLogProb: Tensor,
    dEntropy: Tensor?, into dHidden: Tensor, weightGradient: Tensor?, in arena: Arena
  ) throws(Failure) {
    if isBFloat16 { return }
    try super.headBackward(
      hidden, matrix, targets: targets, inverseTemperature: inverseTemperature, output, dLogProb: dLogProb, dEntropy: dEntropy, into: dHidden,
      weightGradient: weightGradient, in: arena)
  }
}
