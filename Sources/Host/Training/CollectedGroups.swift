import Support

/// The groups a step generated.
struct CollectedGroups {
  private(set) var kept: [RolloutGroup] = []
  private(set) var dropped: [RolloutGroup] = []
  private(set) var all: [RolloutGroup] = []
  /// Groups generated to replace dropped ones.
  private(set) var refilled = 0

  /// Adds the groups of a draw. A group without a single reward is dropped, whatever the algorithm would say of it.
  ///
  /// - Parameter select: which of the other groups are kept.
  mutating func add(_ groups: [RolloutGroup], keeping select: ([RolloutGroup]) throws(Failure) -> [Bool]) throws(Failure) {
    if !all.isEmpty { refilled += groups.count }
    all += groups
    let rewarded = groups.filter { !$0.completions.isEmpty }
    dropped += groups.filter(\.completions.isEmpty)
    for (group, keep) in zip(rewarded, rewarded.isEmpty ? [] : try select(rewarded)) {
      if keep { kept.append(group) } else { dropped.append(group) }
    }
  }

  /// Completions that have no reward.
  var unscored: [RolloutGroup.Unscored] { all.flatMap(\.unscored) }
}
