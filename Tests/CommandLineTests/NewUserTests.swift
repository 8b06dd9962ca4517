import Support
import TestSupport
import Testing

/// What somebody meets on the first day: the way from quickstart on, runs below a folder, a benchmark's small form.
@Suite struct NewUserTests {
  /// Runs a line as a shell in a folder would.
  private func shell(_ line: String, in folder: String) throws -> ToolResult {
    try RunningTool(["-c", "cd '\(folder)' && \(line)"], program: "/bin/sh").wait()
  }

  @Test func theCommandsThatQuickstartEndsWithWork() throws {
    let folder = try TrialFolder()
    let place = folder.file("it's here")
    try Files.makeDirectory(place)
    let result = try tool(
      "quickstart", "--out", place + "/q", "--sft-steps", "1", "--rl-steps", "1", "--held-out", "3", "--base", Place.repository + "/Models/base")
    try #require(result.code == 0, "\(result.error)")
    let lines = result.output.split(separator: "\n").drop { $0 != "Next:" }.dropFirst().filter { !$0.hasPrefix("  #") }
    #expect(lines.count == 4)
    for line in lines {
      let next = try shell(String(line), in: folder.path)
      #expect(next.code == 0 && !next.output.isEmpty, "\(line): \(next.error)")
    }
    for file in ["report.html", "model/model.safetensors"] { #expect(Files.exists("\(place)/q/\(file)"), "\(file)") }
    // A second one mixes with nothing that is there.
    expectRefusal(try tool("quickstart", "--out", place + "/q"), 64, "holds a run already")
  }

  @Test func aBenchmarkOfOneStepIsFoundWholeByReport() throws {
    let folder = try TrialFolder()
    let questions = (0..<10).map { "{\"question\": \"What is \($0) + 1?\", \"answer\": \"\($0 + 1)\"}" }
    let data = try folder.write(questions.joined(separator: "\n"), "data.jsonl")
    let out = folder.file("bench")
    let bench = try tool(
      "bench", "--model", Place.model, "--data", data, "--algos", "grpo,dapo", "--seeds", "2", "--steps", "1", "--max-new-tokens", "4",
      "--out", out, "--quiet", "--no-tensorboard", "--live", "--checkpoint-minutes", "5")
    try #require(bench.code == 0, "\(bench.error)")
    let report = try tool("report", out)
    #expect(report.output.hasPrefix("\(out)/report.html: 4 runs"), "\(report.output)\(report.error)")
    // What is asked of a benchmark's runs is done in each.
    #expect(!Files.exists(out + "/grpo/seed-42/tensorboard") && Files.exists(out + "/grpo/seed-42/report.html"))
    expectRefusal(try tool("report", Place.transformerGoldens), 66, "no run here")
    for option in ["--dry-run", "--wandb=p"] {
      #expect(try tool(["bench", "--algos", "grpo", "--out", folder.file("other"), option]).code == 64)
    }
  }

  @Test func anInterruptedGenerationEndsWithinAStepAndKeepsWhatItWrote() throws {
    let folder = try TrialFolder()
    // A base model at a high temperature goes on for thousands of tokens.
    let pipe = folder.file("out")
    let run = try RunningTool(
      ["-c", "exec '\(Place.tool)' generate --model '\(Place.repository)/Models/base' --raw --prompt x --temperature 5 --max-new-tokens 100000 > '\(pipe)'"],
      program: "/bin/sh")
    func size() -> Int { (try? Files.read(pipe).count) ?? 0 }
    if run.wait(until: { size() > 40 }) { run.signal(SIGINT) }
    let result = run.wait()
    let text = try Files.read(pipe)
    #expect(text.count > 40 && text.last == 0x0A)
    #expect(result.code == 75 || result.code == 0, "\(result.error)")
    if result.code == 75 { #expect(result.error.contains("interrupted while generating")) }
  }

  /// The product of an uninstall that has nothing to remove is silence.
  @Test(.enabled(if: TestSupport.shell("command -v make").status == 0, "needs make"))
  func uninstallSaysNothingOfWhatIsNotThere() throws {
    let folder = try TrialFolder()
    let result = try shell("make -s -C '\(Place.repository)' uninstall DESTDIR='\(folder.path)' PREFIX=/usr", in: folder.path)
    #expect(result.code == 0 && result.error.isEmpty && !result.output.contains("Error"), "\(result.output)\(result.error)")
  }
}
