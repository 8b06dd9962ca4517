import Support
import Tasks

/// The votes of one problem's samples: equal answers vote together, a sample without an answer does not vote.
package struct MajorityVote: Sendable {
  /// For each sample the class of equal answers it votes for; nil where it gave none.
  private let classes: [Int?]
  /// Whether the answer of a class is right.
  private let isRight: [Bool]

  /// - Parameter agree: whether two extracted answers are the same answer.
  package init<E: Error>(_ verdicts: [Verdict], agree: (String, String) throws(E) -> Bool) throws(E) {
    var representatives: [String] = []
    var isRight: [Bool] = []
    var classes: [Int?] = []
    for verdict in verdicts {
      guard let answer = verdict.extracted, !answer.isEmpty else {
        classes.append(nil)
        continue
      }
      // A right answer and a wrong one never vote together, whatever the comparison of the two says.
      var choice = 0
      while choice < representatives.count {
        if isRight[choice] == verdict.isCorrect {
          if representatives[choice] == answer { break }
          if try agree(representatives[choice], answer) { break }
        }
        choice += 1
      }
      if choice == representatives.count {
        representatives.append(answer)
        isRight.append(verdict.isCorrect)
      }
      classes.append(choice)
    }
    self.classes = classes
    self.isRight = isRight
  }

  /// The chance that the answer with the most votes among some samples is right: 1 or 0, or between where answers tie,
  /// since one of them is then taken at random. No vote at all is wrong.
  package func share(of samples: some Sequence<Int>) -> Double {
    var votes = Array(repeating: 0, count: isRight.count)
    for sample in samples { if let choice = classes[sample] { votes[choice] += 1 } }
    guard let most = votes.max(), most > 0 else { return 0 }
    let winners = votes.indices.filter { votes[$0] == most }
    return Double(winners.count { isRight[$0] }) / Double(winners.count)
  }

  /// The expected ``share(of:)`` over subsets of k samples: of all samples exactly, of fewer the mean over `draws` subsets
  /// that depend on `stream` only.
  package func expected(k: Int, stream: UInt64, draws: Int = 400) -> Double {
    let count = classes.count
    guard k >= 1, k <= count else { return 0 }
    if k == count { return share(of: 0..<count) }
    var random = RandomStream(seed: 0, path: [0x4D_41_4A, stream, UInt64(k)])
    var order = Array(0..<count)
    var sum = 0.0
    for _ in 0..<draws {
      for place in 0..<k { order.swapAt(place, random.next(in: place...(count - 1))) }
      sum += share(of: order[..<k])
    }
    return sum / Double(draws)
  }
}
