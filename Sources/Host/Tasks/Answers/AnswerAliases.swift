/// One table from the ways an answer is typed to one canonical name: Unicode signs become the LaTeX they stand for, commands
/// with the same meaning become one command.
enum AnswerAliases {
  /// The text with every sign of Unicode that has a LaTeX form replaced by it; runs of super- and subscripts become one.
  static func latex(_ text: String) -> [Unicode.Scalar] {
    var output: [Unicode.Scalar] = []
    let scalars = Array(text.unicodeScalars)
    output.reserveCapacity(scalars.count)
    var index = 0
    while index < scalars.count {
      let scalar = scalars[index]
      if scalar.value < 0x80 {
        output.append(scalar)
        index += 1
        continue
      }
      if let run = run(scalars, from: index, superscripts) ?? run(scalars, from: index, subscripts) {
        output += run.mark.unicodeScalars
        index = run.end
        continue
      }
      if let root = roots[scalar] {
        // Of a typed root sign the whole number behind it is the radicand: `√16` is 4. In LaTeX `\sqrt16` takes the 1 alone.
        output += root.unicodeScalars
        index += 1
        while index < scalars.count, scalars[index] == " " { index += 1 }
        let start = index
        while index < scalars.count, digit(scalars[index]) != nil { index += 1 }
        if index > start {
          let point: Unicode.Scalar = "."
          if index + 1 < scalars.count, scalars[index] == point, digit(scalars[index + 1]) != nil {
            index += 1
            while index < scalars.count, digit(scalars[index]) != nil { index += 1 }
          }
          output.append("{")
          output += scalars[start..<index].map { digit($0) ?? $0 }
          output.append("}")
        }
        continue
      }
      if let (above, below) = fractions[scalar] {
        output += "\\frac{\(above)}{\(below)}".unicodeScalars
      } else if let digit = digit(scalar) {
        output.append(digit)
      } else if let letter = plainLetter(scalar) {
        output += (commands[letter].map { Array($0.unicodeScalars) } ?? [letter])
      } else if let command = commands[scalar] {
        output += command.unicodeScalars
      } else if (0xFF01...0xFF5E).contains(scalar.value), let ascii = Unicode.Scalar(scalar.value - 0xFEE0) {
        output.append(ascii)
      } else if scalar.properties.isWhitespace {
        output += (thinSpaces.contains(scalar.value) ? "\\," : " ").unicodeScalars
      } else if !invisible.contains(scalar.value) {
        output.append(scalar)
      }
      index += 1
    }
    return output
  }

  /// The ASCII digit that a decimal digit of any script or type face stands for.
  private static func digit(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
    if ("0"..."9").contains(scalar) { return scalar }
    guard scalar.value >= 0x80, scalar.properties.numericType == .decimal, let value = scalar.properties.numericValue else { return nil }
    return Unicode.Scalar(0x30 + UInt32(value))
  }

  /// The plain letter of a mathematical type face: `𝑥` is x, `𝜋` is π (Unicode, block "Mathematical Alphanumeric Symbols").
  private static func plainLetter(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
    switch scalar.value {
    case 0x1D400...0x1D6A3:
      let place = (scalar.value - 0x1D400) % 52
      return Unicode.Scalar(place < 26 ? 0x41 + place : 0x61 + place - 26)
    case 0x1D6A8...0x1D7C9:
      let place = (scalar.value - 0x1D6A8) % 58
      // Capitals, ∇, small letters, and six variant forms.
      if place < 25 { return Unicode.Scalar(0x391 + place) }
      if (26..<51).contains(place) { return Unicode.Scalar(0x3B1 + place - 26) }
      let variants: [UInt32: Unicode.Scalar] = [25: "∇", 51: "∂", 52: "ϵ", 53: "ϑ", 54: "κ", 55: "ϕ", 56: "ρ", 57: "π"]
      return variants[place]
    case 0x210E: return "h"
    default: return nil
    }
  }

  private static let roots: [Unicode.Scalar: String] = ["√": "\\sqrt ", "∛": "\\sqrt[3]", "∜": "\\sqrt[4]"]

  private struct ScriptTable {
    let mark: String
    let characters: [Unicode.Scalar: Character]
  }

