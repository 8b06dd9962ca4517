import Compute
import Support

/// The vocabulary projection, log-softmax and entropy with their backward, on wanted rows only: the logits of a whole batch never exist.
package struct LossHead {
  private let model: Transformer
  private let backend: any Backend

  /// Log-probabilities and entropies (nats) of a batch's targets, with what the backward needs.
  package struct Pass {
    package let logProbs: Pending<[Float]>
    package let entropies: Pending<[Float]>
    package let count: Int
    fileprivate let output: HeadOutput
    fileprivate let inverseTemperature: Float
    /// `[n, D]`: the hidden state each target was predicted from.
    fileprivate let hidden: Tensor
    fileprivate let rows: IndexTensor
    fileprivate let targets: IndexTensor
  }

  package init(_ model: Transformer) {
    self.model = model
    backend = model.backend
  }

  /// `logProb[i] = log softmax(W h[rows[i]] / temperature)[targets[i]]`
  ///
  /// - Parameter retaining: whether ``backward(_:dLogProb:dEntropy:into:_:in:)`` follows.
  package func forward(_ hidden: Tensor, _ targets: TokenTargets, temperature: Double, retaining: Bool = false, in arena: Arena)
    throws(Failure) -> Pass
  {
    let inverse = SamplingSettings.inverse(of: temperature)
    let rows = try arena.indices(targets.rows)
    let wantedTargets = try arena.indices(targets.targets)
    let wanted = try arena.tensor(targets.count, hidden.columns, hidden.element)
    backend.take(rows, of: hidden, into: wanted)
    let output = try HeadOutput(rows: targets.count, meanColumns: retaining && backend.keepsHeadMean ? hidden.columns : nil, in: arena)
    try backend.head(wanted, model.weights.head, targets: wantedTargets, inverseTemperature: inverse, into: output, in: arena)
    return Pass(
      logProbs: try backend.download(output.logProb), entropies: try backend.download(output.entropy), count: targets.count,
      output: output, inverseTemperature: inverse, hidden: wanted, rows: rows, targets: wantedTargets)
  }

  /// Derivatives of the loss by log-probability and entropy → the gradient of the hidden state `[T, D]`, added to
  /// `dHidden`, and of the head where it is trained.
  package func backward(
    _ pass: Pass, dLogProb: [Float], dEntropy: [Float]?, into dHidden: Tensor, _ gradients: Gradients, in arena: Arena
  ) throws(Failure) {
    try arena.scope { () throws(Failure) in
      let dLogProbs = try arena.tensor(dLogProb, rows: pass.count, columns: 1)
      var dEntropies: Tensor?
      if let dEntropy { dEntropies = try arena.tensor(dEntropy, rows: pass.count, columns: 1) }
      let dWanted = try arena.tensor(pass.count, dHidden.columns)
      try backend.headBackward(
        pass.hidden, model.weights.head, targets: pass.targets, inverseTemperature: pass.inverseTemperature, pass.output,
        dLogProb: dLogProbs, dEntropy: dEntropies, into: dWanted, weightGradient: gradients.head, in: arena)
      backend.add(dWanted, toRows: pass.rows, of: dHidden)
    }
  }
}
