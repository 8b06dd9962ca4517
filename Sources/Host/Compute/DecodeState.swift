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
  /// The newest tokens of each row, with their log-probabilities and the entropies (nats) of what they were drawn from: the n-th token of
  /// a sequence, counted from 0, in line n modulo ``window``.
  let drawn: DrawnLines
  /// Steps that may be made before what was drawn is read.
  package var window: Int { drawn.window }
  /// Tokens that end a sequence.
  package let stopTokens: IndexTensor

  package var rows: Int { tokens.count }

  /// - Parameter window: steps that may be made before what was drawn is read.
  package init(rows: Int, stopTokens: [Int32], window: Int = 1, on backend: any Backend) throws(Failure) {
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
    drawn = DrawnLines(
      tokens: try indices(window * rows), logProbs: try backend.tensor(window, rows), entropies: try backend.tensor(window, rows),
      window: window, width: rows, first: 0)
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
    drawn = all.drawn.from(range.lowerBound)
    stopTokens = all.stopTokens
  }

  /// Some of the rows: a view.
  package func rows(_ range: Range<Int>) -> DecodeState { DecodeState(self, range) }

  /// Puts sequences into the first rows, and into what follows up to `count` rows ones that have ended, on a slot that is nobody's.
  package func load(_ sequences: [DecodeSequence], upTo count: Int? = nil, idleSlot: Int32 = 0, on backend: any Backend) {
    let count = count ?? sequences.count
    precondition(sequences.count <= count && count <= rows)
    let idle = DecodeSequence(
      promptSlot: 0, promptLength: 0, slot: idleSlot, drawn: 1, remaining: 0, random: RandomStream(seed: 0), outcome: .stopped)
    let all = sequences + Array(repeating: idle, count: count - sequences.count)
    backend.upload(all.map(\.newest), to: tokens.prefix(count))
    backend.upload(all.map { $0.promptLength + $0.drawn - 1 }, to: positions.prefix(count))
    backend.upload(all.map(\.promptSlot), to: promptSlots.prefix(count))
    backend.upload(all.map(\.promptLength), to: promptLengths.prefix(count))
    backend.upload(all.map(\.slot), to: slots.prefix(count))
    backend.upload(all.map { $0.drawn - 1 }, to: ownPositions.prefix(count))
    backend.upload(all.map(\.drawn), to: lengths.prefix(count))
    backend.upload(all.map(\.remaining), to: remaining.prefix(count))
    backend.upload(all.map(\.outcome.rawValue), to: outcomes.prefix(count))
    backend.upload(
      all.flatMap { sequence -> [Int32] in
        [sequence.random.seed, sequence.random.stream].flatMap {
          [Int32(truncatingIfNeeded: $0), Int32(truncatingIfNeeded: $0 >> 32)]
        }
      }, to: streams.prefix(4 * count))
  }
}

/// What the newest steps drew: `[window, rows]` each.
struct DrawnLines: Sendable {
  let tokens: IndexTensor
  let logProbs, entropies: Tensor
  let window: Int
  /// Rows of a line, and the one that a state begins with.
  let width, first: Int

  func from(_ row: Int) -> DrawnLines {
    DrawnLines(tokens: tokens, logProbs: logProbs, entropies: entropies, window: window, width: width, first: first + row)
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
  package var outcome: DecodeOutcome

  package init(
    newest: Int32 = 0, promptSlot: Int32, promptLength: Int32, slot: Int32, drawn: Int32 = 0, remaining: Int32, random: RandomStream,
    outcome: DecodeOutcome = .goesOn
  ) {
    self.newest = newest
    self.promptSlot = promptSlot
    self.promptLength = promptLength
    self.slot = slot
    self.drawn = drawn
    self.remaining = remaining
    self.random = random
    self.outcome = outcome
  }
}

/// What became of a sequence when its newest token was drawn.
package enum DecodeOutcome: Int32, Sendable {
  case goesOn, stopped, reachedLimit
  /// The logits are not numbers; no token was drawn.
  case notANumber
}

/// What became of the rows of a state, and what they drew in the newest steps.
package struct DrawnTokens: Sendable {
  /// By row: tokens drawn so far, with those of earlier looks.
  package let lengths: [Int32]
  package let outcomes: [DecodeOutcome]
  private let tokenLines: [Int32]
  private let logProbLines, entropyLines: [Float]
  private let window, width, first: Int

  /// - Parameter lines: the lines of the whole state that `lines` is a part of.
  init(lengths: [Int32], outcomes: [Int32], tokens: [Int32], logProbs: [Float], entropies: [Float], of lines: DrawnLines) {
    self.lengths = lengths
    self.outcomes = outcomes.map { DecodeOutcome(rawValue: $0) ?? .notANumber }
    (tokenLines, logProbLines, entropyLines) = (tokens, logProbs, entropies)
    (window, width, first) = (lines.window, lines.width, lines.first)
  }

  /// The n-th token of a row's sequence, counted from 0: one of the newest `window`.
  package func token(_ number: Int32, of row: Int) -> (token: Int32, logProb: Float, entropy: Float) {
    let place = Int(number) % window * width + first + row
    return (tokenLines[place], logProbLines[place], entropyLines[place])
  }

  /// The newest of each row.
  package var tokens: [Int32] { lengths.indices.map { token(lengths[$0] - 1, of: $0).token } }
  package var logProbs: [Float] { lengths.indices.map { token(lengths[$0] - 1, of: $0).logProb } }
  package var entropies: [Float] { lengths.indices.map { token(lengths[$0] - 1, of: $0).entropy } }
}
