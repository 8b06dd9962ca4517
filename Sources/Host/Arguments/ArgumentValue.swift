import Support

/// One value of an option after its text was checked.
package enum ArgumentValue: Sendable, Equatable {
  case flag(Bool)
  case integer(Int)
  case number(Double)
  case text(String)
  case list([String])
  case assignment(Assignment)
}

/// A default as it stands in a declaration: `default: 0.8`, `default: "cosine"`.
extension ArgumentValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringLiteral,
  ExpressibleByArrayLiteral
{
  package init(integerLiteral value: Int) { self = .integer(value) }
  package init(floatLiteral value: Double) { self = .number(value) }
  package init(stringLiteral value: String) { self = .text(value) }
  package init(arrayLiteral elements: String...) { self = .list(elements) }
}

extension ArgumentValue {
  /// The value as a user would type it.
  package var text: String {
    switch self {
    case .flag(let value): value ? "true" : "false"
    case .integer(let value): String(value)
    case .number(let value): Self.shortest(value)
    case .text(let value): value
    case .list(let values): values.joined(separator: ",")
    case .assignment(let assignment): "\(assignment.key)=\(assignment.value)"
    }
  }

  package var json: JSON {
    switch self {
    case .flag(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .number(let value): .number(value)
    case .text(let value): .string(value)
    case .list(let values): .array(values.map(JSON.string))
    case .assignment(let assignment): .string("\(assignment.key)=\(assignment.value)")
    }
  }

  /// `2e-5` and `1`, where Swift prints `2e-05` and `1.0`.
  private static func shortest(_ value: Double) -> String {
    var text = "\(value)"
    if text.hasSuffix(".0") { text.removeLast(2) }
    guard let mark = text.firstIndex(of: "e"), let exponent = Int(text[text.index(after: mark)...]) else { return text }
    return "\(text[..<mark])e\(exponent)"
  }
}
