import Support
import Testing

@testable import Evaluation

@Suite struct `Statistics agree with scipy` {
  let golden: JSON

  init() throws {
    golden = try JSON.read(Files.directory(of: #filePath) + "/Goldens/statistics.json")
  }

  private func rows(_ key: String) throws -> [[Double]] {
    let rows = try #require(golden[key]?.array).map { try #require($0.array).map { try #require($0.double) } }
    try #require(!rows.isEmpty)
    return rows
  }

  private func expect(_ found: Double, _ expected: Double, relative: Double = 1e-10, _ what: String) {
    #expect(
      abs(found - expected) <= relative * max(abs(expected), 1e-300), "\(what): found \(found), expected \(expected)")
  }

  @Test func `Wilson's interval is that of binomtest`() throws {
    for row in try rows("wilson") {
      let interval = Statistics.wilson(successes: Int(row[0]), trials: Int(row[1]), confidence: row[2])
      expect(interval.estimate, row[0] / row[1], "\(row)")
      #expect(abs(interval.lower - row[3]) < 1e-13, "\(row): \(interval)")
      #expect(abs(interval.upper - row[4]) < 1e-13, "\(row): \(interval)")
    }
  }

  @Test func `nothing tried says nothing`() {
    #expect(Statistics.wilson(successes: 0, trials: 0) == Statistics.Interval(estimate: 0, lower: 0, upper: 1))
  }

  @Test func `McNemar's exact test is binomtest's at one half`() throws {
    for row in try rows("mcnemar") {
      expect(
        Statistics.mcNemarExact(onlyFirst: Int(row[0]), onlySecond: Int(row[1])), row[2], relative: 1e-9, "\(row)")
    }
  }

  @Test func `pass at k is one minus the share of failing subsets`() throws {
    for row in try rows("pass_at_k") {
      let found = try #require(Statistics.passAtK(correct: Int(row[1]), samples: Int(row[0]), k: Int(row[2])))
      #expect(abs(found - row[3]) < 1e-12, "\(row): found \(found)")
    }
  }

  @Test func `pass at k needs k samples`() {
    #expect(Statistics.passAtK(correct: 1, samples: 4, k: 5) == nil)
    #expect(Statistics.passAtK(correct: 1, samples: 4, k: 0) == nil)
    #expect(Statistics.passAtK(correct: 5, samples: 4, k: 1) == nil)
  }

  @Test func `normal quantiles reach far into the tails`() throws {
    for row in try rows("normal_quantile") {
      let found = Statistics.normalQuantile(row[0])
      #expect(abs(found - row[1]) <= 1e-9 * max(1, abs(row[1])), "\(row): found \(found)")
    }
    #expect(Statistics.normalQuantile(0) == -.infinity)
    #expect(Statistics.normalQuantile(1) == .infinity)
  }

  @Test func `the bootstrap interval is near one of many resamples`() throws {
    for golden in try #require(golden["bootstrap"]?.array) {
      let values = try #require(golden["values"]?.array).map { try #require($0.double) }
      let (mean, low, high) = (
        golden["mean"]?.double ?? .nan, golden["low"]?.double ?? .nan, golden["high"]?.double ?? .nan
      )
      let interval = try #require(Statistics.bootstrapMean(values, seed: 3))
      expect(interval.estimate, mean, "mean")
      #expect(abs(interval.lower - low) < 0.05 * (high - low), "found \(interval), expected \(low)...\(high)")
      #expect(abs(interval.upper - high) < 0.05 * (high - low), "found \(interval), expected \(low)...\(high)")
    }
  }

  @Test func `the bootstrap of a seed is always the same`() {
    let values = [1.0, 0, 0, 1, 1, 0.5]
    let first = Statistics.bootstrapMean(values, resamples: 500, seed: 9)
    #expect(first == Statistics.bootstrapMean(values, resamples: 500, seed: 9))
    #expect(first != Statistics.bootstrapMean(values, resamples: 500, seed: 10))
    #expect(Statistics.bootstrapMean([]) == nil)
    #expect(Statistics.bootstrapMean([2, 2]) == Statistics.Interval(estimate: 2, lower: 2, upper: 2))
  }
}
