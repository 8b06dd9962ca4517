import Support
import Tasks

/// What k samples a problem would give, for several k: one of them right (pass@k), or the most frequent answer right (maj@k).
package struct SampleCurve: Sendable {
  package struct Point: Sendable {
    package let k: Int
    /// The unbiased estimate of Chen et al. (arXiv 2107.03374).
    package let pass: Statistics.Interval
    /// Majority vote over answers (self-consistency, Wang et al., arXiv 2203.11171); ties count by chance.
    package let majority: Statistics.Interval
  }

  package let points: [Point]

  /// The powers of two below a number of samples, and that number.
  package static func sizes(samples: Int) -> [Int] {
    var sizes: [Int] = []
    var k = 1
    while k < samples {
      sizes.append(k)
      k *= 2
    }
    return sizes + [samples]
  }

  /// - Parameter verdicts: for each problem those of its samples, equally many for all.
  package init<E: Error>(_ verdicts: [[Verdict]], agree: (String, String) throws(E) -> Bool) throws(E) {
    let samples = verdicts.first?.count ?? 0
    var votes: [MajorityVote] = []
    if samples > 1 { for ofProblem in verdicts { votes.append(try MajorityVote(ofProblem, agree: agree)) } }
    let right = verdicts.map { $0.count(where: \.isCorrect) }
    points = Self.sizes(samples: samples).filter { $0 > 0 }.map { k in
      let trials = Double(samples) / Double(k)
      let pass = right.map { Statistics.passAtK(correct: $0, samples: samples, k: k) ?? 0 }
      let majority =
        k == 1 ? pass : votes.enumerated().map { $0.element.expected(k: k, stream: UInt64($0.offset)) }
      return Point(
        k: k, pass: Statistics.clusteredShare(pass, trialsEach: trials),
        majority: Statistics.clusteredShare(majority, trialsEach: trials))
    }
  }
}
