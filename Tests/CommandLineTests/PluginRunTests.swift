import Support
import TestSupport
import Testing

@Suite struct PluginRunTests {
  private func questions(_ folder: TrialFolder) throws -> String {
    try folder.write(
      "{\"question\": \"How many are 3 + 4?\", \"answer\": \"3 + 4 = <<3+4=7>>7\\n#### 7\"}\n{\"problem\": \"Half of 10?\", \"solution\": \"It is \\\\boxed{5}.\"}\n",
      "questions.jsonl")
  }

  private func options(_ folder: TrialFolder, _ out: String, algo: String) throws -> [String] {
    [
      "rl", "--model", Place.model, "--data", try questions(folder), "--algo", algo, "--out", folder.file(out), "--steps", "2",
      "--group-size", "3", "--max-new-tokens", "6", "--quiet",
    ]
  }

  /// As a user does it: one file, the compiler alone, a folder of plugins; the program is not rebuilt.
  @Test func aPluginBuiltFromOneFileAndDroppedIntoAFolderTrains() throws {
    let folder = try TrialFolder()
    try Files.makeDirectory(folder.file("plugins"))
    let build = try RunningTool(
      [
        "\(Place.repository)/Sources/PluginAPI/build-plugin.sh", "\(Place.repository)/Examples/Reinforce/Reinforce.swift", "-o",
        folder.file("plugins/libnr-reinforce.so"),
      ], program: "/bin/sh"
    ).wait()
    #expect(build.code == 0, "\(build.error)")
    let environment = ["NR_PLUGIN_PATH": folder.file("plugins")]
    let list = try tool("plugin", "list", environment: environment)
    #expect(list.code == 0 && list.output.contains("reinforce") && list.output.contains("grpo"))
    let words = try options(folder, "run", algo: "reinforce")
    let run = try tool(words + ["--set", "entropy_weight=0.01", "--json"], environment: environment)
    #expect(run.code == 0, "\(run.error)")
    #expect(run.json["algo"]?.string == "reinforce" && run.json["steps"]?.int == 2)
    #expect(run.json["last"]?["sampler_mismatch"]?.double == 0)
    #expect(try deterministicRecords(folder.file("run/metrics.jsonl")).count == 2)
    #expect(Files.exists(folder.file("run/adapter/adapter_model.safetensors")))
    expectRefusal(try tool(words + ["--resume", "--set", "entropy_weight=0.5"], environment: environment), 65, "was")
    // By its path it needs no folder.
    let path = try options(folder, "path", algo: folder.file("plugins/libnr-reinforce.so"))
    #expect(try tool(path).code == 0)
    expectRefusal(
      try tool(options(folder, "typo", algo: "reinforse"), environment: environment), 66, "reinforse", "reinforce")
  }

  @Test func aRunWithGRPOIsTheSameForEveryNumberOfThreadsAndResumes() throws {
    let folder = try TrialFolder()
    for (name, threads) in [("one", "1"), ("two", "2")] {
      let result = try tool(options(folder, name, algo: "grpo") + ["--threads", threads])
      #expect(result.code == 0, "\(result.error)")
    }
    #expect(try tool(options(folder, "parts", algo: "grpo") + ["--steps", "1"].map { $0 }).code == 64, "an option given twice")
    var words = try options(folder, "parts", algo: "grpo")
    words[words.firstIndex(of: "--steps")! + 1] = "1"
    #expect(try tool(words).code == 0)
    #expect(try tool(options(folder, "parts", algo: "grpo") + ["--resume"]).code == 0)
    for name in ["two", "parts"] {
      for file in ["adapter/adapter_model.safetensors", "samples.jsonl"] {
        #expect(try Files.read(folder.file("one/\(file)")) == Files.read(folder.file("\(name)/\(file)")), "\(name)/\(file)")
      }
      #expect(try deterministicRecords(folder.file("one/metrics.jsonl")) == deterministicRecords(folder.file("\(name)/metrics.jsonl")))
    }
  }

  @Test func aParameterThatIsNoneIsRefusedByItsName() throws {
    let folder = try TrialFolder()
    let words = try options(folder, "run", algo: "grpo")
    expectRefusal(try tool(words + ["--set", "clip_hihg=0.3"]), 64, "clip_hihg", "clip_high")
    expectRefusal(try tool(words + ["--set", "clip_high=much"]), 64, "clip_high", "much")
    expectRefusal(try tool(words + ["--set", "clip_high=-1"]), 64, "clip_high", "-1")
    expectRefusal(try tool(words + ["--set", "clip_high"]), 64, "clip_high")
    #expect(!Files.exists(folder.file("run/run.json")))
  }

  @Test func aLibraryThatIsNoPluginIsRefusedInOneLine() throws {
    let folder = try TrialFolder()
    let text = try folder.write("this is no library\n", "libnr-text.so")
    expectRefusal(try tool(options(folder, "run", algo: text)), 65, text)
    expectRefusal(try tool(options(folder, "run", algo: folder.file("missing.so"))), 66, "missing.so")
    let empty = try folder.write("", "libnr-empty.so")
    expectRefusal(try tool(options(folder, "run", algo: empty)), 65, empty)
    // One broken library in the folder stops no other.
    let result = try tool(options(folder, "run", algo: "grpo"), environment: ["NR_PLUGIN_PATH": folder.path])
    #expect(result.code == 0, "\(result.error)")
  }
}
