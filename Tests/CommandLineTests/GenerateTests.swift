import Support
import TestSupport
import Testing

@Suite struct GenerateTests {
  private func prompts(_ folder: TrialFolder) throws -> String {
    try folder.write(
      "{\"prompt\": \"How many?\"}\r\n\n{\"question\": \"数学 e\u{301}\u{2028} 7\"}\n   \n{\"problem\": \"Tom has 3 apples and buys 4 more.\"}\n{\"prompt\": \"x\"}\n{\"prompt\": \"no\"}",
      "prompts.jsonl")
  }

  @Test(arguments: [["--temperature", "0"], ["--temperature", "1", "--seed", "3"], ["--temperature", "0.7", "--top-k", "20", "--top-p", "0.9"]])
  func theTextIsTheSameForEveryBatchSizeAndEveryNumberOfThreads(_ sampling: [String]) throws {
    let folder = try TrialFolder()
    let prompts = try prompts(folder)
    var texts: Set<String> = []
    for (batchSize, threads) in [("1", "1"), ("4", "1"), ("1", "2"), ("4", "2"), ("100", "3")] {
      let result = try tool(
        ["generate", "--model", Place.model, "--adapter", Place.adapter, "--prompts", prompts, "--max-new-tokens", "20",
          "--batch-size", batchSize, "--threads", threads] + sampling)
      #expect(result.code == 0, "\(result.error)")
      #expect(result.output.split(separator: "\n").count == 5)
      texts.insert(result.output)
    }
    #expect(texts.count == 1)
  }

  @Test func aFilesPromptsAreReadAsTheyStand() throws {
    let folder = try TrialFolder()
    let result = try tool("generate", "--model", Place.model, "--prompts", prompts(folder), "--max-new-tokens", "1", "--json")
    let read = result.json["completions"]?.array?.compactMap { $0["prompt"]?.string }
    #expect(read == ["How many?", "数学 e\u{301}\u{2028} 7", "Tom has 3 apples and buys 4 more.", "x", "no"])
    #expect(result.json["tokens"]?.int == 5)
  }

  @Test func otherSeedsGiveOtherTextsAndGreedyNeedsNone() throws {
    func text(_ options: String...) throws -> String {
      try tool(["generate", "--model", Place.model, "--prompt", "How many?", "--raw", "--max-new-tokens", "30"] + options).output
    }
    #expect(try text("--temperature", "1", "--seed", "1") != text("--temperature", "1", "--seed", "2"))
    #expect(try text("--seed", "1") == text("--seed", "2"))
    #expect(try text("--temperature", "1", "--top-k", "1") == text())
  }

  @Test func promptsThatAreNoneAreRefusedByTheirPlace() throws {
    let folder = try TrialFolder()
    func generate(_ lines: String) throws -> ToolResult {
      try tool("generate", "--model", Place.model, "--prompts", folder.write(lines, "p.jsonl"))
    }
    expectRefusal(try generate("{\"prompt\": \"a\"}\n{\"text\": 1}\n"), 65, "p.jsonl", "2", "expected \"prompt\"")
    expectRefusal(try generate("{\"prompt\": \"a\"}\n\n{\"prompt\": \n"), 65, "p.jsonl", "3")
    expectRefusal(try generate("\n \n"), 65, "p.jsonl", "holds no prompt")
    expectRefusal(try tool("generate", "--model", Place.model, "--prompt", "", "--raw"), 65, "without tokens")
    expectRefusal(try tool("generate", "--model", Place.model), 65, "standard input: holds no prompt")
    expectRefusal(try tool("generate", "--model", Place.model, "--prompts", folder.file("none")), 66, "none")
    let long = String(repeating: "x y ", count: 1000)
    expectRefusal(try tool("generate", "--model", Place.model, "--prompt", long), 65, "max_position_embeddings")
  }

  private func generate(_ options: [String], input: String = "") throws -> ToolResult {
    try tool(["generate", "--model", Place.model, "--max-new-tokens", "24"] + options, input: input)
  }

