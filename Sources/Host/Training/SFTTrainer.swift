import Compute
import Foundations
import Transformer

/// A training sequence; the loss is on tokens from `lossStart` on (the first token is never predicted).
package struct TrainingSequence: Sendable {
  package let tokens: [Int32]
  package let lossStart: Int
  /// Whether it was longer and has been cut.
  package let isCut: Bool

  package init(tokens: [Int32], lossStart: Int = 1, isCut: Bool = false) {
    self.tokens = tokens
    self.isCut = isCut
    self.lossStart = max(1, lossStart)
  }

  package var predictedCount: Int { max(0, tokens.count - lossStart) }
}

/// Supervised fine-tuning: the mean negative log-probability over all predicted tokens of a batch.
package final class SFTTrainer {
  package struct StepResult: Sendable {
    package let loss: Double
    package let gradientNorm: Double
    package let learningRate: Double
    package let predictedTokens: Int
    package let rows: Int
  }

  private let policy: Policy
  private let sequences: [TrainingSequence]
  private let batchSize: Int
  private var order: DataOrder
  /// Steps made so far.
  package private(set) var step = 0

  package init(
    _ policy: Policy, sequences: [TrainingSequence], batchSize: Int, shuffles: Bool, seed: UInt64
  ) {
    self.policy = policy
    self.sequences = sequences
    self.batchSize = batchSize
    order = DataOrder(count: sequences.count, seed: seed, shuffles: shuffles)
  }

  /// Steps of one pass over the data; the last batch of an epoch may be smaller.
  package static func stepsPerEpoch(count: Int, batchSize: Int) -> Int { (count + batchSize - 1) / batchSize }

  private func batch(_ step: Int) -> [TrainingSequence] {
    let perEpoch = Self.stepsPerEpoch(count: sequences.count, batchSize: batchSize)
    let first = (step / perEpoch) * sequences.count + (step % perEpoch) * batchSize
    let end = min(first + batchSize, (step / perEpoch + 1) * sequences.count)
    return order.indices(first..<end).map { sequences[$0] }
  }

  /// One update.
  package func trainStep() throws(Failure) -> StepResult {
    let batch = batch(step).filter { $0.predictedCount > 0 }
    let predicted = batch.reduce(0) { $0 + $1.predictedCount }
    // Nothing to learn: no update, not by momentum or decay either.
    guard predicted > 0 else {
      step += 1
      return StepResult(loss: 0, gradientNorm: 0, learningRate: 0, predictedTokens: 0, rows: 0)
    }
    policy.beginUpdate()
    var loss = 0.0
    for range in microBatches(rows: batch.map { $0.tokens.count - 1 }, limit: policy.microBatchRows) {
      loss += try accumulate(batch[range], predicted: predicted)
    }
    let update = try policy.finishUpdate()
    step += 1
    return StepResult(
      loss: loss, gradientNorm: update.gradientNorm, learningRate: update.learningRate, predictedTokens: predicted,
      rows: batch.reduce(0) { $0 + $1.tokens.count - 1 })
  }

  /// Forward and backward of some sequences: their share of the batch's loss.
  private func accumulate(_ sequences: ArraySlice<TrainingSequence>, predicted: Int) throws(Failure) -> Double {
    var batch = TokenBatch()
    var targets = TokenTargets()
    for sequence in sequences {
      let rows = batch.append(sequence.tokens.dropLast())
      for position in sequence.lossStart..<sequence.tokens.count {
        targets.rows.append(Int32(rows.lowerBound + position - 1))
        targets.targets.append(sequence.tokens[position])
      }
    }
    let pass = try policy.forward(batch)
    let scores = try policy.head.forward(pass.hidden, targets, temperature: 1)
    let derivative = -1 / Float(predicted)
    let backend = policy.model.backend
    let dHidden = try backend.zeros(pass.hidden.rows, pass.hidden.columns)
    try policy.head.backward(
      scores, dLogProb: Array(repeating: derivative, count: targets.count), dEntropy: nil, into: dHidden)
    try policy.model.backward(pass, dHidden: dHidden)
    return -scores.logProbs.reduce(0.0) { $0 + Double($1) } / Double(predicted)
  }

  /// Continues after `step` steps, as a checkpoint says.
  package func resume(at step: Int) { self.step = step }
}
