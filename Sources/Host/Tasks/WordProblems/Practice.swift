import Support

extension WordProblems {
  /// A page of calculations, a line each, to learn the four operations from: numbers as the problems have them, half of the
  /// lines easy (a single digit or full tens).
  package static func practiceText(seed: UInt64, index: Int, lines: Int = 12) -> String {
    var stream = RandomStream(seed: seed, path: [0x5052_4143, UInt64(bitPattern: Int64(index))])
    let page = (0..<lines).map { _ in calculation(&stream) }
    return "Practice:\n" + page.joined(separator: "\n")
  }

  /// The largest result of a problem.
  private static let largest = 80

  private static func calculation(_ stream: inout RandomStream) -> String {
    while true {
      let operation = stream.pick(Arithmetic.allCases)
      let isEasy = stream.next(below: 2) == 0
      var a: Int
      var b: Int
      switch operation {
      case .add, .subtract:
        a = stream.next(in: 2...largest)
        b = isEasy ? (stream.next(below: 2) == 0 ? stream.next(in: 1...9) : 10 * stream.next(in: 1...4)) : stream.next(in: 2...60)
      case .multiply, .divide:
        b = stream.next(in: 2...(isEasy ? 9 : 20))
        a = stream.next(in: 2...(isEasy ? 9 : 40))
        if stream.next(below: 2) == 0 { swap(&a, &b) }
        if operation == .divide { a *= b }
      }
      if max(a, b) <= largest, let result = operation.apply(a, b), result <= largest {
        return "\(a) \(operation.rawValue) \(b) = \(result)."
      }
    }
  }
}
