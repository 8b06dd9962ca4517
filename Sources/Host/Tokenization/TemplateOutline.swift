/// What a Jinja template says, whatever its layout: comments, white space that is not written, kinds of quotes, `a['b']` for `a.b`
/// and sums of strings do not count.
///
/// Two templates of one outline write the same prompts. There is no engine here that could say so of two outlines.
struct TemplateOutline: Sendable, Equatable {
  /// Names, operators, strings with `'` in front, and the tags around them. The system's default text is left open in them.
  private(set) var parts: [String] = []
  /// The text that the template gives to a ChatML system's turn of its own.
  private(set) var system: String?

  /// nil where a tag or a string has no end.
  init?(_ template: String) {
    var reader = Reader(template)
    guard reader.read() else { return nil }
    parts = Self.joined(reader.parts)
    takeOutSystem()
  }

  private mutating func takeOutSystem() {
    let (head, tail) = ("'" + TurnMarkers.chatML.head("system"), TurnMarkers.chatML.end + TurnMarkers.chatML.afterEnd)
    guard let turn = parts.first(where: { $0.hasPrefix(head) && $0.hasSuffix(tail) && $0.utf8.count > head.utf8.count + tail.utf8.count })
    else { return }
    let text = String(turn.dropFirst(head.count).dropLast(tail.count))
    system = text
    parts = parts.map { $0 == turn ? "\(head)\0\(tail)" : $0 == "'\(text)" ? "'\0" : $0 }
  }

  /// Strings that are added are one, and `a['b']` is `a.b`.
  private static func joined(_ parts: [String]) -> [String] {
    var output: [String] = []
    for (index, part) in parts.enumerated() {
      if part == "]", output.count >= 3, output[output.count - 2] == "[", isName(output[output.count - 1].dropFirst()),
        output[output.count - 1].hasPrefix("'"), output[output.count - 3] == "]" || isName(output[output.count - 3][...])
      {
        let name = String(output.removeLast().dropFirst())
        output[output.count - 1] = "."
        output.append(name)
      } else if part.hasPrefix("'"), output.count >= 2, output.last == "+", output[output.count - 2].hasPrefix("'"),
        index + 1 == parts.count || parts[index + 1] != "|"
      {
        output.removeLast()
        output[output.count - 1] += part.dropFirst()
      } else {
        output.append(part)
      }
    }
    return output
  }

  private static func isName(_ text: Substring) -> Bool { !text.isEmpty && text.utf8.allSatisfy(isNameByte) }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == UInt8(ascii: "_")
  }

  /// Reads a template as `transformers` has Jinja read it, with `trim_blocks` and `lstrip_blocks`.
  private struct Reader {
    let bytes: [UInt8]
    var place = 0
    var parts: [String] = []

    init(_ template: String) { bytes = Array(template.utf8) }

    /// What a tag takes of the text behind it.
    private enum Taking { case nothing, oneLineFeed, space }

    mutating func read() -> Bool {
      var taking = Taking.nothing
      var text: [UInt8] = []
      var isLineStart = true
      while place < bytes.count {
        guard bytes[place] == UInt8(ascii: "{"), place + 1 < bytes.count, "{%#".utf8.contains(bytes[place + 1]) else {
          text.append(bytes[place])
          place += 1
          continue
        }
        let kind = bytes[place + 1]
        place += 2
        let sign = place < bytes.count ? bytes[place] : 0
        if sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { place += 1 }
        take(taking, &text, &isLineStart)
        if sign == UInt8(ascii: "-") {
          while text.last.map(Self.isSpace) ?? false { text.removeLast() }
        } else if kind != UInt8(ascii: "{"), sign != UInt8(ascii: "+") {
          let line = text.lastIndex(of: 0x0A).map { $0 + 1 } ?? (isLineStart ? 0 : text.count)
          if text[line...].allSatisfy(Self.isSpace) { text.removeSubrange(line...) }
        }
        write(text)
        text = []
        isLineStart = false
        guard let end = kind == UInt8(ascii: "#") ? comment() : tag(kind) else { return false }
        taking = end == UInt8(ascii: "-") ? .space : kind == UInt8(ascii: "{") ? .nothing : .oneLineFeed
      }
      take(taking, &text, &isLineStart)
      // Jinja drops one line feed at the very end.
      if text.last == 0x0A { text.removeLast() }
      write(text)
      return true
    }

    private func take(_ taking: Taking, _ text: inout [UInt8], _ isLineStart: inout Bool) {
      switch taking {
      case .nothing: break
      case .oneLineFeed:
        if text.first == 0x0A {
          text.removeFirst()
          isLineStart = true
        }
      case .space:
        let rest = text.drop(while: Self.isSpace)
        isLineStart = text[..<rest.startIndex].last == 0x0A
        text = Array(rest)
      }
    }

    private mutating func write(_ text: [UInt8]) {
      if text.isEmpty { return }
      parts += ["{{", "'" + String(decoding: text, as: UTF8.self), "}}"]
    }

    /// Passes over a comment; the sign before its end, or nil without an end.
    private mutating func comment() -> UInt8? {
      while place + 1 < bytes.count {
        if bytes[place] == UInt8(ascii: "#"), bytes[place + 1] == UInt8(ascii: "}") {
          place += 2
          return bytes[place - 3]
        }
        place += 1
      }
      return nil
    }

    /// Reads what stands in a tag; the sign before its end, or nil without an end.
    private mutating func tag(_ kind: UInt8) -> UInt8? {
      let close = kind == UInt8(ascii: "{") ? UInt8(ascii: "}") : UInt8(ascii: "%")
      parts.append(kind == UInt8(ascii: "{") ? "{{" : "{%")
      while place < bytes.count {
        let byte = bytes[place]
        let sign = byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+")
        let start = sign ? place + 1 : place
        if start + 1 < bytes.count, bytes[start] == close, bytes[start + 1] == UInt8(ascii: "}") {
          parts.append(kind == UInt8(ascii: "{") ? "}}" : "%}")
          place = start + 2
          return sign ? byte : UInt8(ascii: " ")
        }
        if Self.isSpace(byte) {
          place += 1
        } else if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
          guard let text = string(byte) else { return nil }
          parts.append("'" + text)
        } else {
          let rest = bytes[place...]
          let name = rest.prefix(while: TemplateOutline.isNameByte)
          let length = max(1, name.count)
          parts.append(String(decoding: rest.prefix(length), as: UTF8.self))
          place += length
        }
      }
      return nil
    }

    private mutating func string(_ quote: UInt8) -> String? {
      var text: [UInt8] = []
      place += 1
      while place < bytes.count, bytes[place] != quote {
        if bytes[place] == UInt8(ascii: "\\"), place + 1 < bytes.count {
          place += 1
          switch bytes[place] {
          case UInt8(ascii: "n"): text.append(0x0A)
          case UInt8(ascii: "t"): text.append(0x09)
          case UInt8(ascii: "r"): text.append(0x0D)
          case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): text.append(bytes[place])
          // Others are rare; as they are written they at least equal themselves.
          default: text += [UInt8(ascii: "\\"), bytes[place]]
          }
        } else {
          text.append(bytes[place])
        }
        place += 1
      }
      guard place < bytes.count else { return nil }
      place += 1
      return String(decoding: text, as: UTF8.self)
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
  }
}
