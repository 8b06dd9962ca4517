/// Text from files, plugins and models as a terminal may show it: on one line, with nothing that a terminal takes for a command.
package enum OneLine {
  /// Control characters, line ends and marks that turn the direction of text are written as `\n`, `\t`, `\u{1b}`.
  package static func text(_ text: String) -> String { escaped(text, keepingLines: false) }

  /// The same with line feeds and tabs as they are, for text that is shown over several lines.
  package static func lines(_ text: String) -> String { escaped(text, keepingLines: true) }

  /// The first line of a text of several, on one line.
  package static func first(of text: String) -> String { self.text(String(text.split(separator: "\n").first ?? "")) }

  private static func escaped(_ text: String, keepingLines: Bool) -> String {
    guard text.unicodeScalars.contains(where: isUnsafe) else { return text }
    var output = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      if !isUnsafe(scalar) || keepingLines && (scalar == "\n" || scalar == "\t") {
        output.append(scalar)
        continue
      }
      switch scalar {
      case "\n": output.append(contentsOf: "\\n".unicodeScalars)
      case "\t": output.append(contentsOf: "\\t".unicodeScalars)
      case "\r": output.append(contentsOf: "\\r".unicodeScalars)
      default: output.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".unicodeScalars)
      }
    }
    return String(output)
  }

  private static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F...0x9F, 0x2028, 0x2029: true
    // Marks of direction and their overrides.
    case 0x061C, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: true
    case 0xFFF9...0xFFFB, 0xE0000...0xE007F: true
    default: false
    }
  }
}

extension String {
  /// Without white space at both ends.
  package var trimmed: String {
    let scalars = unicodeScalars
    guard let first = scalars.firstIndex(where: { !$0.properties.isWhitespace }), let last = scalars.lastIndex(where: { !$0.properties.isWhitespace })
    else { return "" }
    return String(scalars[first...last])
  }
}
