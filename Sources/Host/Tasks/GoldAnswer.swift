/// What a gold answer must not hold.
package enum GoldAnswer {
  /// Commands whose first letters JSON reads as an escape where a backslash is missing: `"\frac"` is a form feed and `rac`.
  private static let lost: [(character: Unicode.Scalar, escape: Character, rests: [String])] = [
    ("\t", "t", [
      "ext", "extbf", "extit", "extrm", "extsf", "exttt", "extup", "extsc", "extnormal", "extstyle", "extdegree", "extdollar", "extpercent", "imes", "an", "anh",
      "heta", "frac", "au", "o", "riangle", "riangleq", "ilde", "herefore", "binom",
    ]),
    ("\n", "n", [
      "eq", "e", "u", "ot", "abla", "otin", "eg", "i", "mid", "parallel", "less", "leq", "geq", "earrow", "warrow", "subset", "subseteq", "cong", "sim",
    ]),
    ("\r", "r", [
      "ight", "ho", "angle", "m", "floor", "ceil", "oot", "brace", "brack", "ightarrow", "vert", "Vert", "group",
    ]),
  ]

  /// What is wrong with a gold answer that holds a control character, most likely since its file has one backslash too few; nil
  /// where it holds none. White space may be honest: a tab, line feed or return counts only in front of the rest of a command.
  package static func controlCharacter(in answer: String) -> String? {
    let scalars = Array(answer.unicodeScalars)
    for (index, scalar) in scalars.enumerated() {
      if scalar == "\u{FFFD}" { return "U+FFFD, which stands for what could not be decoded: half of a surrogate pair, or another encoding?" }
      let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
      guard isControl else { continue }
      var word = ""
      for next in scalars[(index + 1)...] {
        guard next.isASCII, next.properties.isAlphabetic else { break }
        word.unicodeScalars.append(next)
      }
      let name: String
      switch scalar {
      case "\u{8}": name = "a backspace (\\b)"
      case "\u{C}": name = "a form feed (\\f)"
      case "\t", "\n", "\r":
        guard let entry = lost.first(where: { $0.character == scalar }), entry.rests.contains(word) else { continue }
        name = entry.escape == "t" ? "a tab (\\t)" : entry.escape == "n" ? "a line feed (\\n)" : "a carriage return (\\r)"
      default:
        let code = String(scalar.value, radix: 16, uppercase: true)
        name = "the control character U+\(String(repeating: "0", count: 4 - min(4, code.count)))\(code)"
      }
      return "\(name)\(word.isEmpty ? "" : " before \"\(word.prefix(12))\""): one backslash too few? In JSON a backslash is written \\\\"
    }
    return nil
  }
}
