import Testing

@testable import Tasks

@Suite struct `The answer is the last balanced box` {
  @Test(
    arguments: [
      (#"The answer is \boxed{72}."#, "72"),
      (#"\boxed{1} and then \boxed{2}"#, "2"),
      (#"\boxed{\frac{1}{2}}"#, #"\frac{1}{2}"#),
      (#"\boxed{\frac{a_{1}}{b^{2}}} done"#, #"\frac{a_{1}}{b^{2}}"#),
      (#"\boxed{\{1, 2\}}"#, #"\{1, 2\}"#),
      (#"\boxed{\}}"#, #"\}"#),
      (#"\boxed{3\{}"#, #"3\{"#),
      (#"\boxed {5}"#, "5"),
      ("\\boxed\n {5}", "5"),
      (#"\boxed{5} and \boxed{6"#, "5"),
      (#"\boxed{5 and \boxed{6}"#, "6"),
      (#"\boxed{5} } } \boxed{6} }"#, "6"),
      (#"{ { \boxed{5}"#, "5"),
      (#"\boxed{\boxed{5}}"#, "5"),
      (#"\boxed{4 + \boxed{5} }"#, "5"),
      (#"$\boxed{5}$ \fbox{6}"#, "5"),
      (#"\boxed{5} \boxedx{6} \boxed 7"#, "5"),
      (#"\\boxed{5}"#, "5"),
      (#"a \\ \boxed{5}"#, "5"),
      (#"\boxed{}"#, ""),
      (#"\boxed{ 5 }"#, " 5 "),
      (#"\boxed{\text{−5 €}}"#, #"\text{−5 €}"#),
      (#"<think>\boxed{1}</think>\boxed{2}<|im_end|>"#, "2"),
    ])
  func `of these completions`(completion: String, answer: String) {
    #expect(AnswerExtraction.boxed(in: completion) == answer)
    #expect(AnswerExtraction.hasBoxed(completion))
  }

  @Test(arguments: [
    "", "72", #"\boxed"#, #"\boxed{"#, #"\boxed 72"#, "boxed{72}", #"\fbox{5}"#, #"\boxed{5\}"#, #"\"#, "}{",
  ])
  func `and without one there is none`(completion: String) {
    #expect(AnswerExtraction.boxed(in: completion) == nil)
    #expect(!AnswerExtraction.hasBoxed(completion))
  }

  @Test(
    arguments: [
      ("2 + 3 = 5.</think>\\boxed{5}", true, true),
      ("<think>2 + 3 = 5.</think>\\boxed{5}", true, true),
      ("\n<think>x</think>\\boxed{5}", true, true),
      ("x</think>", true, false),
      ("\\boxed{5}</think>", true, false),
      ("\\boxed{5}", false, false),
      ("a</think>b</think>\\boxed{5}", false, false),
      ("a<think>b</think>\\boxed{5}", false, false),
      ("<think><think>b</think>\\boxed{5}", false, false),
      ("</thinking>\\boxed{5}", false, false),
      ("", false, false),
    ])
  func `thinking is closed once`(completion: String, hasTags: Bool, hasFormat: Bool) {
    #expect(AnswerExtraction.hasThinkTags(completion) == hasTags)
    #expect(AnswerExtraction.hasFormat(completion) == hasFormat)
  }

  @Test(arguments: [
    "{", "}", "{}", "\\boxed{", "\\boxed ", "\\", "\\{", "\\boxed{}", "<think>", "$", "\\frac", "-", "1,", "(", "é",
  ])
  func `hostile completions take linear time`(unit: String) throws {
    let completion = String(repeating: unit, count: 100_000 / unit.utf8.count)
    let clock = ContinuousClock()
    let time = try clock.measure {
      _ = AnswerExtraction.hasFormat(completion)
      _ = try Verifier(mode: .numeric).verdict(on: "\\boxed{" + completion + "}", gold: "5")
      _ = try Verifier(mode: .numeric).verdict(on: completion, gold: completion)
      // Under the longest answer that is read as a number.
      let short = String(repeating: unit, count: 4000 / unit.utf8.count)
      _ = AnswerEquality.numeric(short, short + "1")
    }
    #expect(time < .seconds(2), "\(unit): \(time)")
  }
}
