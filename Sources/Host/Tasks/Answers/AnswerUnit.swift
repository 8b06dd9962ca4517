/// What a number counts or measures: powers of known units, or nouns, which do not count.
struct AnswerUnit: Sendable, Equatable {
  /// Canonical names with their powers; empty for nouns.
  private(set) var powers: [String: Int]

  /// A unit and none are the same answer, two units only if they are alike.
  ///
  /// The word `pounds` alone does not say whether it means weight or money: it agrees with either, while `lbs` and `£` differ.
  func agrees(with other: AnswerUnit) -> Bool {
    if powers.isEmpty || other.powers.isEmpty || powers == other.powers { return true }
    return ["lb", "sterling"].contains { powers == other.readingPound(as: $0).powers || other.powers == readingPound(as: $0).powers }
  }

  private func readingPound(as name: String) -> AnswerUnit {
    guard let power = powers["pound"], powers[name] == nil else { return self }
    var powers = powers
    powers["pound"] = nil
    powers[name] = power
    return AnswerUnit(powers: powers)
  }

  var text: String {
    powers.sorted { $0.key < $1.key }.map { $0.value == 1 ? $0.key : "\($0.key)^\($0.value)" }.joined(separator: "·")
  }

  static let none = AnswerUnit(powers: [:])

  init(powers: [String: Int]) { self.powers = powers.filter { $0.value != 0 } }

  static func of(_ name: String) -> AnswerUnit { AnswerUnit(powers: [name: 1]) }

  func times(_ other: AnswerUnit) -> AnswerUnit { AnswerUnit(powers: powers.merging(other.powers, uniquingKeysWith: +)) }

  /// Single letters that are units behind a space; glued to a number, letters are variables.
  static let spacedLetters: Set<String> = ["m", "g", "s", "h", "L", "l", "N", "J", "W", "V", "K", "C", "F"]

  static let signs: [String: String] = [
    "dollar": "dollar", "pounds": "sterling", "euro": "euro", "yen": "yen", "rupee": "rupee", "cent": "cent", "won": "won", "rouble": "rouble",
  ]

  /// By canonical name, all other ways to write it.
  private static let spellings: [String: String] = [
    "mm": "millimeter millimeters millimetre millimetres", "cm": "centimeter centimeters centimetre centimetres", "dm": "decimeter decimeters decimetre",
    "m": "meter meters metre metres", "km": "kilometer kilometers kilometre kilometres kms", "in": "inch inches", "ft": "foot feet", "yd": "yard yards yds",
    "mi": "mile miles", "nm": "nanometer nanometers", "g": "gram grams gramme grammes gm", "kg": "kilogram kilograms kilo kilos kgs", "mg": "milligram milligrams",
    "t": "ton tons tonne tonnes", "lb": "lbs", "pound": "pounds", "sterling": "gbp quid", "oz": "ounce ounces", "s": "second seconds sec secs", "ms": "millisecond milliseconds",
    "min": "minute minutes mins", "h": "hour hours hr hrs", "day": "days", "week": "weeks", "fortnight": "fortnights", "month": "months", "year": "years yr yrs", "decade": "decades",
    "century": "centuries", "L": "l liter liters litre litres", "mL": "ml milliliter milliliters millilitre millilitres", "gal": "gallon gallons", "qt": "quart quarts",
    "pint": "pints", "cup": "cups", "tbsp": "tablespoon tablespoons", "tsp": "teaspoon teaspoons", "dollar": "dollars usd bucks buck", "cent": "cents",
    "euro": "euros eur", "yen": "jpy", "rupee": "rupees rs inr", "yuan": "rmb cny", "won": "krw", "peso": "pesos", "degree": "degrees deg", "radian": "radians rad",
    "percent": "percentage", "mph": "", "kph": "kmh kmph", "acre": "acres", "hectare": "hectares ha", "N": "newton newtons", "J": "joule joules", "kJ": "kilojoule kilojoules",
    "W": "watt watts", "kW": "kilowatt kilowatts", "kWh": "", "Hz": "hertz", "V": "volt volts", "A": "amp amps ampere amperes", "Pa": "pascal pascals",
    "K": "kelvin", "C": "celsius", "F": "fahrenheit", "mol": "mole moles", "unit": "units", "byte": "bytes", "bit": "bits", "KB": "", "MB": "megabyte megabytes",
    "GB": "gigabyte gigabytes", "TB": "terabyte terabytes",
  ]

  private static let speeds: [String: [String: Int]] = ["mph": ["mi": 1, "h": -1], "kph": ["km": 1, "h": -1]]

  /// Codes of currency that stand in front: `USD 5`, `Rs. 50`.
  static func prefix(_ word: String) -> String? {
    ["USD": "dollar", "EUR": "euro", "GBP": "sterling", "JPY": "yen", "INR": "rupee", "CNY": "yuan", "RMB": "yuan", "Rs": "rupee"][word]
  }

  private static let names: [String: String] = {
    var table: [String: String] = [:]
    for (name, others) in spellings {
      table[name] = name
      for other in others.split(separator: " ") { table[String(other)] = name }
    }
    return table
  }()

