import Compute
import Support

/// Sequences packed one after another, without padding. A prompt that several completions share stands once.
package struct TokenBatch: Sendable {
  package private(set) var tokens: [Int32] = []
  package private(set) var positions: [Int32] = []
  package private(set) var segments: [Segment] = []

  package init() {}

  package var rowCount: Int { tokens.count }

  /// Appends a sequence that attends to itself only, and returns its rows.
  @discardableResult
  package mutating func append(_ sequence: some Collection<Int32>) -> Range<Int> {
    let start = tokens.count
    tokens.append(contentsOf: sequence)
    positions.append(contentsOf: (0..<Int32(sequence.count)))
    segments.append(Segment(start: start, length: sequence.count))
    return start..<tokens.count
  }

  /// Appends a continuation of a sequence appended before, `prefix` being its rows, and returns its own rows.
  ///
  /// Continuations of one prefix must follow it directly, one after another.
  package mutating func append(_ continuation: some Collection<Int32>, after prefix: Range<Int>) -> Range<Int> {
    let start = tokens.count
    tokens.append(contentsOf: continuation)
    positions.append(contentsOf: (0..<Int32(continuation.count)).map { $0 + Int32(prefix.count) })
    segments.append(
      Segment(start: start, length: continuation.count, prefixStart: prefix.lowerBound, prefixLength: prefix.count))
    return start..<tokens.count
  }
}

/// The tokens whose log-probabilities are wanted: target i is predicted from row `rows[i]` of a batch.
package struct TokenTargets: Sendable {
  package var rows: [Int32] = []
  package var targets: [Int32] = []

  package init() {}
  package var count: Int { targets.count }
}

extension TokenBatch {
  /// Appends a whole sequence, and to `targets` every token after its first. The last token is only a target.
  package mutating func appendPredicted(_ sequence: [Int32], targets: inout TokenTargets) {
    guard sequence.count > 1 else { return }
    let rows = append(sequence.dropLast())
    for (row, target) in zip(rows, sequence.dropFirst()) {
      targets.rows.append(Int32(row))
      targets.targets.append(target)
    }
  }

  /// Appends a prompt once and its completions after it, and to `targets` every completion token in order.
  package mutating func append(prompt: [Int32], completions: [[Int32]], targets: inout TokenTargets) {
    let prefix = append(prompt)
    for completion in completions where !completion.isEmpty {
      let rows = append(completion.dropLast(), after: prefix)
      targets.rows.append(Int32(prefix.upperBound - 1))
      targets.rows.append(contentsOf: rows.map { Int32($0) })
      targets.targets.append(contentsOf: completion)
    }
  }
}
