import Support
import TestSupport
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

/// `--reward math-verify`: the package runs as a process; here programs of our own stand for its Python.
@Suite struct MathVerifyTests {
  private func python(_ script: String, _ folder: TrialFolder) throws -> [String: String] {
    let path = try folder.write("#!/bin/sh\n" + script, "python")
    unsafe chmod(path, 0o755)
    return ["NR_PYTHON": path]
  }

  @Test func itsVerdictsAreTakenInOrder() throws {
    let folder = try TrialFolder()
    // Right is what ends in 7; what it was asked stands in a file.
    let environment = try python(
      """
      echo '{"version": "0"}'
      while read -r line; do
        echo "$line" >> '\(folder.file("asked"))'
        case "$line" in *'7"]') echo '{"correct": true, "reason": "so"}';; *) echo '{"correct": false, "reason": "not so"}';; esac
      done
      """, folder)
    let lines = #"""
      {"completion": "\\boxed{1}", "gold": "7"}
      {"answer": "7", "gold": "8"}
      {"completion": "7", "gold": "7"}
      {"answer": "1", "gold": "7"}
      """#
    let result = try tool("judge", "--data", "-", "--reward", "math-verify", input: lines, environment: environment)
    #expect(result.code == 0, "\(result.error)")
    let verdicts = try result.output.split(separator: "\n").map { try JSON.parse(String($0), name: "judge") }
    #expect(verdicts.map { $0["correct"]?.bool } == [true, false, false, true])
    #expect(verdicts.map { $0["reason"]?.string } == ["so", "not so", "no balanced \\boxed{} in the completion", "so"])
    #expect(try Files.readText(folder.file("asked")) == "[\"1\", \"7\"]\n[\"7\", \"8\"]\n", "a pair is asked once")
  }

  @Test func withoutThePackageNothingBegins() throws {
    let folder = try TrialFolder()
    let missing = try python(#"echo '{"error": "no math-verify here; install it"}'"#, folder)
    expectRefusal(try tool("judge", "--answer", "1", "--gold", "1", "--reward", "math-verify", environment: missing), 66, "install it")
    let silent = try python("exit 1", folder)
    expectRefusal(try tool("judge", "--answer", "1", "--gold", "1", "--reward", "math-verify", environment: silent), 66, "NR_PYTHON")
    let none = ["NR_PYTHON": folder.file("no/such")]
    expectRefusal(try tool("judge", "--answer", "1", "--gold", "1", "--reward", "math-verify", environment: none), 66, "cannot start")
  }

  @Test func aProcessThatDiesOnAPairIsAnErrorAndNoVerdict() throws {
    let folder = try TrialFolder()
    let environment = try python("echo '{\"version\": \"0\"}'; read -r line", folder)
    expectRefusal(try tool("judge", "--answer", "12", "--gold", "13", "--reward", "math-verify", environment: environment), 74, "12 against 13")
  }
}
