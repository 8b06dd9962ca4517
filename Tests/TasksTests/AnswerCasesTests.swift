import Support
import Testing

@testable import Tasks

/// Pairs of an answer and a gold one with the right verdict, and what must hold for any pair.
@Suite struct `Answers of a file` {
  struct Pair: Sendable {
    let answer: String
    let gold: String
    let isCorrect: Bool
  }

  static func pairs(_ file: String) throws -> [Pair] {
    let path = Files.directory(of: #filePath) + "/Goldens/" + file
    return try JSONLines.read(Files.read(path), name: path).map { record in
      Pair(
        answer: try #require(try record.text("answer")), gold: try #require(try record.text("gold")),
        isCorrect: try #require(record.object["correct"]?.bool as Bool?))
    }
  }

  /// `answers.jsonl` comes from outside, `neighbours.jsonl` are its kinds with other values.
  @Test(arguments: ["answers.jsonl", "neighbours.jsonl"])
  func `are judged right`(file: String) throws {
    let pairs = try Self.pairs(file)
    #expect(pairs.count > 70)
    for pair in pairs {
      let verdict = try Verifier().verdict(answer: AnswerExtraction.boxed(in: pair.answer) ?? pair.answer, gold: pair.gold)
      #expect(verdict.isCorrect == pair.isCorrect, "\(pair.answer) | \(pair.gold): \(verdict.reason)")
    }
  }

  @Test func `are equal both ways or not at all, and equal to themselves`() throws {
    for pair in try Self.pairs("answers.jsonl") + Self.pairs("neighbours.jsonl") {
      #expect(AnswerEquality.numeric(pair.answer, pair.gold) == AnswerEquality.numeric(pair.gold, pair.answer), "\(pair)")
      for text in [pair.answer, pair.gold] where !AnswerEquality.withoutSpace(text).isEmpty && text != "\\boxed{}" {
        #expect(ParsedAnswer(text).isEqual(to: ParsedAnswer(text)))
        // A space of LaTeX around it changes the text and not what it says.
        #expect(AnswerEquality.numeric(text, "\\displaystyle \(text)"), "\(text)")
      }
    }
  }

  @Test func `of any form take bounded time and end`() {
    let long = [
      String(repeating: "(", count: 4000), String(repeating: "{", count: 4000), String(repeating: "\\frac{1}{", count: 400),
      String(repeating: "\\sqrt{", count: 600), "10^{10^{10}}", "9^9^9^9^9", "99999999!", "2^{99999999}", String(repeating: "9", count: 4000),
      "\\frac{\(String(repeating: "7", count: 1900))}{\(String(repeating: "3", count: 1900))}", String(repeating: "1,", count: 2000),
      String(repeating: "\\cup", count: 1000), String(repeating: "x^", count: 1500), String(repeating: "-", count: 4000),
      String(repeating: "\\text{", count: 700), String(repeating: "|", count: 4000), "\\binom{999999}{500000}", "\\sin(10^{300})",
      "e^{e^{e^{e}}}", "\\sqrt[999999]{2}", "(x+y+z)^{500}", "0.\\overline{\(String(repeating: "1", count: 900))}", "1e99999999", "1e-99999999",
      "9223372036854775807 9223372036854775807", "x_{x_{x_{x_{x}}}}", "\\begin{pmatrix}\\begin{pmatrix}1\\end{pmatrix}\\end{pmatrix}",
    ]
    let clock = ContinuousClock()
    for text in long {
      for gold in [text + " ", "5", "\\frac12", text + "+0"] {
        let time = clock.measure { _ = AnswerEquality.compare(text, gold) }
        // Milliseconds on a free machine; the bound only tells bounded from not.
        #expect(time < .seconds(2), "\(text.prefix(40)): \(time)")
      }
    }
  }

  @Test func `of random bytes and tokens never end the program`() {
    let words = [
      "\\frac", "{", "}", "1", "2", "x", "\\sqrt", "^", "_", "(", ")", "[", "]", ",", "\\{", "\\}", "\\cup", "=", "<", "\\pm", " and ", "\\text{", "cm", "dozen",
      "\\%", "\\$", "!", "|", "\\pi", "\\infty", "-", "+", "/", "\\begin{pmatrix}", "\\end{pmatrix}", "\\\\", "&", ".", "e", "\\sin", "\\log", "\\overline", "9999999999",
      "\\left", "\\right", "∞", "½", "³", "½", "\u{0}", "一", "'", ":", "\\in", "half", "five", "\\boxed{", "\\degree", "0",
    ]
    var random = RandomStream(seed: 3)
    for _ in 0..<6000 {
      let count = random.next(in: 1...14)
      let text = (0..<count).map { _ in random.pick(words) }.joined()
      let other = (0..<count).map { _ in random.pick(words) }.joined()
      #expect(AnswerEquality.numeric(text, text) || AnswerEquality.withoutSpace(text).isEmpty)
      #expect(AnswerEquality.numeric(text, other) == AnswerEquality.numeric(other, text), "\(text) | \(other)")
    }
    for _ in 0..<3000 {
      let bytes = (0..<random.next(in: 1...40)).map { _ in UInt8(random.next(below: 256)) }
      let text = String(decoding: bytes, as: UTF8.self)
      _ = AnswerEquality.compare(text, "5")
    }
  }
}

@Suite struct `Arithmetic of any size` {
  @Test func `divides as it multiplies`() throws {
    var random = RandomStream(seed: 9)
    for _ in 0..<3000 {
      func number(_ most: Int) -> BigInteger {
        let digits = (0..<random.next(in: 1...most)).map { _ in UInt8(random.next(below: 4) == 0 ? 9 : random.next(below: 10)) }
        let size = BigInteger(digits: digits)
        return random.next(below: 2) == 0 ? size : -size
      }
      let (a, b) = (number(120), number(60))
      guard let (quotient, remainder) = a.dividedWithRemainder(by: b) else {
        #expect(b.isZero)
        continue
      }
      #expect(quotient * b + remainder == a)
      #expect(remainder.magnitude < b.magnitude)
      #expect(a - b + b == a && a + b - a == b)
      let divisor = BigInteger.greatestCommonDivisor(a, b)
      if !divisor.isZero { #expect(a.dividedWithRemainder(by: divisor)?.remainder.isZero == true) }
      let root = a.magnitude.root(3)
      #expect(root.power(3) <= a.magnitude && (root + .one).power(3) > a.magnitude)
      #expect(BigInteger(digits: a.magnitude.text.utf8.map { $0 - 48 }) == a.magnitude)
    }
  }

  /// From Python's mpmath: each to 50 digits.
  @Test(
    arguments: [
      (#"\pi"#, "3.1415926535897932384626433832795028841971693993751"), ("e", "2.7182818284590452353602874713526624977572470937000"),
      (#"\sqrt{2}"#, "1.4142135623730950488016887242096980785696718753769"), (#"\ln 10"#, "2.3025850929940456840179914546843642076011014886288"),
      (#"\sin 1"#, "0.84147098480789650665250232163029899962256306079837"), (#"\arctan 3"#, "1.2490457723982544258299170772810901230778294041299"),
      (#"\log_2 3"#, "1.5849625007211561814537389439478165087598144076925"), (#"2^{\sqrt2}"#, "2.6651441426902251886502972498731398482742113137147"),
      (#"\cos 100"#, "0.86231887228768393410193851395084253551008400853551"),
    ])
  func `values agree with mpmath`(text: String, digits: String) throws {
    let answer = AnswerReader().answer(AnswerLexer.tokens(text))
    let decimal = AnswerReader().answer(AnswerLexer.tokens(digits))
    guard case .quantity(let form, _) = answer, case .quantity(let expected, _) = decimal else {
      Issue.record("not read: \(answer)")
      return
    }
    let value = try #require(form.value?.asReal)
    let other = try #require(expected.value?.asReal)
    let difference = (value - other).magnitude.raw.bitWidth
    #expect(difference < FixedPoint.bits - 160, "\(text)")
    // And yet the decimal is not the number.
    #expect(!AnswerEquality.numeric(text, digits))
  }

  @Test func `a control character in a gold answer is a lost backslash`() {
    for text in ["\u{C}rac{1}{2}", "\u{8}inom52", "5\u{7}", "\text{cm}", "2\times3", "\right)", "x\neq 2", "\u{1B}[0m", "\theta", "\u{85}", "\textrm{a}", "\textit{a}",
      "\textdegree", "\triangleq", "\nearrow", "\rvert", "A\nsubseteq B",
    ] {
      #expect(GoldAnswer.controlCharacter(in: text)?.contains("one backslash too few") == true, "\(text.debugDescription)")
    }
    #expect(GoldAnswer.controlCharacter(in: "a\u{FFFD}")?.contains("decoded") == true)
    for text in ["5", "5\n", "a\tb", "line\r\nline", #"\frac{1}{2}"#, "two\nlines", "", "one\textra", "a\trow"] {
      #expect(GoldAnswer.controlCharacter(in: text) == nil, "\(text.debugDescription)")
    }
  }
}
