import Support
import Telemetry
import Transformer

/// Supervised fine-tuning: the mean negative log-probability over all predicted tokens of a batch.
package final class SFTTrainer {
  package struct StepResult: Sendable {
    package let loss: Double
    package let gradientNorm: Double
    package let learningRate: Double
    package let predictedTokens: Int
    package let rows: Int
    /// Of all that the step computed, but for what it left of weights and moments.
    package let proof: StepDigests
  }

  private let policy: Policy
  private var batches: SFTBatches
  /// Steps made so far.
  package private(set) var step = 0

  package init(_ policy: Policy, _ batches: SFTBatches) {
    self.policy = policy
    self.batches = batches
  }

  var peakBytes: Int { policy.peakBytes }

  /// One update.
  package func trainStep() throws(Failure) -> StepResult {
    let batch = try batches.batch(step).filter { $0.predictedCount > 0 }
    let predicted = batch.reduce(0) { $0 + $1.predictedCount }
    var proof = StepProof()
    proof.add(batch)
    // Nothing to learn: no update, not by momentum or decay either.
    guard predicted > 0 else {
      step += 1
      return StepResult(loss: 0, gradientNorm: 0, learningRate: 0, predictedTokens: 0, rows: 0, proof: proof.digests)
    }
    policy.beginUpdate()
    var loss = 0.0
    for range in microBatches(rows: batch.map { $0.tokens.count - 1 }, limit: policy.microBatchRows) {
      loss += try accumulate(batch[range], predicted: predicted, &proof)
    }
    let update = try policy.finishUpdate()
    proof.finishUpdate(update, policy.settings)
    proof.finish()
    step += 1
    return StepResult(
      loss: loss, gradientNorm: update.gradientNorm, learningRate: update.learningRate, predictedTokens: predicted,
      rows: batch.reduce(0) { $0 + $1.tokens.count - 1 }, proof: proof.digests)
  }

  private static func packed(_ sequences: ArraySlice<TrainingSequence>) -> (batch: TokenBatch, targets: TokenTargets) {
    var batch = TokenBatch()
    var targets = TokenTargets()
    for sequence in sequences {
      let rows = batch.append(sequence.tokens.dropLast())
      for position in sequence.lossStart..<sequence.tokens.count {
        targets.rows.append(Int32(rows.lowerBound + position - 1))
        targets.targets.append(sequence.tokens[position])
      }
    }
    return (batch, targets)
  }

  /// Forward and backward of some sequences: their share of the batch's loss.
  private func accumulate(_ sequences: ArraySlice<TrainingSequence>, predicted: Int, _ proof: inout StepProof) throws(Failure) -> Double {
    let (batch, targets) = Self.packed(sequences)
    var share = 0.0
    try policy.accumulate(batch, targets, temperature: 1) { scores in
      proof.add(current: scores.logProbs, entropies: scores.entropies)
      share = -scores.logProbs.reduce(0.0) { $0 + Double($1) } / Double(predicted)
      return TokenDerivatives(dLogProbs: Array(repeating: -1 / Float(predicted), count: targets.count))
    }
    return share
  }

  /// The mean negative log-probability of all predicted tokens of some sequences, which are not learned from.
  package func loss(of sequences: [TrainingSequence]) throws(Failure) -> Double {
    let sequences = sequences.filter { $0.predictedCount > 0 }
    var sum = 0.0
    for range in microBatches(rows: sequences.map { $0.tokens.count - 1 }, limit: policy.microBatchRows) {
      let (batch, targets) = Self.packed(sequences[range])
      // Token by token, so that the sum does not depend on the split.
      for logProb in try policy.score(batch, targets, temperature: 1).logProbs { sum -= Double(logProb) }
    }
    return sum / Double(max(1, sequences.reduce(0) { $0 + $1.predictedCount }))
  }

  /// Continues after `step` steps, as a checkpoint says.
  package func resume(at step: Int) { self.step = step }
}
