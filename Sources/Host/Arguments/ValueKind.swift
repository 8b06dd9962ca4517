import Support

/// What an option takes: how its text is read, which values are legal, and what help and messages call it.
package struct ValueKind: Sendable {
  enum Form: Sendable {
    case flag
    case text
    case path
    case configuration
    case integer(Bounds<Int>)
    case number(Bounds<Double>)
    case choice([String])
    case list
    case assignment
    case checked(expected: String, isLegal: @Sendable (String) -> Bool)
  }

  let form: Form

  static let flag = ValueKind(form: .flag)

  /// Any text, the empty one too.
  package static let text = ValueKind(form: .text)
  /// A file or folder; whether it exists is for the command to find out.
  package static let path = ValueKind(form: .path)
  /// A JSON file whose keys are option names; the parser reads it itself.
  package static let configuration = ValueKind(form: .configuration)
  /// Names separated by commas.
  package static let list = ValueKind(form: .list)
  /// `key=value`.
  package static let assignment = ValueKind(form: .assignment)

  /// A whole number. There is none without both ends: what follows from a number, a product or an allocation, has to have an end too.
  package static func integer(_ range: ClosedRange<Int>) -> ValueKind {
    ValueKind(form: .integer(Bounds(lower: range.lowerBound, upper: range.upperBound)))
  }
  package static func number(_ range: ClosedRange<Double>) -> ValueKind {
    ValueKind(form: .number(Bounds(lower: range.lowerBound, upper: range.upperBound)))
  }
  /// A number above `lower`, which itself is not legal, and at most `upper`.
  package static func number(above lower: Double, through upper: Double) -> ValueKind {
    ValueKind(form: .number(Bounds(lower: lower, upper: upper, isOpenBelow: true)))
  }

  package static func choice(_ names: [String]) -> ValueKind { ValueKind(form: .choice(names)) }
  /// The raw values of an enumeration, to be read back with `arguments.choice(_:)`.
  package static func choice<Choice: CaseIterable & RawRepresentable<String>>(_ type: Choice.Type) -> ValueKind {
    choice(type.allCases.map(\.rawValue))
  }

  /// Text of a form of its own, such as `auto|cpu|cuda[:N]`, which `expected` names.
  package static func checked(_ expected: String, _ isLegal: @escaping @Sendable (String) -> Bool) -> ValueKind {
    ValueKind(form: .checked(expected: expected, isLegal: isLegal))
  }
}

extension ValueKind {
  var isFlag: Bool { if case .flag = form { true } else { false } }
  var isConfiguration: Bool { if case .configuration = form { true } else { false } }
  var isAssignment: Bool { if case .assignment = form { true } else { false } }

  /// What stands for the value in help.
  var placeholder: String {
    switch form {
    case .flag: ""
    case .text: "TEXT"
    case .path: "PATH"
    case .configuration: "FILE.json"
    case .integer: "N"
    case .number: "X"
    case .choice(let names): names.joined(separator: "|")
    case .list: "A,B,…"
    case .assignment: "KEY=VALUE"
    case .checked(let expected, _): expected
    }
  }

  /// What a message says was expected.
  var expectation: String {
    switch form {
    case .flag: "true or false"
    case .text: "text"
    case .path, .configuration: "a path"
    case .integer(let bounds): "a whole number" + bounds.clause { "\($0)" }
    case .number(let bounds): "a finite number" + bounds.clause { ArgumentValue.number($0).text }
    case .choice(let names):
      names.count < 2
        ? names.joined() : names.dropLast().joined(separator: ", ") + " or " + names[names.count - 1]
    case .list: "names separated by commas"
    case .assignment: "key=value"
    case .checked(let expected, _): expected
    }
  }

