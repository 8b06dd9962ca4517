/// The closed classes of English words that stand for a value or change one.
enum AnswerWords {
  private static let small = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen",
    "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
  ]
  private static let tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]

  private static let cardinals: [String: Int] = {
    var table: [String: Int] = [:]
    for (value, word) in small.enumerated() { table[word] = value }
    for (place, word) in tens.enumerated() { table[word] = (place + 2) * 10 }
    return table
  }()

  /// After a number they multiply it.
  static let multipliers: [String: Rational] = {
    func power(_ exponent: Int) -> Rational { Rational(10).power(exponent) ?? .one }
    return [
      "hundred": power(2), "hundreds": power(2), "thousand": power(3), "thousands": power(3), "lakh": power(5), "lakhs": power(5),
      "million": power(6), "millions": power(6), "crore": power(7), "crores": power(7), "billion": power(9), "billions": power(9),
      "trillion": power(12), "trillions": power(12), "quadrillion": power(15), "quadrillions": power(15), "quintillion": power(18),
      "quintillions": power(18), "sextillion": power(21), "septillion": power(24), "octillion": power(27), "nonillion": power(30),
      "decillion": power(33), "milliard": power(9), "lac": power(5), "lacs": power(5), "googol": power(100), "tens": power(1), "dozen": Rational(12), "dozens": Rational(12), "score": Rational(20), "gross": Rational(144),
    ]
  }()

  /// After a number they divide it: seven eighths.
  static let parts: [String: Int] = {
    var table = [
      "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4, "fifth": 5, "fifths": 5,
      "sixth": 6, "sixths": 6, "seventh": 7, "sevenths": 7, "eighth": 8, "eighths": 8, "ninth": 9, "ninths": 9, "tenth": 10, "tenths": 10,
      "eleventh": 11, "elevenths": 11, "twelfth": 12, "twelfths": 12, "thirteenths": 13, "fourteenths": 14, "fifteenth": 15, "fifteenths": 15,
      "sixteenth": 16, "sixteenths": 16, "twentieth": 20, "twentieths": 20, "hundredth": 100, "hundredths": 100, "thousandth": 1000,
      "thousandths": 1000, "millionth": 1_000_000, "millionths": 1_000_000,
    ]
    for (value, word) in small.enumerated() where value >= 13 { (table["\(word)th"], table["\(word)ths"]) = (value, value) }
    for (place, word) in tens.enumerated() {
      let stem = "\(word.dropLast())ieth"
      (table[stem], table["\(stem)s"]) = ((place + 2) * 10, (place + 2) * 10)
    }
    for (word, value) in [("billionth", 1_000_000_000), ("trillionth", 1_000_000_000_000)] { (table[word], table["\(word)s"]) = (value, value) }
    return table
  }()

  /// After a number they raise it.
  static let powers = ["squared": 2, "cubed": 3]

  /// With one of these an answer is a statement, not a number with a noun.
  static let statements: Set<String> = [
    "below", "above", "under", "over", "less", "more", "fewer", "greater", "than", "least", "most", "between", "from", "to", "through", "until", "out",
    "times", "time", "twice", "thrice", "double", "triple", "quadruple", "half", "halves", "plus", "minus", "divided", "multiplied", "by", "mod", "modulo",
    "th", "st", "nd", "rd", "ths", "first", "second", "third", "am", "pm", "a.m", "p.m", "noon", "midnight", "before", "after", "ago", "square root",
    "root", "cube", "power", "about", "approximately", "around", "roughly", "nearly", "almost", "not", "no", "none", "or", "and", "if", "when",
    "pair", "pairs", "couple", "couples", "percentile", "base", "negative", "squared", "cubed", "factorial", "only", "except", "but", "minus", "remainder",
    "infinity", "pi", "sqrt", "sin", "cos", "tan", "log", "ln", "exp", "frac", "is", "are", "equals", "equal", "maybe", "unknown", "wrong", "false", "true",
    "k", "bn", "mn", "quarters", "thirds", "hundred", "thousand", "million", "billion", "trillion", "dozen", "dozens", "lakh", "crore", "tenths",
    "fold", "fourths", "fifths", "sixths", "sevenths", "eighths", "ninths", "hundredths", "thousandths", "quarter", "decimal", "binary", "hex", "bce",
    "bc", "ad", "ce", "grand", "mil", "myriad", "myriads", "arab", "inverse", "reciprocal", "opposite", "opposites", "smaller", "larger", "bigger", "lower",
    "higher", "up", "down", "ahead", "behind", "early", "earlier", "late", "later", "off", "trio", "trios", "quartet", "quartets", "quintet", "quintets",
    "sextet", "sextets", "triplet", "triplets", "ream", "reams", "mega", "giga", "micro", "milli", "nano", "octal", "hexadecimal", "ppm", "ppb", "permille",
    "basis", "bps", "tn", "halfs", "scores", "twofold", "ns", "nths", "nth", "short", "shy", "umpteen",
    "approx", "circa", "ish", "exactly", "doubled", "tripled", "quadrupled", "halved", "thirded", "quartered", "raised", "increased", "decreased", "reduced", "added",
    "subtracted", "negated", "inverted", "rounded", "unless", "nor", "neither", "never", "non", "because", "since", "so", "thus", "hence", "therefore", "although",
    "though", "while", "whereas", "where", "whether", "within", "without", "beyond", "beneath", "past", "till", "via", "versus", "vs", "excluding", "including",
    "extra", "additional", "another", "further", "longer", "shorter", "older", "younger", "faster", "slower", "exponent", "logarithm", "squareroot", "cuberoot",
    "loss", "losses", "lost", "debt", "deficit", "back", "backward", "backwards", "underground", "thou", "mln", "mio", "mld", "mrd", "kk", "complement", "modulus", "residue", "dividend", "either", "both", "any", "some", "many", "several", "few",
  ]

  /// A number beside one is a date.
  private static let calendar: Set<String> = [
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december", "jan", "feb", "mar", "apr", "jun", "jul",
    "aug", "sep", "sept", "oct", "nov", "dec", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
  ]

  /// Whether a word behind a number makes it another number or a statement, by the list or by how such words are made.
  static func changesValue(_ word: String) -> Bool {
    if statements.contains(word) || calendar.contains(word) || multipliers[word] != nil || parts[word] != nil || powers[word] != nil || cardinals[word] != nil { return true }
    return ["fold", "illion", "illions", "illionth", "illionths", "illiard", "illiards", "ieth", "ieths", "teenth", "teenths", "uple", "tuple"].contains {
      word.utf8.count > $0.utf8.count && word.hasSuffix($0)
    }
  }

  /// Words that join a noun to others: `3 eggs a day`, `5 of the apples`.
  static let joining: Set<String> = [
    "a", "an", "the", "of", "per", "every", "in", "total", "left", "remaining", "on", "for", "each", "his", "her", "their", "its", "all", "altogether", "with",
  ]

  /// Joining words that something must follow.
  static let leading: Set<String> = ["a", "an", "the", "of", "per", "every", "in", "on", "for", "his", "her", "their", "its", "with"]

  private static let english: Set<String> = [
    "yes", "no", "and", "or", "not", "all", "any", "the", "is", "are", "odd", "men", "boy", "mon", "tue", "wed", "thu", "fri", "sat", "sun", "red", "dog",
    "cat", "tie", "win", "one", "two", "six", "ten", "none", "if", "to", "of", "by", "than", "am", "pm", "bc", "per", "a.m", "it", "he", "we", "at", "on", "as",
    // Words of two and three letters that are other words when turned about.
    "was", "saw", "now", "won", "own", "god", "act", "tea", "eat", "ate", "ton", "pot", "top", "opt", "tar", "rat", "art", "net", "tap", "pat", "apt", "nap", "pan",
    "bat", "tab", "bus", "sub", "gum", "mug", "gel", "leg", "lap", "pal", "alp", "mad", "dam", "war", "raw", "pit", "tip", "pin", "nip", "pea", "ape", "nod", "don",
    "how", "who", "eon", "tow", "end", "den", "new", "wen", "map", "amp", "arm", "ram", "mar", "arc", "car", "are", "ear", "era", "ado", "low", "owl", "dew", "bad",
    "dab", "but", "tub", "nut", "gab", "bag", "gas", "sag", "has", "ash", "its", "sit", "lie", "let", "tel", "may", "yam", "off", "for", "fro", "of", "no", "so", "do",
    "go", "up", "us", "ma", "am", "be", "by", "my", "his", "her", "him", "she", "you", "our", "out", "too", "ego", "age", "day", "pay", "say", "way", "yes",
  ]

  /// Whether letters side by side are a word rather than variables.
  static func isEnglish(_ word: String) -> Bool {
    let word = word.lowercased()
    return english.contains(word) || cardinals[word] != nil || multipliers[word] != nil || parts[word] != nil || powers[word] != nil
  }

  // MARK: Numbers in words

  /// The tokens with numbers in words as digits: `twenty-five`, `three hundred and two`, `one half`, `a dozen`.
  static func inDigits(_ tokens: [AnswerToken]) -> [AnswerToken] {
    guard tokens.contains(where: { ($0.word?.utf8.count ?? 0) > 2 || $0.word?.lowercased() == "a" }) else { return tokens }
    var output: [AnswerToken] = []
    var index = 0
    while index < tokens.count {
      let token = tokens[index]
      let word = token.word?.lowercased()
      let isGlued = token.space == .none && output.last?.digit != nil
      if let word, !isGlued {
        if let (value, end) = cardinal(tokens, from: index) {
          // `two-thirds`; `twenty-fifth` is an ordinal.
          if end + 1 < tokens.count, tokens[end].isSymbol("-"), tokens[end + 1].space == .none, let part = tokens[end + 1].word?.lowercased(),
            let below = parts[part], value == 1 && !part.hasSuffix("s") || (2..<20).contains(value) && part.hasSuffix("s")
          {
            output += fraction(value, below)
            index = end + 2
            continue
          }
          output += digits(value, like: token)
          index = end
          if let (above, below, end) = andAPart(tokens, from: index) {
            output += fraction(above, below)
            index = end
          }
          continue
        }
        let next = index + 1 < tokens.count ? tokens[index + 1].word?.lowercased() : nil
        // `a third`, `a dozen`: one of it. `half` alone is one half.
        if word == "a" || word == "an", let next, parts[next] != nil || multipliers[next] != nil, output.isEmpty {
          output += digits(1, like: token)
          index += 1
          continue
        }
        if word == "half", output.isEmpty, index + 1 == tokens.count {
          output += fraction(1, 2)
          index += 1
          continue
        }
        // `half a dozen`, `half a million`.
        if word == "half", output.isEmpty, next == "a", index + 2 < tokens.count, let whole = multipliers[tokens[index + 2].word?.lowercased() ?? ""]?.int {
          output += digits(whole / 2, like: token)
          index += 3
          continue
        }
        if word == "negative" || word == "minus", output.isEmpty, index + 1 < tokens.count,
          tokens[index + 1].digit != nil || cardinal(tokens, from: index + 1) != nil || tokens[index + 1].isCommand("frac")
        {
          output.append(AnswerToken(kind: .symbol("-"), space: token.space))
          index += 1
          continue
        }
        if word == "and", output.last?.digit != nil, let (above, below, end) = andAPart(tokens, from: index) {
          output += fraction(above, below)
          index = end
          continue
        }
      }
      output.append(token)
      index += 1
    }
    return output
  }

  private static func digits(_ value: Int, like token: AnswerToken) -> [AnswerToken] {
    var digits = String(value).utf8.map { AnswerToken(kind: .digit($0 - 48)) }
    digits[0].space = token.space == .none ? .none : .wide
    return digits
  }

  private static func fraction(_ above: Int, _ below: Int) -> [AnswerToken] {
    [AnswerToken(kind: .command("frac"))] + [above, below].flatMap { number in
      [AnswerToken(kind: .symbol("{"))] + String(number).utf8.map { AnswerToken(kind: .digit($0 - 48)) } + [AnswerToken(kind: .symbol("}"))]
    }
  }

  /// `and a half`, `and three quarters` behind a number.
  private static func andAPart(_ tokens: [AnswerToken], from start: Int) -> (Int, Int, Int)? {
    guard start + 2 < tokens.count, tokens[start].word?.lowercased() == "and", let word = tokens[start + 1].word?.lowercased(),
      let part = tokens[start + 2].word?.lowercased(), let below = parts[part]
    else { return nil }
    if word == "a" || word == "one" { return (1, below, start + 3) }
    guard let above = cardinals[word], above < below, above > 0 else { return nil }
    return (above, below, start + 3)
  }

  /// A whole number in words and the place after it.
  private static func cardinal(_ tokens: [AnswerToken], from start: Int) -> (Int, Int)? {
    var total = 0
    var current = 0
    var index = start
    var hasDigit = false
    var end = start
    while index < tokens.count {
      guard let word = tokens[index].word?.lowercased() else {
        if tokens[index].isSymbol("-"), hasDigit, index + 1 < tokens.count, let next = tokens[index + 1].word?.lowercased(),
          let value = cardinals[next], value < 10
        {
          index += 1
          continue
        }
        break
      }
      if let value = cardinals[word] {
        // `twenty five`, `hundred five`; `five six` are two numbers.
        if hasDigit, current % 100 != 0, !(value < 10 && value > 0 && current % 100 >= 20 && current % 10 == 0) { break }
        current += value
        hasDigit = true
      } else if word == "hundred", hasDigit, current > 0, current < 100 {
        current *= 100
      } else if let factor = ["thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000][word], hasDigit, current > 0, total < Int(1e12) {
        total += current * factor
        current = 0
      } else if word == "and", hasDigit, current % 100 == 0, current + total > 0, index + 1 < tokens.count,
        let next = tokens[index + 1].word?.lowercased(), cardinals[next] != nil,
        index + 2 >= tokens.count || parts[tokens[index + 2].word?.lowercased() ?? ""] == nil
      {
        index += 1
        continue
      } else {
        break
      }
      index += 1
      end = index
    }
    return hasDigit ? (total + current, end) : nil
  }
}
