import Support
import Tasks
import TestSupport
import Testing

@testable import Training

@Suite struct `Sequences of a run` {
  private func sequences(_ count: Int) -> [TrainingSequence] {
    (0..<count).map { number in
      TrainingSequence(tokens: (0..<(number * 7) % 23).map { Int32(number * 100 + $0) }, lossStart: number % 9, isCut: number % 5 == 0)
    }
  }

  /// In memory or in a file, at any size of what is kept: the same sequences.
  @Test(arguments: [0, 4, 100, 1000, 1 << 20]) func `are the same wherever they lie`(_ most: Int) throws {
    let expected = sequences(200)
    var store = SequenceStore(inMemory: most)
    for sequence in expected { try store.append(sequence) }
    #expect(store.count == 200 && store.lengths == expected.map(\.tokens.count))
    #expect(store.predictedCount == expected.reduce(0) { $0 + $1.predictedCount })
    #expect(store.emptyCount == expected.count { $0.predictedCount == 0 } && store.cutCount == expected.count(where: \.isCut))
    for place in (0..<200).reversed() {
      let (found, own) = (try store[place], expected[place])
      #expect(found.tokens == own.tokens && found.lossStart == own.lossStart && found.isCut == own.isCut)
      #expect(store.isEmpty(place) == (own.predictedCount == 0))
    }
    #expect(try store.all().map(\.tokens) == expected.map(\.tokens))
  }

  @Test func `make the same batches`() throws {
    let expected = sequences(50)
    var store = SequenceStore(inMemory: 64)
    for sequence in expected { try store.append(sequence) }
    var (one, other) = (SFTBatches(expected, batchSize: 4, shuffles: true, seed: 9), SFTBatches(store, batchSize: 4, shuffles: true, seed: 9))
    #expect(one.stepsPerEpoch == other.stepsPerEpoch && one.updates(ofSteps: 30) == other.updates(ofSteps: 30))
    for step in 0..<30 { #expect(try one.batch(step).map(\.tokens) == other.batch(step).map(\.tokens)) }
  }
}
