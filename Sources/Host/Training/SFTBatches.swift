import Support

/// Which sequences each step of a supervised run learns from.
package struct SFTBatches: Sendable {
  private let sequences: SequenceStore
  private let batchSize: Int
  private var order: DataOrder

  package init(_ sequences: [TrainingSequence], batchSize: Int, shuffles: Bool, seed: UInt64) {
    self.init(SequenceStore(sequences), batchSize: batchSize, shuffles: shuffles, seed: seed)
  }

  package init(_ sequences: SequenceStore, batchSize: Int, shuffles: Bool, seed: UInt64) {
    self.sequences = sequences
    self.batchSize = batchSize
    order = DataOrder(count: sequences.count, seed: seed, shuffles: shuffles)
  }

  /// Steps of one pass over the data; the last batch of an epoch may be smaller.
  package var stepsPerEpoch: Int { (sequences.count + batchSize - 1) / batchSize }

  mutating func batch(_ step: Int) throws(Failure) -> [TrainingSequence] {
    var batch: [TrainingSequence] = []
    for index in indices(step) { batch.append(try sequences[index]) }
    return batch
  }

  private mutating func indices(_ step: Int) -> [Int] {
    let perEpoch = stepsPerEpoch
    let first = (step / perEpoch) * sequences.count + (step % perEpoch) * batchSize
    let end = min(first + batchSize, (step / perEpoch + 1) * sequences.count)
    return order.indices(first..<end)
  }

  /// The updates that so many steps make: a batch without a token to learn makes none. It is the horizon of a learning rate's schedule.
  package mutating func updates(ofSteps steps: Int) -> Int {
    let empty = sequences.emptyCount
    // A batch that is larger than all empty sequences together has something to learn.
    let last = sequences.count % batchSize
    if empty < (last == 0 ? batchSize : last) { return steps }
    var updates = 0
    for step in 0..<steps where indices(step).contains(where: { !sequences.isEmpty($0) }) { updates += 1 }
    return updates
  }
}
