import Evaluation
import Support
import Telemetry
import Testing

@testable import Benchmarking

@Suite struct `The words of a report` {
  /// Runs made up: every problem is solved with a chance of its own, moved by the algorithm's skill and the seed's luck.
  private func result(
    skills: [Double], seeds: Int = 3, problems: Int = 400, luck: Double = 0.01, stream: inout RandomStream
  ) -> BenchResult {
    let hardness = (0..<problems).map { _ in 0.3 + 0.4 * stream.nextUniform() }
    let algorithms = skills.indices.map { index in
      BenchResult.Algorithm(
        label: "algorithm-\(index)",
        runs: (0..<seeds).map { seed in
          let shift = skills[index] + luck * stream.nextNormal()
          return BenchResult.Run(
            seed: UInt64(seed),
            outcomes: hardness.indices.map {
              .init(
                example: $0, sample: 0, isCorrect: stream.nextUniform() < hardness[$0] + shift, length: 10,
                isTruncated: false)
            }, records: [], evaluationSeconds: 1)
        })
    }
    return BenchResult(
      algorithms: algorithms, baseline: 0, seeds: (0..<UInt64(seeds)).map { $0 }, start: algorithms[0].runs[0].outcomes,
      curveProblems: 10, steps: 4)
  }

  @Test func `rank what the numbers support`() {
    var stream = RandomStream(seed: 1)
    let report = BenchReport(result(skills: [0, 0, 0.25], stream: &stream), facts: [])
    #expect(report.analysis.withBaseline.map(\.verdict) == [.undecided, .better])
    #expect(report.analysis.groups == [[0, 1], [2]])
    #expect(report.conclusion.contains("algorithm-2 is above algorithm-0 by"))
    #expect(report.conclusion.contains("not ranked: {algorithm-0, algorithm-1}"))
    #expect(report.statements[0].contains("are not told apart"))
  }

  @Test func `rank nothing where nothing differs but luck`() {
    var stream = RandomStream(seed: 2)
    var ranked = 0
    for _ in 0..<60 {
      let analysis = BenchAnalysis(
        result(skills: [0, 0, 0, 0], problems: 150, luck: 0.04, stream: &stream), resamples: 200)
      if analysis.withBaseline.contains(where: { $0.verdict != .undecided }) { ranked += 1 }
    }
    // Holm keeps the chance of one false ranking among all comparisons near 5 %: three of sixty.
    #expect(ranked <= 6, "\(ranked) of 60 benchmarks of equal algorithms ranked one")
  }

  @Test func `rank nothing by a single seed, however clear it looks`() {
    var stream = RandomStream(seed: 3)
    let report = BenchReport(result(skills: [0, 0.3], seeds: 1, stream: &stream), facts: [])
    #expect(report.analysis.withBaseline[0].pooled.pValue < 1e-6)
    #expect(report.analysis.withBaseline[0].verdict == .undecided)
    #expect(report.conclusion.contains("nothing is ranked"))
  }

  @Test func `say so where two algorithms did the very same`() throws {
    var stream = RandomStream(seed: 4)
    let one = result(skills: [0], stream: &stream)
    let twins = BenchResult(
      algorithms: one.algorithms + [.init(label: "twin", runs: one.algorithms[0].runs)], baseline: 0, seeds: one.seeds,
      start: one.start, curveProblems: 10, steps: 4)
    let report = BenchReport(twins, facts: [])
    #expect(report.statements[0] == "twin and algorithm-0 have the same problems right in every run.")
    #expect(report.conclusion.contains("are not told apart"))
    #expect(report.analysis.withBaseline[0].adjustedPValue == 1)
  }

  @Test func `McNemar's pairs are counted per seed and summed`() {
    func run(_ seed: UInt64, _ correct: [Bool]) -> BenchResult.Run {
      .init(
        seed: seed,
        outcomes: correct.enumerated().map { .init(example: $0, sample: 0, isCorrect: $1, length: 1, isTruncated: false) },
        records: [], evaluationSeconds: 0)
    }
    let base = BenchResult.Algorithm(label: "a", runs: [run(0, [true, false, false, true]), run(1, [true, true, false, true])])
    let other = BenchResult.Algorithm(label: "b", runs: [run(0, [true, true, true, false]), run(1, [false, true, true, true])])
    let analysis = BenchAnalysis(
      BenchResult(algorithms: [base, other], baseline: 0, seeds: [0, 1], start: base.runs[0].outcomes, curveProblems: 4, steps: 1))
    let comparison = analysis.withBaseline[0]
    #expect(comparison.seeds == [.init(gained: 2, lost: 1), .init(gained: 1, lost: 1)])
    #expect(comparison.pooled == .init(gained: 3, lost: 2))
    #expect(abs(comparison.pooled.pValue - 1) < 1e-12)
    #expect(abs(comparison.difference.interval.estimate - 1.0 / 8) < 1e-12)
  }

  @Test func `groups overlap where a middle one is like both ends`() {
    #expect(BenchAnalysis.groups(of: 3) { first, second in abs(first - second) == 2 } == [[0, 1], [1, 2]])
    #expect(BenchAnalysis.groups(of: 3) { _, _ in true } == [[0], [1], [2]])
    #expect(BenchAnalysis.groups(of: 3) { _, _ in false } == [[0, 1, 2]])
  }

  @Test func `a curve is the mean and range of the seeds at steps that all have`() {
    let curve = BenchCurve([[(1, 1), (2, 3), (3, 5)], [(1, 3), (2, 5)]], window: 2)
    #expect(curve.points.map(\.step) == [1, 2])
    #expect(curve.points.map(\.mean) == [2, 3])
    #expect(curve.points.map(\.low) == [1, 2])
    #expect(curve.points.map(\.high) == [3, 4])
  }
}
