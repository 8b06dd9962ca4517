import Support

/// How much of its reasoning a solution writes down.
package enum Working: String, Sendable, CaseIterable {
  /// Every step, a line each.
  case full
  /// The last step alone; those before it happened in the writer's head.
  case abridged
  /// As texts are found: the longer a solution, the more often it is abridged (``abridgedShare``). A model that learns from
  /// them abridges too, and is often wrong then; that writing every step pays is for reinforcement learning to find out.
  case mixed

  /// The share of abridged solutions in mixed texts, by the number of steps.
  static let abridgedShare = [1: 0, 2: 0.2, 3: 0.3, 4: 0.4]

  /// The lines to write of a solution; `place` makes the choice of a mixed text a pure function of where it stands.
  func lines(_ steps: [String], level: Int, place: [UInt64], seed: UInt64) -> [String] {
    switch self {
    case .full: return steps
    case .abridged: return steps.suffix(1)
    case .mixed:
      let chance = RandomStream(seed: seed, path: [0x574F_524B] + place).uniform(at: 0)
      return chance < Self.abridgedShare[level] ?? 0 ? steps.suffix(1) : steps
    }
  }
}