  /// The value that `text` stands for; nil where it is not one of this kind.
  func value(of text: String) -> ArgumentValue? {
    switch form {
    case .flag: text == "true" ? .flag(true) : text == "false" ? .flag(false) : nil
    case .text: .text(text)
    case .path, .configuration: text.isEmpty ? nil : .text(text)
    case .integer: Int(text).flatMap(checked)
    case .number:
      text.utf8.allSatisfy { Self.numberCharacters.contains($0) } ? Double(text).flatMap(checked) : nil
    case .choice(let names): names.contains(text) ? .text(text) : nil
    case .list: Self.names(text).map(ArgumentValue.list)
    case .assignment: Self.assignment(text).map(ArgumentValue.assignment)
    case .checked(_, let isLegal): isLegal(text) ? .text(text) : nil
    }
  }

  /// The values that `json` stands for in a configuration file; nil where it is not of this kind.
  func values(of json: JSON, repeated: Bool) -> [ArgumentValue]? {
    if case .assignment = form, let object = json.object {
      var values: [ArgumentValue] = []
      for key in object.keys {
        guard !key.isEmpty, let text = object[key].flatMap(Self.scalarText) else { return nil }
        values.append(.assignment(Assignment(key: key, value: text)))
      }
      return values
    }
    if repeated, let elements = json.array {
      let values = elements.compactMap(value)
      return values.count == elements.count ? values : nil
    }
    return value(of: json).map { [$0] }
  }

  private func value(of json: JSON) -> ArgumentValue? {
    switch form {
    case .flag: json.bool.map(ArgumentValue.flag)
    case .integer: json.int.flatMap(checked)
    case .number: json.double.flatMap(checked)
    case .list:
      if let elements = json.array {
        Self.names(elements.compactMap(\.string), of: elements.count).map(ArgumentValue.list)
      } else {
        json.string.flatMap(value)
      }
    default: json.string.flatMap(value)
    }
  }

  /// A declared default in the form of this kind, so that `default: 1` serves a number; nil where it is not legal.
  func value(ofDefault value: ArgumentValue) -> ArgumentValue? {
    switch (form, value) {
    case (.flag, .flag): value
    case (.integer, .integer(let number)): checked(number)
    case (.number, .integer(let number)): checked(Double(number))
    case (.number, .number(let number)): checked(number)
    case (.list, .list(let names)): Self.names(names, of: names.count).map(ArgumentValue.list)
    case (.integer, _), (.number, _), (.flag, _): nil
    case (_, .text(let text)): self.value(of: text)
    default: nil
    }
  }

  /// A legal value, for tests that walk declarations.
  var sample: ArgumentValue {
    switch form {
    case .flag: .flag(false)
    case .text: .text("text")
    case .path, .configuration: .text("path")
    case .integer(let bounds): .integer(bounds.lower)
    case .number(let bounds): .number(bounds.upper)
    case .choice(let names): .text(names.first ?? "")
    case .list: .list(["a", "b"])
    case .assignment: .assignment(Assignment(key: "key", value: "1"))
    case .checked(let expected, _): .text(expected)
    }
  }

  private static let numberCharacters = Set("0123456789+-.eE".utf8)

  private func checked(_ value: Int) -> ArgumentValue? {
    if case .integer(let bounds) = form, bounds.contains(value) { .integer(value) } else { nil }
  }

  private func checked(_ value: Double) -> ArgumentValue? {
    if case .number(let bounds) = form, value.isFinite, bounds.contains(value) { .number(value) } else { nil }
  }

  private static func names(_ text: String) -> [String]? {
    let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    return Self.names(names, of: names.count)
  }

  private static func names(_ names: [String], of count: Int) -> [String]? {
    names.count == count && count > 0 && names.allSatisfy { !$0.isEmpty && !$0.contains(",") } ? names : nil
  }

  private static func assignment(_ text: String) -> Assignment? {
    guard let mark = text.firstIndex(of: "="), mark != text.startIndex else { return nil }
    return Assignment(key: String(text[..<mark]), value: String(text[text.index(after: mark)...]))
  }

  private static func scalarText(_ json: JSON) -> String? {
    switch json {
    case .string(let text): text
    case .bool, .integer: json.text()
    case .number(let value): ArgumentValue.number(value).text
    case .literal(let text): text
    default: nil
    }
  }
}
