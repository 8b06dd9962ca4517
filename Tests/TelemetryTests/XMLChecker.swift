/// Just enough of XML 1.0 to tell a well-formed document from another: tags that nest and close, attributes in quotes and
/// once each, the five entities and numeric references, no forbidden character.
struct XMLChecker {
  /// What is wrong; nil for a well-formed document.
  private(set) var problem: String?
  /// Each element's name with its attributes, in document order.
  private(set) var elements: [(name: String, attributes: [String: String])] = []
  /// The character data, piece by piece.
  private(set) var texts: [String] = []

  init(_ document: String) {
    var rest = Substring(document)
    var open: [String] = []
    while !rest.isEmpty, problem == nil {
      let text = rest.prefix { $0 != "<" }
      rest.removeFirst(text.count)
      if let wrong = Self.wrongText(text) { problem = wrong }
      if !text.allSatisfy(\.isWhitespace) {
        texts.append(String(text))
        if open.isEmpty { problem = "text outside the root: \(text)" }
      }
      guard !rest.isEmpty else { break }
      guard let end = rest.firstIndex(of: ">") else {
        problem = "a tag does not end"
        break
      }
      let tag = rest[rest.index(after: rest.startIndex)..<end]
      rest = rest[rest.index(after: end)...]
      if tag.hasPrefix("/") {
        if open.popLast() != String(tag.dropFirst()) { problem = "</\(tag.dropFirst())> closes another element" }
      } else {
        if open.isEmpty, !elements.isEmpty { problem = "a second root: \(tag)" }
        let isClosed = tag.hasSuffix("/")
        guard let name = read(isClosed ? tag.dropLast() : tag) else { break }
        if !isClosed { open.append(name) }
      }
    }
    if problem == nil, !open.isEmpty { problem = "\(open) do not close" }
    if problem == nil, elements.isEmpty { problem = "no element" }
  }

  /// Reads a start tag; nil and a problem where it is malformed.
  private mutating func read(_ tag: Substring) -> String? {
    let name = tag.prefix { $0.isLetter }
    var rest = tag.dropFirst(name.count)
    var attributes: [String: String] = [:]
    while true {
      let space = rest.prefix { $0 == " " }
      rest = rest.dropFirst(space.count)
      if rest.isEmpty { break }
      let key = rest.prefix { $0.isLetter || $0.isNumber || $0 == "-" }
      rest = rest.dropFirst(key.count)
      guard !space.isEmpty, !key.isEmpty, rest.hasPrefix("=\"") else {
        problem = "malformed attribute in <\(tag)>"
        return nil
      }
      rest = rest.dropFirst(2)
      let value = rest.prefix { $0 != "\"" }
      rest = rest.dropFirst(value.count)
      guard rest.hasPrefix("\""), Self.wrongText(value) == nil, attributes[String(key)] == nil else {
        problem = "malformed or repeated \(key) in <\(tag)>"
        return nil
      }
      rest = rest.dropFirst()
      attributes[String(key)] = String(value)
    }
    if name.isEmpty { problem = "malformed tag <\(tag)>" }
    elements.append((String(name), attributes))
    return name.isEmpty ? nil : String(name)
  }

  private static func wrongText(_ text: Substring) -> String? {
    for scalar in text.unicodeScalars {
      let isForbidden = scalar.value < 0x20 && scalar != "\n" && scalar != "\t"
      if isForbidden || scalar == "\u{FFFE}" || scalar == "\u{FFFF}" { return "a forbidden character in: \(text)" }
    }
    for piece in text.split(separator: "&", omittingEmptySubsequences: false).dropFirst() {
      let entity = piece.prefix { $0 != ";" }
      let isNumeric = entity.hasPrefix("#") && Int(entity.dropFirst()) != nil
      if entity.count == piece.count || !(isNumeric || ["amp", "lt", "gt", "quot", "apos"].contains(entity)) {
        return "a bare & in: \(text)"
      }
    }
    return nil
  }
}
