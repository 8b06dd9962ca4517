import Support

/// Why a completion has no reward.
package struct RewardFault: Sendable, Equatable {
  /// The part that failed.
  package let part: String
  package let cause: String

  package init(part: String, cause: String) {
    self.part = part
    self.cause = cause
  }

  package var text: String { OneLine.text("reward \(part): \(cause)") }
}

/// How many of the completions that are drawn together may fail to be rewarded: half of them. With more, or with all, the run ends rather
/// than learn from what is left.
package struct RewardAllowance: Sendable {
  private let total: Int
  private var failed = 0
  /// Whether anybody still wants the rewards: a run that is being stopped does not.
  package let isWanted: @Sendable () -> Bool

  /// - Parameter total: the completions of the draw.
  package init(of total: Int, isWanted: @escaping @Sendable () -> Bool = { true }) {
    self.total = total
    self.isWanted = isWanted
  }

  package mutating func add(_ fault: RewardFault) throws(Failure) {
    failed += 1
    if 2 * failed > total {
      throw .inputOutput("\(fault.text); \(failed == total ? "all" : "more than half of the") \(total) completions drawn together have no reward, nothing is learned from them")
    }
  }
}
