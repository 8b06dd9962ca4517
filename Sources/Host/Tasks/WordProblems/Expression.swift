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
