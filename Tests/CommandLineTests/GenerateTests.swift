import Foundations
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
    expectRefusal(try tool("generate", "--model", Place.model), 65, "standard input", "holds no prompt")
    expectRefusal(try tool("generate", "--model", Place.model, "--prompts", folder.file("none")), 66, "none")
    let long = String(repeating: "x y ", count: 1000)
    expectRefusal(try tool("generate", "--model", Place.model, "--prompt", long), 65, "max_position_embeddings")
  }
}
