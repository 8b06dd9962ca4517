import Compute
import Support

/// The vocabulary projection, log-softmax and entropy with their backward, on wanted rows only and in chunks: the logits of
/// a whole batch never exist.
package struct LossHead {
  private let model: Transformer
  private let backend: any Backend
  /// Rows of logits held at a time.
  private let chunk: Int

  /// Log-probabilities and entropies (nats) of a batch's targets, with what the backward needs.
  package struct Pass {
    package let logProbs: [Float]
    package let entropies: [Float]
    fileprivate let inverseTemperature: Float
    fileprivate let logSum: Tensor
    fileprivate let entropy: Tensor
    /// `[n, D]`: the hidden state each target was predicted from.
    fileprivate let hidden: Tensor
    fileprivate let rows: IndexTensor
    fileprivate let targets: [Int32]
  }

  package init(_ model: Transformer) {
    self.model = model
    backend = model.backend
    chunk = max(16, min(4096, (32 << 20) / model.configuration.vocabularySize))
  }

  /// `logProb[i] = log softmax(W h[rows[i]] / temperature)[targets[i]]`
  package func forward(_ hidden: Tensor, _ targets: TokenTargets, temperature: Double) throws(Failure) -> Pass {
    let count = targets.count
    let inverse = SamplingSettings.inverse(of: temperature)
    let rows = try backend.upload(targets.rows)
    let wanted = try backend.tensor(count, hidden.columns)
    backend.take(rows, of: hidden, into: wanted)
    let logProb = try backend.tensor(count, 1)
    let entropy = try backend.tensor(count, 1)
    let logSum = try backend.tensor(count, 1)
    for range in chunks(count) {
      let logits = try model.logits(wanted.rows(range))
      backend.logSoftmax(
        logits, inverseTemperature: inverse, targets: try backend.upload(Array(targets.targets[range])),
        logProb: logProb.rows(range), entropy: entropy.rows(range), logSum: logSum.rows(range))
    }
    return Pass(
      logProbs: try backend.download(logProb), entropies: try backend.download(entropy), inverseTemperature: inverse,
      logSum: logSum, entropy: entropy, hidden: wanted, rows: rows, targets: targets.targets)
  }

  /// Derivatives of the loss by log-probability and entropy → the gradient of the hidden state `[T, D]`, added to
  /// `dHidden`, and of the head where it is trained.
  package func backward(_ pass: Pass, dLogProb: [Float], dEntropy: [Float]?, into dHidden: Tensor) throws(Failure) {
    let count = pass.targets.count
    let dLogProbs = try backend.tensor(dLogProb, rows: count, columns: 1)
    var dEntropies: Tensor?
    if let dEntropy { dEntropies = try backend.tensor(dEntropy, rows: count, columns: 1) }
    let dWanted = try backend.tensor(count, dHidden.columns)
    for range in chunks(count) {
      let logits = try model.logits(pass.hidden.rows(range))
      backend.logSoftmaxBackward(
        logits, inverseTemperature: pass.inverseTemperature,
        targets: try backend.upload(Array(pass.targets[range])), logSum: pass.logSum.rows(range),
        entropy: pass.entropy.rows(range), dLogProb: dLogProbs.rows(range), dEntropy: dEntropies?.rows(range))
      backend.linearBackward(logits, model.head, into: dWanted.rows(range), accumulate: false)
      if let gradient = model.headGradient {
        backend.linearBackward(logits, x: pass.hidden.rows(range), weightGradient: gradient)
      }
    }
    backend.add(dWanted, toRows: pass.rows, of: dHidden)
  }

  private func chunks(_ count: Int) -> [Range<Int>] {
    stride(from: 0, to: count, by: chunk).map { $0..<min($0 + chunk, count) }
  }
}
