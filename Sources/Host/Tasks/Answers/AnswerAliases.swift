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
      if let (above, below) = fractions[scalar] {
        output += "\\frac{\(above)}{\(below)}".unicodeScalars
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

  private static let superscripts = ScriptTable(mark: "^", characters: characters("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "0123456789+-=()ni"))
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
      "∞": "\\infty ", "√": "\\sqrt ", "∛": "\\sqrt[3]", "∜": "\\sqrt[4]", "×": "\\cdot ", "·": "\\cdot ", "⋅": "\\cdot ",
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
      "﹣": "-", "➖": "-", "➕": "+", "ϕ": "\\phi ", "ϵ": "\\epsilon ", "ϑ": "\\theta ", "µ": "\\mu ", "∆": "\\Delta ", "ℓ": "\\ell ",
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
    "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "mathstrut", "strut", "rm", "bf", "it", "tt", "sf", "cal", "boldmath",
    "tiny", "small", "normalsize", "large", "Large", "centering", "hfill", "noindent", "mathopen", "mathclose", "mathbin", "mathrel",
  ]

  static let spaces: Set<String> = ["quad", "qquad", "enspace", "thinspace", "medspace", "thickspace", "hspace", "space", "nobreakspace"]

  /// Type faces with an argument; true where what is in it is words rather than variables.
  static let faces: [String: Bool] = [
    "text": true, "textbf": true, "textit": true, "textrm": true, "textsf": true, "texttt": true, "textnormal": true, "textup": true,
    "textsc": true, "mbox": true, "hbox": true, "mathrm": true, "mathsf": true, "mathtt": true, "operatorname": true, "mathbf": false,
    "mathit": false, "boldsymbol": false, "bm": false, "pmb": false, "emph": true, "underline": false, "boxed": false, "fbox": false,
    "mathnormal": false, "displaymath": false, "ensuremath": false, "phantom": false, "color": false, "bold": false, "unit": true, "si": true,
  ]

  /// Alphabets whose letters are other symbols.
  static let alphabets: Set<String> = ["mathbb", "mathcal", "mathfrak", "mathscr", "Bbb"]
}
