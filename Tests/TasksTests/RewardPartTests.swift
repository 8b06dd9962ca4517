import Support
import TestSupport
import Testing

@testable import Tasks

/// The parts that the program computes, against TRL where it has them, and their sum.
@Suite struct RewardPartTests {
  private static let goldens: [JSON] = {
    let text = (try? Files.readText(Place.tests + "/TasksTests/Goldens/rewards.jsonl")) ?? ""
    return text.split(separator: "\n").compactMap { try? JSON.parse(String($0), name: "rewards.jsonl") }
  }()

  private func goldens(_ kind: String) -> [JSON] { Self.goldens.filter { $0["kind"]?.string == kind } }

  private func attempt(_ text: String = "", tokens: Int = 0, prompt: Int = 0) -> Attempt {
    Attempt(prompt: prompt, tokens: Array(repeating: 1, count: tokens), text: text, isTruncated: false)
  }

  @Test func theOverlongPunishmentIsThatOfTRL() throws {
    let rows = goldens("overlong")
    #expect(rows.count > 40)
    for row in rows {
      let part = OverlongPart(limit: try #require(row["limit"]?.int), buffer: try #require(row["buffer"]?.int))
      #expect(part.score(attempt(tokens: try #require(row["length"]?.int))) == Float(try #require(row["reward"]?.double)), "\(row.text())")
    }
  }

  @Test func theFormatIsTRLsWithOneEndOfThinkingAndABoxAfterIt() throws {
    let rows = goldens("format")
    #expect(rows.count > 12)
    for row in rows {
      let (completion, think) = (try #require(row["completion"]?.string), try #require(row["think"]?.double))
      let score = FormatPart(promptOpensThinking: false).score(attempt(completion))
      #expect(score == (row["form"]?.bool == true ? 1 : 0), "\(completion)")
      if score == 1 { #expect(think == 1, "\(completion)") }
      // Where there is one end and a box after it, the two are the same.
      if completion.occurrences(of: "</think>") == 1, let end = completion.range(of: "</think>"),
        AnswerExtraction.hasBoxed(String(completion[end.upperBound...]))
      {
        #expect(Double(score) == think, "\(completion)")
      }
    }
  }

  /// The prompt of this program's form ends in `<think>`: what follows it is judged with it in front.
  @Test func whereThePromptOpensTheThinkingTheCompletionMustNot() throws {
    let (inside, whole) = (FormatPart(promptOpensThinking: true), FormatPart(promptOpensThinking: false))
    for completion in ["so\n</think>\n\\boxed{4}", "</think>\\boxed{4}", "</think>4", "a<think></think>\\boxed{4}", "\\boxed{4}", "a</think></think>\\boxed{4}"] {
      #expect(inside.score(attempt(completion)) == whole.score(attempt("<think>\n" + completion)), "\(completion)")
    }
    #expect(inside.score(attempt("so\n</think>\n\\boxed{4}")) == 1)
    #expect(inside.score(attempt("<think>so\n</think>\n\\boxed{4}")) == 0)
  }

  @Test func theAnswerIsGradedAsTRLGradesIt() throws {
    let rows = goldens("accuracy")
    #expect(rows.count > 8)
    for row in rows {
      let (completion, solution) = (try #require(row["completion"]?.string), try #require(row["solution"]?.string))
      let verdict = try Verifier().verdict(on: completion, gold: solution)
      #expect(Double(verdict.reward) == row["reward"]?.double, "\(row.text()): \(verdict.reason)")
    }
  }

  /// By hand: distances from the target as a share of the limit.
  @Test func theLengthIsTheDistanceFromItsTargetInLimits() {
    for (target, tokens, expected) in [(0, 0, 0), (0, 25, -0.25), (0, 100, -1), (40, 40, 0), (40, 30, -0.1), (40, 90, -0.5)] as [(Int, Int, Float)] {
      #expect(LengthPart(target: target, limit: 100).score(attempt(tokens: tokens)) == expected)
    }
  }

  private struct FixedPart: RewardPart {
    let values: [PartScore]
    func scores(_ attempts: [Attempt], _ allowance: RewardAllowance) -> [PartScore] { attempts.map { values[$0.tokens.count] } }
  }

  @Test func aSumLeavesOutWhatHasNoSayAndAFailureLeavesNoReward() throws {
    let fixed = FixedPart(values: [.value(4), .silent, .failed("boom (r.py:3)")])
    let reward = WeightedReward(
      "sum", [.init(name: "correct", weight: 1, score: nil), .init(name: "mine", weight: 0.25, score: fixed)], golds: ["7"], verifier: Verifier())
    let rewards = try reward.judge((0..<3).map { attempt("\\boxed{7}", tokens: $0) }, RewardAllowance(of: 3))
    #expect(rewards.map(\.total) == [2, 1, 0] && rewards.map(\.isScored) == [true, true, false])
    #expect(rewards.map(\.parts) == [[1, 4], [1, 0], [1, 0]] && rewards.map(\.silent) == [[], [1], [1]])
    #expect(rewards[2].fault == RewardFault(part: "mine", cause: "boom (r.py:3)"))
    // The answer's flag is there in every case.
    #expect(rewards.allSatisfy { $0.flags == .correct })
    let alone = WeightedReward("sum", [.init(name: "mine", weight: 1, score: fixed)], golds: ["7"], verifier: Verifier())
    let none = try alone.judge([attempt("\\boxed{7}", tokens: 1)], RewardAllowance(of: 1))[0]
    #expect(!none.isScored && none.fault == nil && none.flags == .correct)
  }

  @Test func aSumThatIsNoNumberIsAFault() throws {
    let huge = FixedPart(values: [.value(3e38)])
    let reward = WeightedReward("sum", [.init(name: "mine", weight: 10, score: huge)], golds: ["7"], verifier: Verifier())
    #expect(try reward.judge([attempt()], RewardAllowance(of: 1))[0].fault != nil)
  }

  @Test func moreThanHalfOrAllMayNotFail() throws {
    for (total, allowed) in [(1, 0), (2, 1), (3, 1), (16, 8)] {
      var allowance = RewardAllowance(of: total)
      for _ in 0..<allowed { try allowance.add(RewardFault(part: "mine", cause: "boom")) }
      let error = failure { () throws(Failure) in try allowance.add(RewardFault(part: "mine", cause: "boom")) }
      #expect(error?.code == .inputOutput && error?.message.hasPrefix("reward mine: boom; ") == true, "\(total)")
    }
  }

  @Test func aRowIsGivenAsTheFileHasItWithQuestionAndAnswerWhereItHasNone() throws {
    let lines = #"""
      {"question": "How many?", "answer": "3 + 4 = 7\n#### 7", "tags": ["a", 1], "completion": "no"}
      {"problem": "Half of 10?", "solution": "It is \\boxed{5}.", "seed": 9007199254740993}
      {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}], "answer": 4}
      """#
    let folder = try TrialFolder()
    let source = DataSource(path: try folder.write(lines, "rows.jsonl"))
    let rows = RewardRows(try ExampleFile.load(source, keepsColumns: true).examples)
    #expect(rows.names == ["question", "answer", "tags", "gold", "problem", "solution", "seed"])
    let requests = (0..<3).map { rows.request(Attempt(prompt: $0, tokens: [5, 6], text: "so", isTruncated: false)) }
    #expect(requests.map { $0["prompt"] } == ["How many?", "Half of 10?", [["role": "system", "content": "Be brief."], ["role": "user", "content": "2 + 2?"]]])
    #expect(requests[0]["completion"] == "so" && requests[0]["completion_ids"] == [5, 6])
    let columns = requests.compactMap { $0["columns"] }
    #expect(columns[0].text() == #"{"question":"How many?", "answer":"3 + 4 = 7\n#### 7", "tags":["a", 1], "gold":"7", "problem":null, "solution":null, "seed":null}"#)
    #expect(columns[1]["question"] == "Half of 10?" && columns[1]["answer"] == "5" && columns[1]["gold"] == "5")
    #expect(columns[1].text().contains("9007199254740993"))
    #expect(columns[2]["answer"]?.int == 4 && columns[2]["gold"] == "4")
    #expect(try ExampleFile.load(source).examples.allSatisfy { $0.columns == nil })
  }
}
