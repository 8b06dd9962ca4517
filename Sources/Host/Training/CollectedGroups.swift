/// The groups a step generated.
struct CollectedGroups {
  private(set) var kept: [RolloutGroup] = []
  private(set) var dropped: [RolloutGroup] = []
  private(set) var all: [RolloutGroup] = []
  /// Groups generated to replace dropped ones.
  private(set) var refilled = 0

  mutating func add(_ groups: [RolloutGroup], keeping: [Bool]) {
    if !all.isEmpty { refilled += groups.count }
    all += groups
    for (group, keep) in zip(groups, keeping) {
      if keep { kept.append(group) } else { dropped.append(group) }
    }
  }
}
