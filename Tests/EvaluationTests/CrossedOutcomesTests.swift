import Support
import Testing

@testable import Evaluation

@Suite struct `Seeds and problems together` {
  let golden: JSON

  init() throws {
    golden = try JSON.read(Files.directory(of: #filePath) + "/Goldens/statistics.json")
  }

  private func rows(_ key: String) throws -> [[Double]] {
    let rows = try #require(golden[key]?.array).map { try #require($0.array).map { try #require($0.double) } }
    try #require(!rows.isEmpty)
    return rows
  }

  @Test func `Student's tails are scipy's`() throws {
    for row in try rows("student") {
      let found = Statistics.studentT(twoSided: row[0], degrees: row[1])
      #expect(abs(found - row[2]) <= 1e-9 * row[2] + 1e-300, "\(row): found \(found)")
    }
    #expect(Statistics.studentT(twoSided: .infinity, degrees: 3) == 0)
  }

  @Test func `Student's quantiles are scipy's`() throws {
    for row in try rows("student_quantile") {
      let found = Statistics.studentTQuantile(confidence: row[0], degrees: row[1])
      #expect(abs(found - row[2]) <= 1e-9 * row[2], "\(row): found \(found)")
    }
  }

  @Test func `Holm's adjustment is that of its definition`() throws {
    for golden in try #require(golden["holm"]?.array) {
      let pair = try #require(golden.array).map { try #require($0.array).map { try #require($0.double) } }
      let found = Statistics.holm(pair[0])
      #expect(found.count == pair[1].count)
      for (found, expected) in zip(found, pair[1]) { #expect(abs(found - expected) < 1e-12, "\(pair)") }
    }
  }

  @Test func `the interval over seeds and problems is NumPy's and scipy's`() throws {
    for golden in try #require(golden["crossed"]?.array) {
      let values = try #require(golden["values"]?.array).map { row in
        try #require(row.array).map { try #require($0.double) }
      }
      let found = CrossedOutcomes(values).estimate()
      for (name, number) in [
        ("mean", found.interval.estimate), ("low", found.interval.lower), ("high", found.interval.upper),
        ("error", found.standardError), ("degrees", found.degreesOfFreedom), ("p", found.pValue),
      ] {
        let expected = try #require(golden[name]?.double)
        #expect(abs(number - expected) <= 1e-9 * max(abs(expected), 1e-3), "\(name): found \(number), expected \(expected)")
      }
      let ends = try #require(golden["bootstrap"]?.array).map { try #require($0.double) }
      let means = try #require(CrossedOutcomes.bootstrap([CrossedOutcomes(values)], resamples: 20_000).first)
      let interval = Statistics.percentileInterval(means, estimate: found.interval.estimate)
      #expect(abs(interval.lower - ends[0]) < 0.04 * (ends[1] - ends[0]), "\(interval), expected \(ends)")
      #expect(abs(interval.upper - ends[1]) < 0.04 * (ends[1] - ends[0]), "\(interval), expected \(ends)")
    }
  }

  @Test func `resamples of two outcomes are of the same seeds and problems`() {
    let first = CrossedOutcomes([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1]])
    let shifted = CrossedOutcomes(first.values.map { $0.map { $0 + 2 } })
    let means = CrossedOutcomes.bootstrap([first, shifted], resamples: 50)
    #expect(means.map(\.count) == [50, 50])
    for (one, other) in zip(means[0], means[1]) { #expect(abs(other - one - 2) < 1e-12) }
    #expect(Set(means[0]).count > 5)
  }

  @Test func `no scatter gives no width`() {
    let same = CrossedOutcomes([[0, 0], [0, 0]]).estimate()
    #expect(same.interval == Statistics.Interval(estimate: 0, lower: 0, upper: 0) && same.pValue == 1)
    #expect(CrossedOutcomes([[1, 1], [1, 1]]).estimate().pValue == 0)
  }

  /// Runs of two equally good algorithms whose seeds differ by luck: an interval over problems alone would often miss 0.
  @Test func `the interval covers the truth where seeds differ by luck`() {
    var stream = RandomStream(seed: 5)
    let (trials, seeds, problems) = (400, 3, 300)
    var covered = 0
    var coveredByProblems = 0
    for _ in 0..<trials {
      let values = (0..<seeds).map { _ in
        let luck = 0.03 * stream.nextNormal()
        return (0..<problems).map { _ -> Double in
          let draw = stream.nextUniform()
          return draw < 0.075 + luck / 2 ? 1 : draw > 1 - (0.075 - luck / 2) ? -1 : 0
        }
      }
      let interval = CrossedOutcomes(values).estimate().interval
      if interval.lower <= 0, interval.upper >= 0 { covered += 1 }
      let alone = CrossedOutcomes([CrossedOutcomes(values).problemMeans]).estimate().interval
      if alone.lower <= 0, alone.upper >= 0 { coveredByProblems += 1 }
    }
    #expect(Double(covered) / Double(trials) > 0.93, "covered \(covered) of \(trials)")
    #expect(Double(coveredByProblems) / Double(trials) < 0.85, "covered \(coveredByProblems) of \(trials)")
  }
}
