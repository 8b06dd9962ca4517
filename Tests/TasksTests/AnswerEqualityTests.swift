import Testing

@testable import Tasks

@Suite struct `Answers are equal as numbers` {
  @Test(
    arguments: [
      ("72", "72"), (" 72 ", "72"), ("72\n", "72"), ("72.", "72"), ("72.0", "72"), ("72.000", "72"), ("072", "72"),
      ("+3", "3"), ("-3", "-3"), ("\u{2212}3", "-3"), ("\u{2013}3", "-3"), ("- 3", "-3"), ("-0", "0"), ("0.0", "0"),
      ("1,000", "1000"), ("1,234,567.50", "1234567.5"), ("3{,}000", "3000"), (#"1\,000"#, "1000"),
      ("1\u{202F}000", "1000"),
      (#"1,\!000"#, "1000"), ("10,800", "10800"), ("-1,000", "-1000"),
      (#"\$72"#, "72"), ("$72", "72"), ("$72.00", "72"), ("-$5", "-5"), ("$-5", "-5"), (#"\$1,000"#, "1000"),
      ("€5", "5"),
      ("£5", "5"), ("$72$", "72"), (#"\(72\)"#, "72"), (#"\[72\]"#, "72"),
      (#"72\text{ cm}"#, "72"), (#"72 \text{cm}^2"#, "72"), (#"72\,\mathrm{cm}^{3}"#, "72"), (#"72\text{ m}"#, "72"),
      ("72 dollars", "72"), ("72 square feet", "72"), ("60 miles/hour", "60"), ("60 km/h", "60"), ("72 sq. ft.", "72"),
      ("18 eggs a day", "18"),
      (#"5\text{ apples}"#, #"5\text{ pears}"#), (#"\text{72}"#, "72"), (#"\textbf{72}"#, "72"),
      (#"\text{72 cm}"#, "72"),
      ("72\u{5143}", "72"), (#"\$72\text{ per day}"#, "72"),
      (#"50\%"#, "50"), ("50%", "50"), ("50 percent", #"50\%"#), (#"12.5\%"#, "12.5"),
      (#"90^\circ"#, "90"), (#"90^{\circ}"#, "90"), ("90\u{B0}", "90"), ("90 degrees", "90"), (#"90\degree"#, "90"),
      (#"\frac12"#, ".5"), (#"\frac{1}{2}"#, "0.5"), (#"\dfrac{1}{2}"#, "1/2"), (#"\tfrac12"#, ".50"),
      (#"\frac1{2}"#, "0.5"),
      (#"\frac{1}2"#, "0.5"), ("1/2", "0.5"), ("1 / 2", "0.5"), ("2/4", "1/2"), ("-1/2", "-.5"), (#"-\frac12"#, "-0.5"),
      (#"\frac{-1}{2}"#, "-0.5"), (#"\frac{10}{4}"#, "2.5"), (#"\frac{1,000}{3}"#, "1000/3"),
      (#"\frac{\frac12}{3}"#, "1/6"),
      (#"\left(\frac{1}{2}\right)"#, "1/2"), (#"\displaystyle\frac{1}{2}"#, "1/2"), (#"\frac 1 2"#, "1/2"),
      ("1 1/2", "1.5"), (#"1\frac{1}{2}"#, "1.5"), (#"1 \frac12"#, "3/2"), ("-1 1/2", "-1.5"),
      ("1.2e3", "1200"), ("1.2E3", "1200"), ("5e-1", "0.5"), (#"1.2\times10^3"#, "1200"),
      (#"1.2 \cdot 10^{-3}"#, "0.0012"),
      ("1.2*10^3", "1200"), ("1.2\u{D7}10^{3}", "1200"),
      ("x=5", "5"), ("x = 5", "5"), (#"\theta = 5"#, "5"), ("x_1 = 5", "5"), (#"\text{total} = 5"#, "5"),
      ("Total cost = $5", "5"),
      ("(5)", "5"), (#"\left(5\right)"#, "5"), ("{5}", "5"), (#"\boxed{5}"#, "5"), (#"{50}"#, "50"),
      ("(1, 2)", "(1,2)"), (#"\left( 1, \frac12 \right)"#, "(1, 0.5)"), ("(1,2.0)", "(1.0,2)"), ("1, 2", "1,2"),
      (#"\{1, 2, 3\}"#, #"\{3,2,1\}"#), (#"\{1,\,2\}"#, #"\{1,2\}"#), (#"\left\{1,2\right\}"#, #"\{2, 1\}"#),
      ("2, 3, and 5", "2,3,5"), (#"1 \text{ or } 2"#, "1, 2"), ("[0, 1)", "[0,1)"), ("(0,1,000)", "(0,1,000)"),
      (#"\sqrt{3}"#, #"\sqrt3"#), (#"2\sqrt{3}"#, #"2 \sqrt {3}"#), (#"\frac{\sqrt{3}}{2}"#, #"\dfrac{\sqrt3}{2}"#),
      ("x^2 + 1", "x^{2}+1"), (#"\text{Monday}"#, "Monday"), (#"\text{(A)}"#, "A"), ("(A)", "A"), (#"\pi"#, "\\pi "),
      (#"(\text{A})"#, "A"), ("2:30 PM", "2:30 PM"), (#"x \in [0,1]"#, #"x\in[0, 1]"#),
      ("1,267,650,600,228,229,401,496,703,205,376", "1267650600228229401496703205376"),
      // Closed expressions count by their value; a set has each member once.
      ("3+2", "5"), ("3+2=5", "5"), ("5=3+2", "5"), ("1/2/3", "1/6"), ("3-1", "2"), ("--3", "3"), ("2-3", "-1"), ("5^2", "25"),
      (#"\{1,2\}"#, #"\{1,2,2\}"#), (#"\{1,1,2\}"#, #"\{1,2,2\}"#),
      ("0.30000", "0.3"), ("100000000000000000000", "100000000000000000000"),
    ])
  func `these are the same`(answer: String, gold: String) {
    #expect(AnswerEquality.numeric(answer, gold))
    #expect(AnswerEquality.numeric(gold, answer))
  }

  @Test(
    arguments: [
      ("72", "73"), ("-72", "72"), ("7 2", "72"), ("1,2", "12"), ("1,00", "100"), ("10,000", "1000"), ("", "72"),
      ("  ", "0"),
      ("0.3333", "1/3"), ("0.333333333333333333", "1/3"), ("0.1", "0.10000000000000001"), ("1/0", "0"), ("1/0", "2/0"),
      (#"50\%"#, "0.5"), ("5x", "5"), (#"5\pi"#, "5"), ("5pi", "5"), (#"5\sqrt{2}"#, "5"), ("5 million", "5"),
      ("2 dozen", "2"),
      ("3 PM", "3 AM"), ("3 AM", "3"), ("3 a.m.", "3"), (#"3\text{ a.m.}"#, "3"), ("x=5", "y+5"), 
      ("x=5=y", "5"),
      ("5 or 6", "5"), ("5, 6", "5"), ("(1,2)", "(2,1)"), ("(1,2)", "[1,2]"), ("(1,2)", "1,2"), ("(1,2)", "12"),
      (#"\{1,2\}"#, "(1,2)"),
      (#"\frac123"#, "1/23"), (#"\frac{1}{2}3"#, "0.5"), ("31/2", "3.5"), 
      
      ("1.2.3", "1.2"), ("12:30", "12"), ("1e", "1"), ("e5", "5"), ("1e400", "1e401"), ("A", "B"), ("A", "a"),
      (#"5\text{ hours }30\text{ minutes}"#, "5"), (#"3\text{ and }4"#, "34"), ("5^2", "5"), ("+", "-"),
      ("9223372036854775808", "-9223372036854775808"), ("between 3 and 4", "3"), ("3 more than 5", "3"), ("None", "0"),
      ("$", ""), ("\\text{}", "0"), (".", "0"), ("-", "0"), ("%", "0"),
    ])
  func `these are not`(answer: String, gold: String) {
    #expect(!AnswerEquality.numeric(answer, gold))
  }

  @Test func `what is not a number is equal to itself as text`() {
    for text in ["1/0", "e5", "}{", "\\", "1e400", "\\frac", "{{{", "\u{0}", "x_", "((("] {
      #expect(AnswerEquality.numeric(text, text))
    }
  }

  @Test(
    arguments: [
      ("72", "72", true), (" 72 ", "72", true), ("x = 5", "x=5", true), ("( 1 , 2 )", "(1,2)", true),
      ("a  b", "a b", true),
      ("72.0", "72", false), ("1,000", "1000", false), ("1 2", "12", false), ("$72", "72", false),
      ("\u{A0}72", "72", true),
    ])
  func `the strict form knows white space only`(answer: String, gold: String, isEqual: Bool) {
    #expect(AnswerEquality.exact(answer, gold) == isEqual)
  }

  @Test func `the verifier says what it found`() throws {
    let numeric = Verifier(mode: .numeric)
    let right = try numeric.verdict(on: #"so \boxed{\$1,000}"#, gold: "1000")
    #expect(right == Verdict(extracted: #"\$1,000"#, gold: "1000", isCorrect: true, reason: "equal as numbers: 1000"))
    #expect(right.reward == 1)
    let wrong = try numeric.verdict(on: #"\boxed{999}"#, gold: "1000")
    #expect(wrong == Verdict(extracted: "999", gold: "1000", isCorrect: false, reason: "expected 1000, found 999"))
    #expect(wrong.reward == 0)
    #expect(try numeric.verdict(on: "1000", gold: "1000").extracted == nil)
    #expect(try numeric.verdict(on: #"\boxed{1000}"#, gold: "1000").reason == "equal as text")
    #expect(try !Verifier(mode: .exact).verdict(on: #"\boxed{1,000}"#, gold: "1000").isCorrect)
    #expect(try Verifier(mode: .exact).verdict(on: #"\boxed{ 1000 }"#, gold: "1000").isCorrect)
    #expect(try !numeric.verdict(on: #"\boxed{5} \boxed{}"#, gold: "5").isCorrect)
  }
}
