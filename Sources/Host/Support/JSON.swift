/// A JSON value. Objects keep the order of their keys; whole numbers that fit stay exact.
package indirect enum JSON: Sendable, Equatable {
  case null
  case bool(Bool)
  case integer(Int)
  case number(Double)
  /// A number read from a file whose digits neither of the two above writes again: `9223372036854775808`, `1e400`, `0.10`.
  case literal(String)
  case string(String)
  case array([JSON])
  case object(Object)

  /// Keys are told apart byte for byte: a vocabulary may hold "é" both as one scalar and as two.
  package struct Object: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    package private(set) var keys: [String] = []
    private var values: [ExactKey: JSON] = [:]

    private struct ExactKey: Sendable, Hashable {
      let text: String

      static func == (left: ExactKey, right: ExactKey) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

      func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { unsafe hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
      }
    }

    package init() {}

    package init(dictionaryLiteral elements: (String, JSON)...) {
      for (key, value) in elements { self[key] = value }
    }

    package var count: Int { keys.count }

    package subscript(key: String) -> JSON? {
      get { values[ExactKey(text: key)] }
      set {
        let exact = ExactKey(text: key)
        if let newValue {
          if values.updateValue(newValue, forKey: exact) == nil { keys.append(key) }
        } else if values.removeValue(forKey: exact) != nil {
          keys.removeAll { ExactKey(text: $0) == exact }
        }
      }
    }
  }

  package subscript(key: String) -> JSON? {
    if case .object(let object) = self { return object[key] }
    return nil
  }

  package var string: String? { if case .string(let value) = self { value } else { nil } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
  package var object: Object? { if case .object(let value) = self { value } else { nil } }
  package var isNull: Bool { self == .null }

  package var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    case .literal(let text): Double(text)
    default: nil
    }
  }

  /// The digits of a number as its file has them.
  package var numberText: String? {
    switch self {
    case .integer, .number: text()
    case .literal(let text): text
    default: nil
    }
  }

  /// A whole number: an integer, or a number without a fraction, as some writers print `4.0`.
  package var int: Int? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int(exactly: value)
    case .literal(let text): Double(text).flatMap { Int(exactly: $0) }
    default: nil
    }
  }

  /// What the value is, in words, for error messages.
  package var kind: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .literal(let text): text.utf8.count < 40 ? text : "a number of \(text.utf8.count) characters"
    case .string(let value): value.count < 40 ? value.debugDescription : "a string"
    case .array(let value): "an array of \(value.count)"
    case .object: "an object"
    }
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int) { self = .integer(value) }
  package init(floatLiteral value: Double) { self = .number(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(arrayLiteral elements: JSON...) { self = .array(elements) }
  package init(dictionaryLiteral elements: (String, JSON)...) {
    var object = Object()
    for (key, value) in elements { object[key] = value }
    self = .object(object)
  }
}

extension JSON {
  package static func parse(_ text: String, name: String) throws(Failure) -> JSON {
    try parse(Array(text.utf8), name: name)
  }

  /// Parses a whole JSON text; `name` is what an error calls it, usually the path.
  package static func parse(_ bytes: [UInt8], name: String) throws(Failure) -> JSON {
    let outcome: Result<JSON, Failure> = unsafe bytes.withUnsafeBufferPointer { buffer in
      var parser = unsafe JSONParser(bytes: buffer, name: name)
      do throws(Failure) { return .success(try parser.document()) } catch { return .failure(error) }
    }
    return try outcome.get()
  }

  /// Reads a file, with or without a byte order mark.
  package static func read(_ path: String, orPipe: Bool = false) throws(Failure) -> JSON {
    let bytes = try Files.read(path, orPipe: orPipe)
    let start = textStart(bytes)
    return try parse(start > 0 ? Array(bytes[start...]) : bytes, name: path)
  }

  /// Where a text begins: behind its byte order mark, if it has one.
  static func textStart(_ bytes: [UInt8]) -> Int { bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0 }
}

@safe private struct JSONParser {
  let bytes: UnsafeBufferPointer<UInt8>
  let count: Int
  let name: String
  var position = 0
  var depth = 0

  init(bytes: UnsafeBufferPointer<UInt8>, name: String) {
    unsafe self.bytes = unsafe bytes
    count = bytes.count
    self.name = name
  }

  var current: UInt8? { position < count ? unsafe bytes[position] : nil }

  func failure(_ what: String) -> Failure {
    var line = 1
    var column = 1
    for index in 0..<min(position, count) {
      if unsafe bytes[index] == 0x0A {
        line += 1
        column = 1
      } else {
        column += 1
      }
    }
    return .badData("\(name): line \(line), column \(column): not JSON: \(what)")
  }

  mutating func document() throws(Failure) -> JSON {
    let value = try self.value()
    skipSpace()
    if position < count { throw failure("expected the end, found more text") }
    return value
  }

  mutating func skipSpace() {
    while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  mutating func value() throws(Failure) -> JSON {
    skipSpace()
    guard let byte = current else { throw failure("expected a value, found the end") }
    switch byte {
    case UInt8(ascii: "{"): return try nested { p throws(Failure) in .object(try p.object()) }
    case UInt8(ascii: "["): return try nested { p throws(Failure) in .array(try p.array()) }
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), 0x30...0x39: return try number()
    default: throw failure("expected a value, found '\(Character(Unicode.Scalar(byte)))'")
    }
  }

  mutating func nested(_ body: (inout JSONParser) throws(Failure) -> JSON) throws(Failure) -> JSON {
    depth += 1
    if depth > 512 { throw failure("nested deeper than 512") }
    defer { depth -= 1 }
    return try body(&self)
  }

  mutating func word(_ word: StaticString, _ value: JSON) throws(Failure) -> JSON {
    let text = "\(word)"
    for expected in text.utf8 {
      guard current == expected else { throw failure("expected \(text)") }
      position += 1
    }
    return value
  }

  mutating func object() throws(Failure) -> JSON.Object {
    var object = JSON.Object()
    position += 1
    skipSpace()
    if current == UInt8(ascii: "}") {
      position += 1
      return object
    }
    while true {
      skipSpace()
      guard current == UInt8(ascii: "\"") else { throw failure("expected a key in quotes") }
      let key = try string()
      skipSpace()
      guard current == UInt8(ascii: ":") else { throw failure("expected ':' after the key \(key.debugDescription)") }
      position += 1
      let value = try self.value()
      if object[key] != nil { throw failure("the key \(key.debugDescription) stands twice") }
      object[key] = value
      skipSpace()
      switch current {
      case UInt8(ascii: ","): position += 1
      case UInt8(ascii: "}"):
        position += 1
        return object
      default: throw failure("expected ',' or '}' in an object")
      }
    }
  }

  mutating func array() throws(Failure) -> [JSON] {
    var array: [JSON] = []
    position += 1
    skipSpace()
    if current == UInt8(ascii: "]") {
      position += 1
      return array
    }
    while true {
      array.append(try value())
      skipSpace()
      switch current {
      case UInt8(ascii: ","): position += 1
      case UInt8(ascii: "]"):
        position += 1
        return array
      default: throw failure("expected ',' or ']' in an array")
      }
    }
  }

  mutating func string() throws(Failure) -> String {
    position += 1
    let start = position
    while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
    if current == UInt8(ascii: "\"") {
      let text = unsafe String(validating: bytes[start..<position], as: UTF8.self)
      guard let text else { throw failure("the string is not UTF-8") }
      position += 1
      return text
    }
    var content = unsafe Array(bytes[start..<position])
    while true {
      guard let byte = current else { throw failure("the string does not end") }
      position += 1
      if byte == UInt8(ascii: "\"") { break }
      if byte < 0x20 { throw failure("a control character in a string must be escaped") }
      if byte != UInt8(ascii: "\\") {
        content.append(byte)
        continue
      }
      guard let escape = current else { throw failure("the string does not end") }
      position += 1
      switch escape {
      case UInt8(ascii: "n"): content.append(0x0A)
      case UInt8(ascii: "t"): content.append(0x09)
      case UInt8(ascii: "r"): content.append(0x0D)
      case UInt8(ascii: "b"): content.append(0x08)
      case UInt8(ascii: "f"): content.append(0x0C)
      case UInt8(ascii: "u"): content.append(contentsOf: String(Character(try escapedScalar())).utf8)
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(escape)
      default: throw failure("unknown escape '\\\(Character(Unicode.Scalar(escape)))'")
      }
    }
    guard let text = String(validating: content, as: UTF8.self) else { throw failure("the string is not UTF-8") }
    return text
  }

  /// The scalar of a `\u` escape, joining a surrogate pair; a lone surrogate becomes U+FFFD.
  mutating func escapedScalar() throws(Failure) -> Unicode.Scalar {
    let first = try hexUnit()
    if let scalar = Unicode.Scalar(first) { return scalar }
    let isPair =
      first < 0xDC00 && position + 1 < count && current == UInt8(ascii: "\\")
      && (unsafe bytes[position + 1] == UInt8(ascii: "u"))
    if isPair {
      let mark = position
      position += 2
      let second = try hexUnit()
      if (0xDC00...0xDFFF).contains(second),
        let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
      {
        return scalar
      }
      position = mark
    }
    return "\u{FFFD}"
  }

  mutating func hexUnit() throws(Failure) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw failure("expected four hexadecimal digits after \\u")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  mutating func number() throws(Failure) -> JSON {
    let start = position
    var isWhole = true
    if current == UInt8(ascii: "-") { position += 1 }
    let digits = position
    while let byte = current, (0x30...0x39).contains(byte) { position += 1 }
    if position == digits { throw failure("expected a digit") }
    if position - digits > 1, unsafe bytes[digits] == 0x30 { throw failure("a number must not begin with 0") }
    if current == UInt8(ascii: ".") {
      isWhole = false
      position += 1
      let fraction = position
      while let byte = current, (0x30...0x39).contains(byte) { position += 1 }
      if position == fraction { throw failure("expected a digit after the point") }
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      isWhole = false
      position += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
      let exponent = position
      while let byte = current, (0x30...0x39).contains(byte) { position += 1 }
      if position == exponent { throw failure("expected a digit in the exponent") }
    }
    let text = unsafe String(decoding: bytes[start..<position], as: UTF8.self)
    // A whole number that fits has one form, but for the sign of zero.
    if isWhole, let integer = Int(text) { return text == "-0" ? .literal(text) : .integer(integer) }
    guard let double = Double(text) else { throw failure("cannot read the number \(text)") }
    let value = JSON.number(double)
    return value.text() == text ? value : .literal(text)
  }
}

extension JSON {
  /// The value as text: one line, or indented by two spaces. A number that is not finite becomes null.
  package func text(pretty: Bool = false) -> String {
    var output: [UInt8] = []
    write(to: &output, pretty: pretty, indent: 0)
    return String(decoding: output, as: UTF8.self)
  }

  private func write(to output: inout [UInt8], pretty: Bool, indent: Int) {
    switch self {
    case .null: output += Array("null".utf8)
    case .bool(let value): output += Array((value ? "true" : "false").utf8)
    case .integer(let value): output += Array(String(value).utf8)
    case .number(let value):
      if !value.isFinite {
        output += Array("null".utf8)
      } else if let whole = Int(exactly: value), whole.magnitude < 1 << 53, !(value == 0 && value.sign == .minus) {
        output += Array("\(whole).0".utf8)
      } else {
        output += Array("\(value)".utf8)
      }
    case .literal(let text):
      // Written as every other number, except for whole numbers and sizes that only the digits hold.
      if let value = Double(text), value.isFinite, text.utf8.contains(where: { [0x2E, 0x65, 0x45].contains($0) }) {
        JSON.number(value).write(to: &output, pretty: pretty, indent: indent)
      } else {
        output += Array(text.utf8)
      }
    case .string(let value): Self.append(value, to: &output)
    case .array(let values):
      let flat = !pretty || values.allSatisfy { if case .array = $0 { false } else { $0.object == nil } }
      Self.list(values, brackets: "[]", pretty: !flat, indent: indent, to: &output) { value, output in
        value.write(to: &output, pretty: pretty, indent: indent + 2)
      }
    case .object(let object):
      Self.list(object.keys, brackets: "{}", pretty: pretty, indent: indent, to: &output) { key, output in
        Self.append(key, to: &output)
        output += Array((pretty ? ": " : ":").utf8)
        object[key]!.write(to: &output, pretty: pretty, indent: indent + 2)
      }
    }
  }

  private static func list<T>(
    _ items: [T], brackets: String, pretty: Bool, indent: Int, to output: inout [UInt8],
    _ item: (T, inout [UInt8]) -> Void
  ) {
    output.append(brackets.utf8.first!)
    for (index, value) in items.enumerated() {
      if index > 0 { output += Array((pretty ? "," : ", ").utf8) }
      if pretty { output += [0x0A] + Array(repeating: 0x20, count: indent + 2) }
      item(value, &output)
    }
    if pretty, !items.isEmpty { output += [0x0A] + Array(repeating: 0x20, count: indent) }
    output.append(brackets.utf8.last!)
  }

  /// Appends a text as a JSON string, quoted and escaped.
  package static func append(_ text: String, to output: inout [UInt8]) {
    let hex = Array("0123456789abcdef".utf8)
    output.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""): output += [UInt8(ascii: "\\"), byte]
      case UInt8(ascii: "\\"): output += [UInt8(ascii: "\\"), byte]
      case 0x0A: output += Array("\\n".utf8)
      case 0x0D: output += Array("\\r".utf8)
      case 0x09: output += Array("\\t".utf8)
      case 0..<0x20, 0x7F: output += Array("\\u00".utf8) + [hex[Int(byte >> 4)], hex[Int(byte & 15)]]
      default: output.append(byte)
      }
    }
    output.append(UInt8(ascii: "\""))
  }
}