  private static func run(
    _ scalars: [Unicode.Scalar], from start: Int, _ table: ScriptTable
  ) -> (mark: String, end: Int)? {
    var inner = ""
    var end = start
    while end < scalars.count, let character = table.characters[scalars[end]] {
      inner.append(character)
      end += 1
    }
    return end == start ? nil : ("\(table.mark){\(inner)}", end)
  }

  private static func characters(_ from: String, _ to: String) -> [Unicode.Scalar: Character] {
    Dictionary(zip(from.unicodeScalars, to), uniquingKeysWith: { first, _ in first })
  }

  private static let superscripts = ScriptTable(mark: "^", characters: characters("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵗʰˢᵈʳˣʸ", "0123456789+-=()nithsdrxy"))
  private static let subscripts = ScriptTable(
    mark: "_", characters: characters("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₒₓₖₙₘₚₛₜᵢⱼ", "0123456789+-=()aeoxknmpstij"))

  private static let fractions: [Unicode.Scalar: (Int, Int)] = [
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5), "⅘": (4, 5),
    "⅙": (1, 6), "⅚": (5, 6), "⅐": (1, 7), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8), "⅑": (1, 9), "⅒": (1, 10),
  ]

  private static let thinSpaces: Set<UInt32> = [0xA0, 0x2007, 0x2008, 0x2009, 0x200A, 0x202F, 0x2060]
  private static let invisible: Set<UInt32> = [0xFEFF, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x00AD, 0x2061, 0x2062, 0x2063, 0xFE0E, 0xFE0F]

  private static let commands: [Unicode.Scalar: String] = {
    var table: [Unicode.Scalar: String] = [
      "∞": "\\infty ", "×": "\\cdot ", "·": "\\cdot ", "⋅": "\\cdot ",
      "∙": "\\cdot ", "•": "\\cdot ", "∗": "\\cdot ", "⨯": "\\cdot ", "✕": "\\cdot ", "÷": "/", "∕": "/", "⁄": "/", "≤": "\\le ",
      "⩽": "\\le ", "≦": "\\le ", "≥": "\\ge ", "⩾": "\\ge ", "≧": "\\ge ", "≠": "\\ne ", "≈": "\\approx ", "≅": "\\cong ",
      "≡": "\\equiv ", "∼": "\\sim ", "∝": "\\propto ", "∈": "\\in ", "∉": "\\notin ", "⊂": "\\subset ", "⊆": "\\subseteq ",
      "∪": "\\cup ", "∩": "\\cap ", "∖": "\\setminus ", "∅": "\\emptyset ", "⌀": "\\emptyset ", "ℝ": "\\mathbb{R}",
      "ℤ": "\\mathbb{Z}", "ℚ": "\\mathbb{Q}", "ℕ": "\\mathbb{N}", "ℂ": "\\mathbb{C}", "±": "\\pm ", "∓": "\\mp ",
      "°": "\\degree ", "º": "\\degree ", "˚": "\\degree ", "℃": "\\degree \\text{C}", "℉": "\\degree \\text{F}", "′": "'",
      "″": "''", "’": "'", "‘": "'", "“": "\"", "”": "\"", "…": "\\ldots ", "⋯": "\\ldots ", "→": "\\to ", "⇒": "\\Rightarrow ",
      "∠": "\\angle ", "△": "\\triangle ", "⊥": "\\perp ", "∥": "\\parallel ", "∧": "\\land ", "∨": "\\lor ", "¬": "\\neg ",
      "⌊": "\\lfloor ", "⌋": "\\rfloor ", "⌈": "\\lceil ", "⌉": "\\rceil ", "⟨": "\\langle ", "⟩": "\\rangle ", "〈": "\\langle ",
      "〉": "\\rangle ", "∣": "|", "，": ",", "、": ",", "；": ";", "。": ".", "：": ":", "【": "[", "】": "]", "〔": "(", "〕": ")",
      "₤": "\\pounds ", "£": "\\pounds ", "€": "\\euro ", "¥": "\\yen ", "￥": "\\yen ", "₹": "\\rupee ", "¢": "\\cent ",
      "￡": "\\pounds ", "₩": "\\won ", "₽": "\\rouble ", "−": "-", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-",
      "﹣": "-", "﹪": "%", "〖": "[", "〗": "]", "➖": "-", "➕": "+", "ϕ": "\\phi ", "ϵ": "\\epsilon ", "ϑ": "\\theta ", "µ": "\\mu ", "∆": "\\Delta ", "ℓ": "\\ell ",
    ]
    let lower = [
      "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
      "omicron", "pi", "rho", "", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
    ]
    for (offset, name) in lower.enumerated() where !name.isEmpty {
      if let small = Unicode.Scalar(UInt32(0x3B1 + offset)) { table[small] = "\\\(name) " }
      if let capital = Unicode.Scalar(UInt32(0x391 + offset)) {
        table[capital] = "\\\(name.prefix(1).uppercased())\(name.dropFirst()) "
      }
    }
    table["ς"] = "\\sigma "
    return table
  }()

  /// Commands that mean what another does.
  static let command: [String: String] = [
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "sfrac": "frac", "nicefrac": "frac", "leq": "le", "leqslant": "le", "geq": "ge",
    "geqslant": "ge", "neq": "ne", "lt": "<", "gt": ">", "varnothing": "emptyset", "dbinom": "binom", "tbinom": "binom",
    "times": "cdot", "ast": "cdot", "div": "/", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "lbrack": "[", "rbrack": "]",
    "lbrace": "{", "rbrace": "}", "lparen": "(", "rparen": ")", "infin": "infty", "dots": "ldots", "cdots": "ldots", "dotsc": "ldots",
    "rightarrow": "to", "implies": "Rightarrow", "land": "and", "wedge": "and", "lor": "or", "vee": "or", "varphi": "phi",
    "varepsilon": "epsilon", "vartheta": "theta", "isin": "in", "union": "cup", "textdegree": "degree", "textdollar": "dollar",
    "textpercent": "percent", "backslash": "setminus", "Vert": "||", "lVert": "||", "rVert": "||", "sen": "sin",
    "tg": "tan", "ctg": "cot", "arctg": "arctan", "R": "reals", "dag": "dagger", "centerdot": "cdot", "bullet": "cdot",
    "EUR": "euro", "textsterling": "pounds", "texteuro": "euro", "textyen": "yen",
  ]

  /// Commands that say how something looks, not what it is.
  static let ignored: Set<String> = [
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "Biggl", "Biggr", "bigm", "middle",
    "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "mathstrut", "strut", "boldmath",
    "tiny", "small", "normalsize", "large", "Large", "centering", "hfill", "noindent", "mathopen", "mathclose", "mathbin", "mathrel",
  ]

  static let spaces: Set<String> = ["quad", "qquad", "enspace", "thinspace", "medspace", "thickspace", "space", "nobreakspace"]

  /// Type faces with an argument; true where what is in it is words rather than variables.
  static let faces: [String: Bool] = [
    "text": true, "textbf": true, "textit": true, "textrm": true, "textsf": true, "texttt": true, "textnormal": true, "textup": true,
    "textsc": true, "mbox": true, "hbox": true, "mathrm": true, "mathsf": true, "mathtt": true, "operatorname": true, "mathbf": false,
    "mathit": false, "boldsymbol": false, "bm": false, "pmb": false, "emph": true, "underline": false, "boxed": false, "fbox": false,
    "mathnormal": false, "displaymath": false, "ensuremath": false, "bold": false, "unit": true, "si": true,
  ]

  /// Type faces that hold until their group ends, `{\rm cm}`; true where what follows is words.
  static let switches: [String: Bool] = ["rm": true, "tt": true, "sf": true, "bf": false, "it": false, "cal": false, "em": true]

  /// Commands whose argument is not seen or only says how what follows looks.
  static let dropped: Set<String> = [
    "phantom", "hphantom", "vphantom", "color", "textcolor", "colorbox", "hspace", "vspace", "label", "tag", "bigskip", "raisebox", "scalebox",
  ]

  /// Alphabets whose letters are other symbols.
  static let alphabets: Set<String> = ["mathbb", "mathcal", "mathfrak", "mathscr", "Bbb"]
}
