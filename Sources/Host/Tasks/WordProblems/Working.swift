/// How a solution writes a calculation down.
///
/// A small model that writes `27 + 18 = 45.` has to know the sum; one that writes `27 + 10 = 37.` and `37 + 8 = 45.` has to
/// know two easy ones. Both are right, and texts hold both: which of them pays is for reinforcement learning to find out.
package enum Working: String, Sendable, CaseIterable {
  /// One line per operation.
  case direct
  /// Tens and ones apart, a line each.
  case decomposed

  /// The lines that compute `a operation b`; each is a true equation of its own, and the last gives the result.
  ///
  /// - Precondition: the operation gives a whole number above zero.
  func lines(_ operation: Arithmetic, _ a: Int, _ b: Int) -> [String] {
    guard self == .decomposed else { return [Self.line(operation, a, b)] }
    switch operation {
    case .add, .subtract: return Self.sum(operation, a, b)
    case .multiply: return Self.product(a, b)
    case .divide: return Self.quotient(a, b)
    }
  }

  private static func line(_ operation: Arithmetic, _ a: Int, _ b: Int) -> String {
    "\(a) \(operation.rawValue) \(b) = \(operation.apply(a, b) ?? 0)."
  }

  /// The tens of the second number, then its ones.
  private static func sum(_ operation: Arithmetic, _ a: Int, _ b: Int) -> [String] {
    let (tens, ones) = (b / 10 * 10, b % 10)
    guard tens > 0, ones > 0, a > 10, let between = operation.apply(a, tens) else { return [line(operation, a, b)] }
    return [line(operation, a, tens), line(operation, between, ones)]
  }

  /// The tens of the larger number times the smaller, its ones times the smaller, and their sum.
  private static func product(_ a: Int, _ b: Int) -> [String] {
    let (large, small) = (max(a, b), min(a, b))
    let (tens, ones) = (large / 10 * 10, large % 10)
    guard tens > 0, ones > 0, small > 1 else { return [line(.multiply, a, b)] }
    return [line(.multiply, tens, small), line(.multiply, ones, small)] + sum(.add, tens * small, ones * small)
  }

  /// Ten times the divisor is taken away before the rest is divided.
  private static func quotient(_ a: Int, _ b: Int) -> [String] {
    let rest = a - 10 * b
    guard b > 1, rest > 0 else { return [line(.divide, a, b)] }
    return [line(.multiply, 10, b)] + sum(.subtract, a, 10 * b) + quotient(rest, b) + [line(.add, 10, rest / b)]
  }
}
