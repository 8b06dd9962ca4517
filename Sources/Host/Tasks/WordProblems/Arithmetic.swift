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

/// The whole computation of a problem as one tree, evaluated apart from the steps that were written down.
indirect enum Expression: Sendable, Equatable {
  case number(Int)
  case operation(Arithmetic, Expression, Expression)

  var value: Int? {
    switch self {
    case .number(let number): return number
    case .operation(let operation, let left, let right):
      guard let a = left.value, let b = right.value else { return nil }
      return operation.apply(a, b)
    }
  }
}
