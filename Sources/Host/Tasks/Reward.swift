/// What a completion earned.
package struct Reward: Sendable, Equatable {
  /// The bits that plugins see of a sequence: `NR_TRUNCATED` and `NR_CORRECT` of `nr_plugin.h`.
  package struct Flags: OptionSet, Sendable {
    package static let truncated = Flags(rawValue: 1)
    package static let correct = Flags(rawValue: 2)

    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }
  }

  /// What is learned from.
  package let total: Float
  /// What the total is made of, in the order of ``RewardFunction/partNames``.
  package let parts: [Float]
  /// Parts that have no say on the completion: their place among the parts holds a 0 that counts for nothing.
  package var silent: Set<Int> = []
  /// Why there is no reward though there should be one.
  package var fault: RewardFault?
  package let flags: Flags
  /// The text that was judged.
  package let text: String
  package let verdict: Verdict

  package init(total: Float, parts: [Float], _ verdict: Verdict, on attempt: Attempt) {
    self.total = total
    self.parts = parts
    self.verdict = verdict
    text = attempt.text
    var flags: Flags = attempt.isTruncated ? .truncated : []
    if verdict.isCorrect { flags.insert(.correct) }
    self.flags = flags
  }

  /// Whether there is a total to learn from: no part failed, and at least one has a say.
  package var isScored: Bool { fault == nil && (parts.isEmpty || silent.count < parts.count) }
}
