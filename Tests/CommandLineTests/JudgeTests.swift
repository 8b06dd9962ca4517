import Foundations
import Testing

@Suite struct JudgeTests {
  @Test func onePairIsSaidInWordsOrAsJSON() throws {
    #expect(try tool("judge", "--answer", "\\frac12", "--gold", "0.5").output == "correct: equal as numbers: 1/2\n")
    #expect(try tool("judge", "--answer", "6uv", "--gold", "6").output.hasPrefix("wrong: expected 6, found 6uv"))
    let json = try tool("judge", "--answer", "so \\boxed{5\\text{ cm}}", "--gold", "5\\text{ m}", "--json").json
    #expect(json["correct"]?.bool == false && json["extracted"]?.string == "5\\text{ cm}")
    #expect(json["reason"]?.string?.hasPrefix("different units") == true)
    #expect(try tool("judge", "--answer", "5.0", "--gold", "5", "--reward", "exact").output.hasPrefix("wrong"))
  }

  @Test func aFileGivesALineForEachOfItsOwnInOrder() throws {
    let lines = #"""
      {"answer": "9223372036854775808", "gold": 9223372036854775808}
      {"answer": "9223372036854775807", "gold": 9223372036854775808}
      {"answer": "10^{400}", "gold": 1e400}
      {"completion": "\\boxed{1} then \\boxed{2}", "gold": 2}
      {"completion": "no box", "gold": "2"}
      {"answer": "\\boxed{}", "gold": "42"}
      {"answer": "0.1", "gold": 0.10}
      """#
    let result = try tool("judge", "--data", "-", input: lines)
    #expect(result.code == 0, "\(result.error)")
    let verdicts = try result.output.split(separator: "\n").map { try JSON.parse(String($0), name: "judge") }
    #expect(verdicts.map { $0["correct"]?.bool } == [true, false, true, true, false, false, true])
    #expect(verdicts[3]["extracted"]?.string == "2" && verdicts[4]["extracted"] == .null)
  }

  @Test(arguments: [
    (#"{"answer": "1", "gold": "\frac{1}{2}"}"#, "one backslash too few"), (#"{"answer": "1", "gold": "2\text{ cm}"}"#, "one backslash too few"),
    (#"{"answer": "1"}"#, "\"gold\""), (#"{"gold": "1"}"#, "\"answer\" or \"completion\""), (#"{"answer": [], "gold": "1"}"#, "\"answer\""), ("{", "line 2"),
  ])
  func aBadLineIsNamed(_ line: String, _ expected: String) throws {
    let folder = try TrialFolder()
    let path = try folder.write("{\"answer\": \"1\", \"gold\": \"1\"}\n" + line + "\n", "pairs.jsonl")
    let result = try tool("judge", "--data", path)
    #expect(result.code == 65 && result.error.contains("line 2") && result.error.contains(expected), "\(result.error)")
  }
}
