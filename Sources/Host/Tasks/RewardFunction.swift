import Support

/// Judges what a model wrote.
///
/// A function may be called from any thread, by one at a time.
package protocol RewardFunction: Sendable {
  /// What errors call it.
  var name: String { get }
  /// What ``Reward/parts`` are called, for plugins.
  var partNames: [String] { get }

  /// Whether logs and pages show the parts one by one.
  var reportsParts: Bool { get }
  /// How many completions it is asked about together, at most.
  var largestBatch: Int { get }

  func judge(_ attempt: Attempt) throws(Failure) -> Reward
  /// The same of several; each gets what it would get alone.
  ///
  /// - Parameter allowance: how many may fail before it throws.
  func judge(_ attempts: [Attempt], _ allowance: RewardAllowance) throws(Failure) -> [Reward]
}

extension RewardFunction {
  package var reportsParts: Bool { false }
  package var largestBatch: Int { 1 }

  package func judge(_ attempts: [Attempt], _ allowance: RewardAllowance) throws(Failure) -> [Reward] {
    var rewards: [Reward] = []
    for attempt in attempts { rewards.append(try judge(attempt)) }
    return rewards
  }
}
