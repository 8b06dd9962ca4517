import Evaluation
import Support
import Testing

@testable import Benchmarking

@Suite struct SeedsNeededTests {
  /// Paired differences of so many seeds on so many problems around a true difference: seeds have their luck, problems theirs.
  private static func outcomes(_ seeds: Int, _ problems: Int, difference: Double, luck: Double, byProblem: Double, _ random: inout RandomStream) -> CrossedOutcomes {
    let ofProblems = (0..<problems).map { _ in byProblem * random.nextNormal() }
    return CrossedOutcomes((0..<seeds).map { _ in
      let ofSeed = luck * random.nextNormal()
      return ofProblems.map { difference + ofSeed + $0 }
    })
  }

  /// What it promises: with so many seeds, four of five benchmarks find the difference.
  @Test(arguments: [(luck: 0.02, byProblem: 0.05), (luck: 0.03, byProblem: 0.15), (luck: 0.01, byProblem: 0.1)])
  func soManySeedsFindTheDifferenceInFourOfFive(_ luck: Double, _ byProblem: Double) throws {
    var random = RandomStream(seed: 7, path: [1])
    let problems = 200
    // From a large benchmark, which knows the scatter well.
    let known = Self.outcomes(300, problems, difference: 0, luck: luck, byProblem: byProblem, &random)
    let needed = try #require(SeedsNeeded(known, difference: 0.04)?.seeds)
    var found = 0
    let rounds = 400
    for _ in 0..<rounds {
      if Self.outcomes(needed, problems, difference: 0.04, luck: luck, byProblem: byProblem, &random).estimate().pValue < 0.05 { found += 1 }
    }
    let power = Double(found) / Double(rounds)
    #expect(power > 0.72 && power < 0.95, "\(needed) seeds: \(power)")
  }

  @Test func whereTheProblemsAreTooFewNoNumberOfSeedsIsEnough() throws {
    var random = RandomStream(seed: 7, path: [2])
    let few = Self.outcomes(5, 40, difference: 0, luck: 0.01, byProblem: 0.4, &random)
    let needed = try #require(SeedsNeeded(few, difference: 0.02))
    #expect(needed.seeds == nil)
    let problems = try #require(needed.problems)
    let more = Self.outcomes(10, problems, difference: 0, luck: 0.01, byProblem: 0.4, &random)
    #expect(try #require(SeedsNeeded(more, difference: 0.023)).seeds != nil)
    #expect(SeedsNeeded(CrossedOutcomes([[0, 1]]), difference: 0.02) == nil)
    // What does not scatter at all needs the fewest there are.
    #expect(SeedsNeeded(CrossedOutcomes([[0.5, 0.5], [0.5, 0.5]]), difference: 0.02)?.seeds == 2)
  }
}
