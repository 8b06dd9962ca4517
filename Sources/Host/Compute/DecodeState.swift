import Support

/// The sequences that are being decoded, one a row, in the memory of a backend: a step of decoding reads and changes it and needs
/// nothing of the host.
///
/// A sequence is its prompt, which lies in a slot of the prompts' cache and may be shared, and the tokens drawn after it, which lie in
/// a slot of its own. Between steps the newest token is drawn but not yet read.
package struct DecodeState: Sendable {
  /// `[rows]` each. The newest token, and its position counted from the prompt's first.
  package let tokens, positions: IndexTensor
  /// `[rows]`: where the prompt lies and how many tokens it has.
  package let promptSlots, promptLengths: IndexTensor
  /// `[rows]`: the slot of what was drawn, the newest token's place in it, and how many tokens it holds with that one; the last is
  /// also the number of the sequence's next random number.
  package let slots, ownPositions, lengths: IndexTensor
  /// `[rows]`: tokens that may still be drawn.
  package let remaining: IndexTensor
  /// `[rows]`: a ``DecodeOutcome``.
  package let outcomes: IndexTensor
  /// `[rows · 4]`: seed and stream of the random numbers, each as two words, the lower first.
  package let streams: IndexTensor
  /// `[1, rows]`: of the newest token.
  package let logProbs, entropies: Tensor
  /// Tokens that end a sequence.
  package let stopTokens: IndexTensor

  package var rows: Int { tokens.count }

  package init(rows: Int, stopTokens: [Int32], on backend: any Backend) throws(Failure) {
    func indices(_ count: Int) throws(Failure) -> IndexTensor {
      IndexTensor(storage: try backend.allocate(byteCount: max(1, count) * 4), count: count)
    }
    tokens = try indices(rows)
    positions = try indices(rows)
    promptSlots = try indices(rows)
    promptLengths = try indices(rows)
    slots = try indices(rows)
    ownPositions = try indices(rows)
    lengths = try indices(rows)
    remaining = try indices(rows)
    outcomes = try indices(rows)
    streams = try indices(4 * rows)
    logProbs = try backend.tensor(1, rows)
    entropies = try backend.tensor(1, rows)
    self.stopTokens = try indices(stopTokens.count)
    backend.upload(stopTokens, to: self.stopTokens)
  }

  private init(_ all: DecodeState, _ range: Range<Int>) {
    tokens = all.tokens.range(range)
    positions = all.positions.range(range)
    promptSlots = all.promptSlots.range(range)
    promptLengths = all.promptLengths.range(range)
    slots = all.slots.range(range)
    ownPositions = all.ownPositions.range(range)
    lengths = all.lengths.range(range)
    remaining = all.remaining.range(range)
    outcomes = all.outcomes.range(range)
    streams = all.streams.range((4 * range.lowerBound)..<(4 * range.upperBound))
    logProbs = all.logProbs.part(range, columns: range.count)
    entropies = all.entropies.part(range, columns: range.count)
    stopTokens = all.stopTokens
  }

  /// Some of the rows: a view.
  package func rows(_ range: Range<Int>) -> DecodeState { DecodeState(self, range) }

  /// Puts sequences into the first rows.
  package func load(_ sequences: [DecodeSequence], on backend: any Backend) {
    let count = sequences.count
    precondition(count <= rows)
    backend.upload(sequences.map(\.newest), to: tokens.prefix(count))
    backend.upload(sequences.map { $0.promptLength + $0.drawn - 1 }, to: positions.prefix(count))
    backend.upload(sequences.map(\.promptSlot), to: promptSlots.prefix(count))
    backend.upload(sequences.map(\.promptLength), to: promptLengths.prefix(count))
    backend.upload(sequences.map(\.slot), to: slots.prefix(count))
    backend.upload(sequences.map { $0.drawn - 1 }, to: ownPositions.prefix(count))
    backend.upload(sequences.map(\.drawn), to: lengths.prefix(count))
    backend.upload(sequences.map(\.remaining), to: remaining.prefix(count))
    backend.upload(Array(repeating: DecodeOutcome.goesOn.rawValue, count: count), to: outcomes.prefix(count))
    backend.upload(
      sequences.flatMap { sequence -> [Int32] in
        [sequence.random.seed, sequence.random.stream].flatMap {
          [Int32(truncatingIfNeeded: $0), Int32(truncatingIfNeeded: $0 >> 32)]
        }
      }, to: streams.prefix(4 * count))
  }
}

/// A row of a ``DecodeState`` as the host knows it.
package struct DecodeSequence: Sendable {
  package var newest: Int32
  package let promptSlot: Int32
  package let promptLength: Int32
  package let slot: Int32
  /// Tokens drawn so far.
  package var drawn: Int32
  package var remaining: Int32
  package let random: RandomStream

  package init(
    newest: Int32 = 0, promptSlot: Int32, promptLength: Int32, slot: Int32, drawn: Int32 = 0, remaining: Int32, random: RandomStream
  ) {
    self.newest = newest
    self.promptSlot = promptSlot
    self.promptLength = promptLength
    self.slot = slot
    self.drawn = drawn
    self.remaining = remaining
    self.random = random
  }
}

/// What became of a sequence when its newest token was drawn.
package enum DecodeOutcome: Int32, Sendable {
  case goesOn, stopped, reachedLimit
  /// The logits are not numbers; no token was drawn.
  case notANumber
}

/// What a step of decoding drew, row by row.
package struct DrawnTokens: Sendable {
  package let tokens: [Int32]
  package let logProbs: [Float]
  package let entropies: [Float]
  package let outcomes: [DecodeOutcome]

  package init(tokens: [Int32], logProbs: [Float], entropies: [Float], outcomes: [DecodeOutcome]) {
    self.tokens = tokens
    self.logProbs = logProbs
    self.entropies = entropies
    self.outcomes = outcomes
  }
}
