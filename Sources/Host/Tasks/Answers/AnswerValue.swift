/// What an answer says, as a tree.
indirect enum AnswerValue: Sendable {
  /// A number or an expression, with what it counts or measures.
  case quantity(Form, AnswerUnit)
  /// In brackets, in order: a tuple, an interval, a vector.
  case sequence(open: String, close: String, [AnswerValue])
  /// Side by side without brackets: any order, each as often as it stands.
  case list([AnswerValue])
  /// In braces: any order, repetitions aside.
  case set([AnswerValue])
  /// Joined by `\cup` (any order), `\cap` (any order) or `\setminus`.
  case joined(String, [AnswerValue])
  case matrix(String, [[AnswerValue]])
  /// A chain `a < b ≤ c`; turned so that it rises.
  case relation([AnswerValue], [String])
  /// `x = …`, `x ∈ …`.
  case named(String, AnswerValue)
  /// Words and whatever else is not read, token by token.
  case text(String)

  private static let mostElements = 256

  /// Whether two answers are the same.
  func isEqual(to other: AnswerValue) -> Bool {
    switch (self, other) {
    case (.named(let a, let x), .named(let b, let y)):
      if a == b { return x.isEqual(to: y) }
      // `x = y` and `y = x`.
      return x.symbolKey == b && y.symbolKey == a
    case (.named(_, let x), _): return x.isEqual(to: other)
    case (_, .named(_, let y)): return isEqual(to: y)
    case (.quantity(let a, let unit), .quantity(let b, let otherUnit)): return unit.agrees(with: otherUnit) && a.isEqual(to: b)
    case (.sequence(let open, let close, let a), .sequence(let otherOpen, let otherClose, let b)):
      return open == otherOpen && close == otherClose && Self.inOrder(a, b)
    case (.list(let a), .list(let b)): return Self.inAnyOrder(a, b)
    case (.set(let a), .set(let b)): return Self.sameMembers(a, b)
    case (.joined(let a, let x), .joined(let b, let y)):
      return a == b && (a == "setminus" ? Self.inOrder(x, y) : Self.sameMembers(x, y))
    case (.matrix(let a, let x), .matrix(let b, let y)):
      return a == b && x.count == y.count && zip(x, y).allSatisfy { Self.inOrder($0, $1) }
    case (.relation(let x, let a), .relation(let y, let b)):
      if a == b, Self.inOrder(x, y) { return true }
      return a.allSatisfy { $0 == "=" || $0 == "ne" } && a == b.reversed() && Self.inOrder(x.reversed(), y)
    // A set of solutions, and the same without braces.
    case (.set(let a), .list(let b)), (.list(let b), .set(let a)): return a.count == b.count && Self.inAnyOrder(a, b)
    case (.text(let a), .text(let b)): return a == b
    default: return false
    }
  }

  private static func inOrder(_ a: [AnswerValue], _ b: [AnswerValue]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { $0.isEqual(to: $1) }
  }

  private static func inAnyOrder(_ a: [AnswerValue], _ b: [AnswerValue]) -> Bool {
    guard a.count == b.count else { return false }
    if a.count > mostElements { return inOrder(a, b) }
    var rest = b
    for element in a {
      guard let place = rest.firstIndex(where: { element.isEqual(to: $0) }) else { return false }
      rest.remove(at: place)
    }
    return true
  }

  private static func sameMembers(_ a: [AnswerValue], _ b: [AnswerValue]) -> Bool {
    if max(a.count, b.count) > mostElements { return inOrder(a, b) }
    return a.allSatisfy { x in b.contains { x.isEqual(to: $0) } } && b.allSatisfy { y in a.contains { y.isEqual(to: $0) } }
  }

  /// The key of a lone symbol.
  private var symbolKey: String? {
    if case .quantity(let form, let unit) = self, unit == .none, form.terms.count == 1, form.terms[0].factors.count == 1 { form.key.hasPrefix("1*") ? String(form.key.dropFirst(2)) : form.key } else { nil }
  }

  /// The number where it is one, for messages.
  var number: Rational? {
    switch self {
    case .quantity(let form, _): form.rational
    case .named(_, let value): value.number
    default: nil
    }
  }

  /// What kind of thing it is, for messages.
  var kind: String {
    switch self {
    case .quantity(let form, _): form.rational != nil ? "number" : form.isClosed ? "closed expression" : "expression"
    case .sequence(let open, let close, _): open == "(" && close == ")" ? "tuple" : close == "|" ? "set" : "interval"
    case .list: "list"
    case .set: "set"
    case .joined(let name, _): name == "cup" ? "union" : name == "cap" ? "intersection" : "difference"
    case .matrix: "matrix"
    case .relation: "relation"
    case .named(_, let value): value.kind
    case .text: "text"
    }
  }
}

extension Form {
  /// Longer rational numbers are never taken for an irrational value that agrees to some 36 digits.
  private static let longestCoincidence = 80

  /// Equal in normal form, or, without variables, equal by value: rational numbers exactly, others to some 36 digits. A decimal
  /// with as many digits is not the number it approximates.
  func isEqual(to other: Form) -> Bool {
    if key == other.key { return true }
    let (a, b) = (rational, other.rational)
    if a != nil, b != nil { return false }
    for number in [a, b].compactMap({ $0 }) where number.numerator.bitWidth + number.denominator.bitWidth > Self.longestCoincidence {
      return false
    }
    guard isClosed, other.isClosed, let x = value, let y = other.value else { return false }
    // What cancels is 0 itself.
    if isZero || other.isZero { return x.isZero && y.isZero }
    return x.isNear(y) ?? false
  }
}