  private static func name(_ word: String) -> String? {
    // `unit` says nothing: 25 square units are 25.
    names[word] ?? (word.utf8.count > 2 ? names[word.lowercased()] : nil)
  }

  /// Reads what stands behind a number: `cm`, `square feet`, `km/h`, `cm^2`, `miles per hour`, `apples`, `\%`, `a day`; nil where it
  /// is anything else, such as a word that changes the value.
  ///
  /// - Parameter hasUnit: whether a unit stands before, as the sign of a currency: `\$72 per day`.
  static func read(_ tokens: ArraySlice<AnswerToken>, hasUnit: Bool = false) -> AnswerUnit? {
    var unit = AnswerUnit.none
    var index = tokens.startIndex
    var direction = 1
    var dimension: Int?
    var isNoun = false
    var hasWord = hasUnit
    while index < tokens.endIndex {
      let token = tokens[index]
      index += 1
      switch token.kind {
      case .symbol("%"), .command("percent"):
        unit = unit.times(.of("percent"))
        hasWord = true
      case .command("degree"): unit = unit.times(.of("degree"))
      case .command(let name):
        if let sign = signs[name] {
          unit = unit.times(.of(sign))
        } else if name == "cdot" {
          guard hasWord else { return nil }
        } else {
          return nil
        }
      case .symbol("/"):
        guard hasWord else { return nil }
        direction = -1
      case .symbol("*"), .symbol("-"):
        guard hasWord else { return nil }
      case .symbol("."):
        guard hasWord else { return nil }
      case .symbol("("), .symbol(")"):
        return nil
      case .word(let word):
        let lower = word.lowercased()
        if !word.unicodeScalars.allSatisfy(\.isASCII) {
          guard isCountWord(word) else { return nil }
          hasWord = true
          continue
        }
        guard token.isText || token.space != .none || hasWord else { return nil }
        if lower == "per", index < tokens.endIndex, tokens[index].word?.lowercased() == "cent" {
          unit = unit.times(.of("percent"))
          hasWord = true
          index += 1
          continue
        }
        if lower == "per" {
          guard hasWord else { return nil }
          direction = -1
          continue
        }
        if lower == "percent" || lower == "percentage" || lower == "points" || lower == "point" {
          if lower.hasPrefix("percent") { unit = unit.times(.of("percent")) }
          hasWord = true
          continue
        }
        if ["square", "sq", "cubic", "cu"].contains(lower) {
          dimension = lower.hasPrefix("s") ? 2 : 3
          hasWord = true
          continue
        }
        if let name = name(word), !isNoun {
          var power = 1
          if index < tokens.endIndex, tokens[index].isSymbol("^") {
            guard let (exponent, end) = exponent(tokens, from: index + 1) else { return nil }
            power = exponent
            index = end
          }
          if let square = dimension { power = square }
          dimension = nil
          if let parts = speeds[name] {
            guard power == 1, direction == 1 else { return nil }
            unit = unit.times(AnswerUnit(powers: parts))
          } else if name != "unit" {
            unit = unit.times(AnswerUnit(powers: [name: power * direction]))
          }
          hasWord = true
          direction = 1
          continue
        }
        guard !AnswerWords.changesValue(lower) else { return nil }
        let isJoining = AnswerWords.joining.contains(lower)
        guard isJoining || word.utf8.count > 1 else { return nil }
        if lower == "of", !hasWord { return nil }
        isNoun = true
        hasWord = true
      default: return nil
      }
    }
    if let last = tokens.last?.word, AnswerWords.leading.contains(last), names[last] == nil { return nil }
    // `5 square` has no unit that it squares.
    return dimension == nil ? unit : nil
  }

  /// A word without ASCII letters that counts things, as Chinese has them behind a number; those of a value do not.
  private static func isCountWord(_ word: String) -> Bool {
    // Han, kana and Hangul; of other scripts no words of value are known here, so their words make it text.
    let ranges: [ClosedRange<UInt32>] = [0x3041...0x30FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xAC00...0xD7A3]
    let values = "十百千万亿億萬半倍分零一二三四五六七八九两〇点點兆京垓打双雙对對成折番乘負负余餘以上下前后後多少几幾만억조천백십반배".unicodeScalars
    guard !word.hasSuffix("平方"), !word.hasSuffix("立方") else { return false }
    return word.unicodeScalars.allSatisfy { scalar in ranges.contains { $0.contains(scalar.value) } && !values.contains(scalar) }
  }

  private static func exponent(_ tokens: ArraySlice<AnswerToken>, from start: Int) -> (Int, Int)? {
    var index = start
    let hasBrace = index < tokens.endIndex && tokens[index].isSymbol("{")
    if hasBrace { index += 1 }
    var sign = 1
    if index < tokens.endIndex, tokens[index].isSymbol("-") {
      sign = -1
      index += 1
    }
    guard index < tokens.endIndex, let digit = tokens[index].digit else { return nil }
    index += 1
    if hasBrace {
      guard index < tokens.endIndex, tokens[index].isSymbol("}") else { return nil }
      index += 1
    }
    return (sign * Int(digit), index)
  }
}
