import Support

/// The operations a model is made of: coarse, forward and backward side by side, each over a whole packed batch.
///
/// Letters: T rows (tokens), K inputs, N outputs, H·C query channels, G·C key-value channels, V vocabulary.
/// An output row is the same bits whatever else is in the batch. Nothing here throws but allocation and reading back:
/// a device that fails says so there.
package protocol Backend: AnyObject, Sendable {
  /// What runs the operations, for `doctor` and `run.json`.
  var name: String { get }
  /// A row is the same bits in decoding and in a whole batch, so the sampler's log-probabilities are the trainer's.
  var isRowExact: Bool { get }
  /// The most memory held at one time, in bytes.
  var peakBytes: Int { get }

  // MARK: Memory

  func allocate(byteCount: Int) throws(Failure) -> Storage
  func upload(_ values: [Float], to tensor: Tensor)
  func download(_ tensor: Tensor) throws(Failure) -> [Float]
  func upload(_ indices: [Int32]) throws(Failure) -> IndexTensor
  func zero(_ tensor: Tensor)
  func copy(_ source: Tensor, to destination: Tensor)

  // MARK: Weights

  /// A weight in the backend's form, from the bytes of a row-major `[N, K]` matrix of `kind`.
  func pack(_ bytes: UnsafeRawBufferPointer, kind: WeightKind, outputs: Int, inputs: Int, as target: WeightKind)
    throws(Failure) -> PackedMatrix
  /// Packs float32 rows `[N, K]` again into a weight that exists, after an optimiser step.
  func repack(_ source: Tensor, into matrix: PackedMatrix)
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
  /// `y = x · rstd · w`, `rstd[T] = 1/√(mean x² + ε)`
  func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, into y: Tensor, rstd: Tensor)
  /// `dx (+)= …`, `dw += …`
  func rmsNormBackward(
    _ dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, into dx: Tensor, accumulate: Bool, weightGradient: Tensor?)
  /// Rotary embedding in place over heads of `channels`; `inverse` rotates back. `cos`, `sin` `[positions, C/2]`.
  func rotate(_ x: Tensor, channels: Int, positions: IndexTensor, cos: Tensor, sin: Tensor, inverse: Bool)
  /// `output = silu(gate) · up`
  func swiGLU(gate: Tensor, up: Tensor, into output: Tensor)
  func swiGLUBackward(_ dOutput: Tensor, gate: Tensor, up: Tensor, dGate: Tensor, dUp: Tensor)

  // MARK: Attention

  /// q, output `[T, H·C]`; k, v `[T, G·C]`; logSum `[T, H]`.
  func attention(
    _ segments: [Segment], _ heads: HeadShape, q: Tensor, k: Tensor, v: Tensor, into output: Tensor, logSum: Tensor)
  func attentionBackward(
    _ segments: [Segment], _ heads: HeadShape, q: Tensor, k: Tensor, v: Tensor, output: Tensor, logSum: Tensor,
    dOutput: Tensor, dq: Tensor, dk: Tensor, dv: Tensor)
  func makeCache(_ heads: HeadShape, slots: Int, capacity: Int) throws(Failure) -> CacheLayer
  /// Row t of k and v goes to position `positions[t]` of slot `slots[t]`.
  func writeCache(
    _ cache: CacheLayer, _ heads: HeadShape, k: Tensor, v: Tensor, slots: IndexTensor, positions: IndexTensor)
  /// Copies the first `length` positions of one slot to another.
  func copyCache(
    _ heads: HeadShape, from source: CacheLayer, slot: Int, to destination: CacheLayer, slot: Int, length: Int)
  /// One query row per sequence against the first `lengths[t]` positions of slot `slots[t]`.
  func attention(
    cached cache: CacheLayer, _ heads: HeadShape, q: Tensor, slots: IndexTensor, lengths: IndexTensor,
    into output: Tensor)

  // MARK: Loss head and sampler, on rows of logits [n, V]

  /// `logProb[n]` of `targets`, `entropy[n]` and `logSum[n]`, all at the inverse temperature given.
  func logSoftmax(
    _ logits: Tensor, inverseTemperature: Float, targets: IndexTensor, logProb: Tensor, entropy: Tensor, logSum: Tensor)
  /// Logits become their own derivative.
  func logSoftmaxBackward(
    _ logits: Tensor, inverseTemperature: Float, targets: IndexTensor, logSum: Tensor, entropy: Tensor,
    dLogProb: Tensor, dEntropy: Tensor?)
  /// One token a row, with its log-probability and the entropy of the distribution it was drawn from. −1 where a row is
  /// not a number.
  func sample(_ logits: Tensor, _ settings: SamplingSettings, uniforms: [Double]) throws(Failure) -> SampledTokens

  // MARK: Optimiser

  func adamW(
    _ settings: AdamWSettings, step: Int, parameter: Tensor, gradient: Tensor, m: Tensor, v: Tensor,
    gradientFactor: Float)
  /// The sum of squares; not finite where an element is not.
  func sumOfSquares(_ x: Tensor) throws(Failure) -> Double
}

package struct SampledTokens: Sendable, Equatable {
  package var tokens: [Int32]
  package var logProbs: [Float]
  package var entropies: [Float]
}

extension Backend {
  package func tensor(_ rows: Int, _ columns: Int) throws(Failure) -> Tensor {
    Tensor(storage: try allocate(byteCount: rows * columns * 4), rows: rows, columns: columns)
  }

  package func zeros(_ rows: Int, _ columns: Int) throws(Failure) -> Tensor {
    let tensor = try tensor(rows, columns)
    zero(tensor)
    return tensor
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

  /// A weight from float32 values, row-major `[outputs, inputs]`.
  package func pack(_ values: [Float], outputs: Int, inputs: Int, as kind: WeightKind = .float32)
    throws(Failure) -> PackedMatrix
  {
    let outcome: Result<PackedMatrix, Failure> = unsafe values.withUnsafeBytes { bytes in
      do throws(Failure) {
        return .success(unsafe try pack(bytes, kind: .float32, outputs: outputs, inputs: inputs, as: kind))
      } catch { return .failure(error) }
    }
    return try outcome.get()
  }
}
