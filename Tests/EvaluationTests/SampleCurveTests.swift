import Support
import Tasks
import Testing

@testable import Evaluation

@Suite struct `pass@k and maj@k` {
  /// The verdicts on completions that box these answers; nil boxes none.
  private func verdicts(_ answers: [String?], gold: String) throws -> [Verdict] {
    try answers.map { try Verifier().verdict(on: $0.map { "\\boxed{\($0)}" } ?? "I do not know.", gold: gold) }
  }

  private func vote(_ answers: [String?], gold: String) throws -> MajorityVote {
    try MajorityVote(try verdicts(answers, gold: gold), agree: Verifier().agree)
  }

  @Test func `k goes by powers of two to the number of samples`() throws {
    #expect(SampleCurve.sizes(samples: 1) == [1])
    #expect(SampleCurve.sizes(samples: 8) == [1, 2, 4, 8])
    #expect(SampleCurve.sizes(samples: 12) == [1, 2, 4, 8, 12])
  }

  @Test func `the most frequent answer wins, equal answers together, none does not vote`() throws {
    #expect(try vote(["1/2", "0.5", "3", "3.0", "\\frac12"], gold: "0.5").share(of: 0..<5) == 1)
    #expect(try vote(["3", "0.5", "3.0"], gold: "1/2").share(of: 0..<3) == 0)
    #expect(try vote([nil, nil, "7"], gold: "7").share(of: 0..<3) == 1)
    #expect(try vote([nil, nil], gold: "7").share(of: 0..<2) == 0)
    #expect(try vote(["1", "2", "3"], gold: "2").share(of: 0..<3) == 1.0 / 3)
  }

  @Test func `maj@k of fewer samples is the mean over all subsets`() throws {
    let answers = ["7", "7", "3", "4", "3", "7", nil, "5"]
    let found = try vote(answers, gold: "7").expected(k: 3, stream: 5, draws: 40_000)
    let all = try vote(answers, gold: "7")
    var sum = 0.0
    var count = 0.0
    for a in 0..<8 { for b in (a + 1)..<8 { for c in (b + 1)..<8 { sum += all.share(of: [a, b, c]); count += 1 } } }
    #expect(abs(found - sum / count) < 0.01, "found \(found), expected \(sum / count)")
    #expect(all.expected(k: 8, stream: 5) == all.share(of: 0..<8))
  }

  @Test func `a curve rises in pass and keeps its intervals over problems`() throws {
    let problems = try [["7", "7", "3", "4"], ["1", "7", "7", "7"], ["2", "2", "2", "2"]].map { try verdicts($0, gold: "7") }
    let curve = try SampleCurve(problems, agree: Verifier().agree)
    #expect(curve.points.map(\.k) == [1, 2, 4])
    let expected: [Double] = [5.0 / 12, 11.0 / 18, 2.0 / 3]
    for (point, value) in zip(curve.points, expected) { #expect(abs(point.pass.estimate - value) < 1e-15) }
    #expect(curve.points[2].majority.estimate == 2.0 / 3)
    #expect(curve.points[2].pass == Statistics.wilson(successes: 2, trials: 3))
  }
}
