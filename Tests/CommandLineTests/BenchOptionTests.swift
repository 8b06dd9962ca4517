import Support
import TestSupport
import Testing

/// What an algorithm of a benchmark has of its own, and several sets of questions.
@Suite struct BenchOptionTests {
  private let folder: TrialFolder

  init() throws { folder = try TrialFolder() }

  private func questions(_ name: String, _ range: Range<Int>) throws -> String {
    try folder.write(range.map { "{\"question\": \"\($0) + 1?\", \"answer\": \"\($0 + 1)\"}\n" }.joined(), name)
  }

  private func bench(_ algos: String, _ words: [String] = []) throws -> ToolResult {
    try tool(
      [
        "bench", "--model", Place.model, "--data", try questions("train.jsonl", 0..<12), "--eval-data", try questions("near.jsonl", 20..<26), "--eval-data",
        try questions("far.v2.jsonl", 90..<94), "--algos", algos, "--out", folder.file("bench"), "--seeds", "2", "--steps", "2", "--group-size", "3",
        "--prompts-per-step", "2", "--max-new-tokens", "6", "--eval-every", "0", "--quiet", "--json",
      ] + words)
  }

  private func records(_ label: String, seed: Int) throws -> [JSON] {
    try Files.readText(folder.file("bench/\(label)/seed-\(seed)/metrics.jsonl")).split(separator: "\n").map { (line) throws in
      try JSON.parse(String(line), name: label)
    }
  }

  @Test func optionsOfRunsStandBehindAnAlgorithm() throws {
    let result = try bench("grpo,grpo:lr=2e-3,group=2,inner-epochs=1,clip_high=0.3")
    #expect(result.code == 0, "\(result.error)")
    let label = "grpo:lr=2e-3:group=2:inner-epochs=1:clip_high=0.3"
    #expect(result.json["algorithms"]?.array?.compactMap { $0["label"]?.string } == ["grpo", label])
    for record in try records("grpo", seed: 42) { #expect(record["learning_rate"]?.double == 1e-5 && record["updates"]?.int == 2) }
    let folderName = "grpo,lr=2e-3,group=2,inner-epochs=1,clip_high=0.3"
    for record in try records(folderName, seed: 42) { #expect(record["learning_rate"]?.double == 2e-3 && record["updates"]?.int == 1) }
    let samples = try Files.readText(folder.file("bench/\(folderName)/seed-43/samples.jsonl")).split(separator: "\n")
    #expect(samples.count == 2 * 2 * 2)
    let identity = try JSON.read(folder.file("bench/\(folderName)/seed-42/run.json"))
    #expect(identity.text().contains("\"group-size\":2.0") || identity.text().contains("\"group-size\": 2.0"), "\(identity.text())")
    // Every set has its accuracies; the first decides.
    let further = try #require(result.json["further"]?.array)
    #expect(further.count == 1 && further[0]["set"]?.string == "far" && further[0]["problems"]?.int == 4 && result.json["problems"]?.int == 6)
    for seed in [42, 43] {
      #expect(try Files.readText(folder.file("bench/grpo/seed-\(seed)/eval-far.jsonl")).split(separator: "\n").count == 4)
      #expect(try Files.readText(folder.file("bench/grpo/seed-\(seed)/eval.jsonl")).split(separator: "\n").count == 6)
    }
    let page = try Files.readText(folder.file("bench/bench.html"))
    #expect(page.contains("On far") && page.contains("How many seeds it takes"))
    // Interrupted and continued: what is finished is not run again, and a set that is not the same is refused.
    Files.remove(folder.file("bench/grpo/seed-43/eval.jsonl"))
    let again = try bench("grpo,grpo:lr=2e-3,group=2,inner-epochs=1,clip_high=0.3", ["--resume"])
    #expect(again.code == 0, "\(again.error)")
    #expect(again.json["algorithms"] == nil || again.json["conclusion"] == result.json["conclusion"])
  }

  @Test(arguments: [
    ("lr=1e-3,grpo", "a name stands before"), ("grpo:lr=much", "expected a number from 0 to 1000"), ("grpo:group=2.5", "expected a whole number"),
    ("grpo:value-lr=1e-3", "value-lr does nothing here"), ("grpo:grop=2", "did you mean group"), ("grpo:lr=1,lr=2", "twice"),
  ])
  func whatIsNoOptionIsRefused(_ algos: String, _ says: String) throws {
    expectRefusal(try bench(algos), 64, says)
    #expect(!Files.exists(folder.file("bench/run.json")))
  }
}
