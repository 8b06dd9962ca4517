import Compute
import PluginHost
import Support
import Transformer

/// Derivatives of a loss by what a policy says of each token.
package struct TokenDerivatives {
  let dLogProbs: [Float]
  /// nil where the loss does not depend on entropies.
  var dEntropies: [Float]?
  /// nil without a critic.
  var dValues: [Float]?

  package init(dLogProbs: [Float], dEntropies: [Float]? = nil, dValues: [Float]? = nil) {
    self.dLogProbs = dLogProbs
    self.dEntropies = dEntropies
    self.dValues = dValues
  }
}

/// Seconds that a micro-batch took, without its loss.
package struct PassSeconds {
  let forward: Double
  let backward: Double
}

// How a batch goes through a policy: what SFT and RL share of an update, and all that either knows of the model.
extension Policy {
  /// Forward, loss and backward of one micro-batch; gradients are added to those there are.
  ///
  /// - Parameter loss: what the policy says of the targets → the derivatives of the loss by it.
  @discardableResult
  package func accumulate(
    _ batch: TokenBatch, _ targets: TokenTargets, temperature: Double,
    loss: (PluginScores) throws(Failure) -> TokenDerivatives
  ) throws(Failure) -> PassSeconds {
    if keepsSnapshot, isStopRequested() { throw Failure(.interrupted, "interrupted within update \(updates + 1)") }
    return try arena.scope { () throws(Failure) in
      var watch = Stopwatch()
      let pass = try forward(batch)
      let scores = try head.forward(pass.hidden, targets, temperature: temperature, retaining: true, in: arena)
      let values = try valueHead?.forward(pass.hidden, rows: targets.rows, in: arena)
      let said = PluginScores(
        logProbs: try scores.logProbs.value(), entropies: try scores.entropies.value(), values: try values?.values.value())
      let forwardSeconds = watch.lap()
      let d = try loss(said)
      watch = Stopwatch()
      let dHidden = try arena.zeros(pass.hidden.rows, pass.hidden.columns)
      try head.backward(scores, dLogProb: d.dLogProbs, dEntropy: d.dEntropies, into: dHidden, gradients, in: arena)
      if let valueHead, let values, let dValues = d.dValues {
        try valueHead.backward(values, dValues: dValues, into: dHidden, in: arena)
      }
      try model.backward(pass, dHidden: dHidden, into: gradients, in: arena)
      return PassSeconds(forward: forwardSeconds, backward: watch.lap())
    }
  }

  /// What the policy says of some tokens that it does not learn from.
  ///
  /// - Parameter temperature: of the log-probabilities; nil where they are not asked for.
  package func score(_ batch: TokenBatch, _ targets: TokenTargets, temperature: Double?) throws(Failure) -> PluginScores {
    try arena.scope { () throws(Failure) in
      let hidden = try current.forward(batch, in: arena).hidden
      var logProbs: [Float] = []
      if let temperature {
        logProbs = try head.forward(hidden, targets, temperature: temperature, in: arena).logProbs.value()
      }
      return PluginScores(logProbs: logProbs, values: try valueHead?.forward(hidden, rows: targets.rows, in: arena).values.value())
    }
  }

  /// Whether a row is the same bits in decoding and in training, so that the sampler's log-probabilities are the policy's.
  var isRowExact: Bool { model.backend.isRowExact }
  var peakBytes: Int { model.backend.memory.peakBytes }
}