  @Test func standardInputIsAPromptAsAnOptionIs() throws {
    let given = try generate(["--prompt", "How\nmany 数?"])
    #expect(given.code == 0 && !given.output.isEmpty)
    #expect(try generate([], input: "How\nmany 数?\n").output == given.output)
    #expect(try generate(["--prompt", "-"], input: "How\nmany 数?").output == given.output)
    let lines = try generate(["--prompts", "-"], input: "{\"prompt\": \"How\\nmany 数?\"}\n{\"question\": \"x\"}\n")
    #expect(lines.output.split(separator: "\n").count == 2)
    expectRefusal(try tool(["generate", "--model", Place.model], input: ""), 65, "standard input", "--prompt TEXT")
  }

  /// What is shown as it comes is what is known in the end.
  @Test(arguments: [[], ["--temperature", "1.5", "--seed", "3"], ["--temperature", "3", "--seed", "8", "--raw"]])
  func streamingChangesNoToken(_ sampling: [String]) throws {
    let streamed = try generate(["--prompt", "How many?"] + sampling)
    let whole = try generate(["--prompt", "How many?", "--json"] + sampling)
    let text = try #require(whole.json["completions"]?.array?.first?["completion"]?.string)
    #expect(streamed.output == text + "\n")
  }

  @Test func samplesAreIndependentAndTheFirstIsTheOnlyOne() throws {
    func tokens(_ options: [String]) throws -> [JSON] {
      try #require(try generate(["--prompt", "How many?", "--temperature", "1", "--json"] + options).json["completions"]?.array)
    }
    let one = try tokens([])
    let four = try tokens(["--samples", "4"])
    #expect(four.count == 4)
    #expect(four.map { $0["sample"]?.int } == [0, 1, 2, 3])
    #expect(one[0]["sample"] == nil)
    #expect(four[0]["tokens"] == one[0]["tokens"])
    #expect(Set(four.map { $0["tokens"]?.text() ?? "" }).count == 4)
    let lines = try generate(["--prompt", "How many?", "--temperature", "1", "--samples", "4"]).output.split(separator: "\n")
    #expect(lines.count == 4)
    #expect(try JSON.parse(String(lines[2]), name: "line")["tokens"] == four[2]["tokens"])
  }

  @Test func aCompletionEndsAtTheContextAndThatIsSaidOnce() throws {
    // 512 positions; an unending text of one letter a token, or nearly.
    let long = String(repeating: "q z ", count: 120)
    let result = try tool(
      "generate", "--model", Place.model, "--raw", "--prompt", long, "--max-new-tokens", "5000", "--temperature", "2", "--json", "--samples", "3")
    #expect(result.code == 0, "\(result.error)")
    let made = try #require(result.json["completions"]?.array)
    let cut = made.filter { $0["truncated"]?.bool == true }
    #expect(!cut.isEmpty, "a completion reached the context")
    #expect(Set(cut.map { $0["tokens"]?.array?.count }).count == 1)
    #expect(result.error.split(separator: "\n").count == 1)
    #expect(result.error.contains("context of 512 tokens"), "\(result.error)")
  }

  /// Colder than float32 can say is greedy, and the log-probabilities are those of that temperature: 0.
  @Test(arguments: ["1e-3", "1e-10", "1e-37", "1e-38", "1e-40", "1e-45", "1e-50", "1e-300"])
  func aTinyTemperatureIsGreedy(_ temperature: String) throws {
    let greedy = try generate(["--prompt", "How many?", "--json"]).json["completions"]?.array?.first
    let cold = try generate(["--prompt", "How many?", "--json", "--temperature", temperature]).json["completions"]?.array?.first
    #expect(cold?["tokens"] == greedy?["tokens"] && cold?["tokens"] != nil)
    let logProbs = try #require(cold?["log_probs"]?.array?.compactMap { $0.double })
    #expect(logProbs.count == cold?["tokens"]?.array?.count)
    #expect(logProbs.allSatisfy { temperature == "1e-3" ? $0 > -0.7 && $0 <= 0 : abs($0) == 0 }, "\(logProbs)")
  }
}
