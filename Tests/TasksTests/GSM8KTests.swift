import Support
import Testing

@testable import Tasks

/// The shared data folder, in any folder above this file: tests that need it are skipped where it is absent.
private let gsm8k: String? = {
  var folder = Files.directory(of: #filePath)
  while folder != "/" && folder != "." {
    folder = Files.directory(of: folder)
    if Files.exists(folder + "/shared/data/gsm8k/test.jsonl") { return folder + "/shared/data/gsm8k" }
  }
  return nil
}()

@Suite(.enabled(if: gsm8k != nil, "needs GSM8K under shared/data/gsm8k, which is not here"))
struct `All of GSM8K can be read and graded` {
  @Test(arguments: [("test", 1319, 14), ("train", 7473, 79)])
  func `every gold answer is a number equal to itself, with or without commas`(split: String, count: Int, commas: Int)
    throws
  {
    let examples = try ExampleFile.read(try #require(gsm8k) + "/\(split).jsonl")
    #expect(examples.count == count)
    let verifier = Verifier(mode: .numeric)
    var withCommas = 0
    for example in examples {
      let gold = try #require(example.answer)
      let solution = try #require(example.solution)
      #expect(!solution.contains("<<") && !solution.contains("####"))
      if gold.contains(",") { withCommas += 1 }
      let plain = gold.filter { $0 != "," }
      #expect(Int(plain) != nil, "\(gold)")
      for form in [gold, plain, plain + ".0", "\\$" + gold, gold + "\\text{ dollars}", "\(gold)."] {
        #expect(try verifier.verdict(on: "\(solution) \\boxed{\(form)}", gold: gold).isCorrect, "\(form) for \(gold)")
      }
      #expect(try !verifier.verdict(on: "\\boxed{\(plain)1}", gold: gold).isCorrect)
    }
    #expect(withCommas == commas)
    #expect(Set(examples.map(\.key)).count == count)
  }
}
