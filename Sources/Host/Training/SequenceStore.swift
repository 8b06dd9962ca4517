import Support

/// The sequences of a supervised run as one row of tokens each, with an index: in memory while they are few, in a file without a name
/// from there on, so that data of any size take the memory of their index.
package struct SequenceStore: Sendable {
  /// Where a sequence lies, in tokens, and what there is to say of it.
  private struct Entry: Sendable {
    let start: Int
    let count: Int32
    let lossStart: Int32
    let isCut: Bool
  }

  private var entries: [Entry] = []
  /// Tokens that are in no file.
  private var tokens: [Int32] = []
  /// Tokens that are in the file.
  private var written = 0
  private var file: UnnamedFile?
  private let most: Int
  package private(set) var predictedCount = 0

  /// - Parameter most: bytes of tokens that are kept in memory.
  package init(inMemory most: Int = 64 << 20) { self.most = most }

  package init(_ sequences: [TrainingSequence]) {
    self.init(inMemory: .max)
    for sequence in sequences { keep(sequence) }
  }

  package var count: Int { entries.count }
  /// Tokens of each sequence.
  package var lengths: [Int] { entries.map { Int($0.count) } }
  /// Sequences without a token to learn.
  package var emptyCount: Int { entries.indices.count(where: isEmpty) }
  package func isEmpty(_ index: Int) -> Bool { entries[index].count <= entries[index].lossStart }
  package var cutCount: Int { entries.count(where: \.isCut) }

  package mutating func append(_ sequence: TrainingSequence) throws(Failure) {
    keep(sequence)
    guard tokens.count * MemoryLayout<Int32>.stride >= most else { return }
    let file = if let file { file } else { try UnnamedFile(for: "the tokens of the training data") }
    self.file = file
    unsafe try Self.bytes(tokens) { bytes throws(Failure) in unsafe try file.append(bytes) }
    written += tokens.count
    tokens.removeAll(keepingCapacity: true)
  }

  private mutating func keep(_ sequence: TrainingSequence) {
    entries.append(
      Entry(
        start: written + tokens.count, count: Int32(sequence.tokens.count), lossStart: Int32(clamping: sequence.lossStart), isCut: sequence.isCut))
    tokens += sequence.tokens
    predictedCount += sequence.predictedCount
  }

  private static func bytes(_ tokens: [Int32], _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void) throws(Failure) {
    let outcome: Result<Void, Failure> = unsafe tokens.withUnsafeBytes { bytes in
      Result { () throws(Failure) in unsafe try body(bytes) }
    }
    try outcome.get()
  }

  package subscript(_ index: Int) -> TrainingSequence {
    get throws(Failure) {
      let entry = entries[index]
      let count = Int(entry.count)
      let own: [Int32] =
        if entry.start >= written {
          Array(tokens[entry.start - written..<entry.start - written + count])
        } else if let file {
          try file.read(at: entry.start * MemoryLayout<Int32>.stride, count: count)
        } else { [] }
      return TrainingSequence(tokens: own, lossStart: Int(entry.lossStart), isCut: entry.isCut)
    }
  }

  /// All of them, for what is small.
  package func all() throws(Failure) -> [TrainingSequence] {
    var sequences: [TrainingSequence] = []
    for index in entries.indices { sequences.append(try self[index]) }
    return sequences
  }
}
