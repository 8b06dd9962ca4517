import Support
import Testing

@testable import Tasks

/// docs/reward.md says what the verifier does.
@Suite struct `The page on the reward` {
  @Test func `says of every row of its table what is so`() throws {
    let tests = Files.directory(of: Files.directory(of: #filePath))
    let page = try Files.readText(Files.directory(of: tests) + "/docs/reward.md")
    var rows = 0
    for line in page.split(separator: "\n") where line.hasPrefix("| `") {
      // `|` stands in no answer of the table.
      let cells = line.split(separator: "|").map { String($0).trimmed }
      func code(_ cell: String) -> String { String(cell.dropFirst().dropLast()) }
      let (answer, gold) = (code(cells[0]), code(cells[1]))
      let verdict = try Verifier().verdict(answer: AnswerExtraction.boxed(in: answer) ?? answer, gold: gold)
      #expect(verdict.isCorrect == (cells[2] == "yes"), "\(answer) | \(gold): \(verdict.reason)")
      #expect(["yes", "no"].contains(cells[2]))
      rows += 1
    }
    #expect(rows > 40)
  }
}
