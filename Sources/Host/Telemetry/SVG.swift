import Support

/// Pieces of SVG text.
enum SVG {
  /// A coordinate to a hundredth of a pixel.
  static func number(_ value: Double) -> String { Format.trimmed(Format.fixed(value, 2)) }

  /// Text as XML takes it: markup escaped, characters that XML does not know left out.
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      case "\n", "\t": result += " "
      case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{FFFE}", "\u{FFFF}": continue
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// `anchor` is where the place lies on the text: `start`, `middle` or `end`.
  static func text(_ text: String, x: Double, y: Double, _ style: String, anchor: String = "start") -> String {
    let place = #"x="\#(number(x))" y="\#(number(y))""#
    return #"<text \#(place) class="\#(style)" text-anchor="\#(anchor)">\#(escaped(text))</text>"#
  }

  static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) -> String {
    #"<line x1="\#(number(x1))" y1="\#(number(y1))" x2="\#(number(x2))" y2="\#(number(y2))" class="\#(style)"/>"#
  }

  static func rectangle(x: Double, y: Double, width: Double, height: Double, radius: Double = 0, _ style: String)
    -> String
  {
    let size = #"width="\#(number(width))" height="\#(number(height))""#
    let corner = radius > 0 ? #" rx="\#(number(radius))""# : ""
    return #"<rect x="\#(number(x))" y="\#(number(y))" \#(size)\#(corner) class="\#(style)"/>"#
  }

  static func path(_ places: [(x: Double, y: Double)], closed: Bool = false, _ style: String) -> String {
    let steps = places.enumerated().map { "\($0 == 0 ? "M" : "L")\(number($1.x)) \(number($1.y))" }
    return #"<path d="\#(steps.joined())\#(closed ? "Z" : "")" class="\#(style)"/>"#
  }

  /// About how wide a text comes out in a sans-serif face of that size.
  static func width(_ text: String, size: Double) -> Double { Double(text.count) * size * 0.56 }
}
