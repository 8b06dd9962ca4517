/// One of the four operations.
enum Arithmetic: String, Sendable, CaseIterable {
  case add = "+"
  case subtract = "-"
  case multiply = "*"
  case divide = "/"

  /// The result, or nil where it is not a whole number above zero.
  func apply(_ a: Int, _ b: Int) -> Int? {
    switch self {
    case .add: a + b
    case .subtract: a > b ? a - b : nil
    case .multiply: a * b
    case .divide: b > 0 && a >= b && a % b == 0 ? a / b : nil
    }
  }
}
