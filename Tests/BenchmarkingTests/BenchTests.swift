import Evaluation
import PluginHost
import Support
import TestSupport
import Testing
import Training

@testable import Benchmarking

@Suite struct `A benchmark's runs` {
  let folder: TrialFolder
  let library: PluginLibrary

  init() throws {
    folder = try TrialFolder()
    library = try LengthPlugin.compile(in: folder)
  }

  private func expectSame(_ first: String, _ second: String) throws {
    for name in ["adapter/adapter_model.safetensors", "samples.jsonl", "eval.jsonl"] {
      #expect(try Files.read("\(first)/\(name)") == Files.read("\(second)/\(name)"), "\(first) and \(second): \(name) differs")
    }
    let records = try deterministicRecords(first + "/metrics.jsonl")
    #expect(records.count == 4)
    #expect(try deterministicRecords(second + "/metrics.jsonl") == records)
  }

  @Test func `are bit for bit the same where an algorithm stands twice in the list`() throws {
    let trial = Trial(choices: ["length", "length:rate=3", "length"], library: library)
    let out = folder.path + "/bench"
    #expect(try trial.run(out) == .finished)
    let plan = try trial.plan(out)
    #expect(plan.algorithms.map(\.label) == ["length", "length:rate=3", "length-2"])
    for seed in trial.seeds {
      let run = { plan.run(algorithm: $0, seed: seed).folder }
      try expectSame(run(0), run(2))
      // The run between them began with the same policy, prompts and streams and went elsewhere.
      let (first, other) = (try Files.readText(run(0) + "/samples.jsonl"), try Files.readText(run(1) + "/samples.jsonl"))
      // What was drawn; ratios and advantages are those of the update that followed.
      let drawn = { (text: String) throws in
        try text.split(separator: "\n").prefix(6).map { line in
          var sample = try #require(try JSON.parse(String(line), name: "samples.jsonl").object)
          for key in ["advantage", "advantages", "ratios"] { sample[key] = nil }
          return JSON.object(sample)
        }
      }
      #expect(try drawn(first) == drawn(other))
      #expect(first != other)
      #expect(!Files.exists(run(0) + "/checkpoints/step-4"))
    }
    let seeds = try trial.seeds.map { try Files.read(plan.run(algorithm: 0, seed: $0).folder + "/samples.jsonl") }
    #expect(seeds[0] != seeds[1])
  }

  @Test func `are those of a benchmark that was interrupted and continued`() throws {
    let trial = Trial(choices: ["length", "length:rate=3"], library: library)
    let (whole, parts) = (folder.path + "/whole", folder.path + "/parts")
    try trial.run(whole)
    // Seven steps: in the middle of the second run; then in the middle of the third; then to the end.
    #expect(try trial.run(parts, stopAfter: 7) == .interrupted(run: 2, runs: 4, step: 3))
    let finished = try trial.plan(parts).run(algorithm: 0, seed: 1).folder + "/eval.json"
    try AtomicFile.write("{}", to: finished)
    #expect(try trial.run(parts, resuming: true, stopAfter: 9) == .interrupted(run: 3, runs: 4, step: 1))
    #expect(try trial.run(parts, resuming: true) == .finished)
    #expect(try Files.readText(finished) == "{}", "a finished run was run again")
    let (one, other) = (try trial.plan(whole).runs, try trial.plan(parts).runs)
    #expect(one.count == 4 && other.count == 4)
    for (one, other) in zip(one, other) { try expectSame(one.folder, other.folder) }
  }

  @Test func `may be joined by further algorithms and seeds, but not by other settings`() throws {
    var trial = Trial(choices: ["length"], seeds: [1], library: library)
    let out = folder.path + "/bench"
    try trial.run(out)
    #expect(throws: Failure.self) { try trial.run(out) }
    trial.choices = ["length", "length:rate=2"]
    trial.seeds = [1, 2]
    #expect(try trial.run(out, resuming: true) == .finished)
    #expect(try BenchResult(trial.plan(out)).algorithms.map(\.runs.count) == [2, 2])
    trial.learningRate = 1e-4
    let error = #expect(throws: Failure.self) { try trial.run(out, resuming: true) }
    #expect(error?.message.contains("learning_rate") == true)
  }

  @Test func `give a report whose page stands alone, and whose numbers are those of the files`() throws {
    let trial = Trial(choices: ["length", "grpo", "length:rate=3"], library: library)
    let out = folder.path + "/bench"
    try trial.run(out)
    try BenchReport(BenchResult(trial.plan(out)), facts: ["a < b & c"]).write(to: out)
    let page = try Files.readText(out + "/bench.html")
    #expect(page.contains("a &lt; b &amp; c") && page.contains("length:rate=3"))
    #expect(!page.contains("<script") && !page.contains("src=") && !page.contains("@import") && !page.contains("url("))
    #expect(page.components("<svg").count == page.components("</svg>").count)
    #expect(page.components("<svg").count - 1 >= 7)
    let markdown = try Files.readText(out + "/bench.md")
    for name in ["accuracy", "difference", "reward", "entropy"] {
      #expect(markdown.contains("(charts/\(name).svg)") && Files.exists("\(out)/charts/\(name).svg"))
    }
    let json = try JSON.read(out + "/bench.json")
    let algorithms = try #require(json["algorithms"]?.array)
    #expect(algorithms.count == 3)
    for (index, algorithm) in algorithms.enumerated() {
      for seed in try #require(algorithm["seeds"]?.array) {
        let run = try trial.plan(out).run(algorithm: index, seed: UInt64(try #require(seed["seed"]?.int)))
        let lines = try EvaluationFile.read(run.evaluation)
        #expect(lines.count == 5)
        #expect(seed["accuracy"]?["estimate"]?.double == Double(lines.count(where: \.isCorrect)) / 5)
        #expect(seed["mean_length"]?.double == Double(lines.reduce(0) { $0 + $1.length }) / 5)
      }
      let steps = try #require(algorithm["curves"]?["held_out_accuracy"]?["steps"]?.array)
      #expect(steps.compactMap(\.int) == [0, 2, 4])
      let share = try #require(algorithm["plugin_share_of_step"]?.double)
      #expect(share > 0 && share < 1)
    }
  }
}

extension String {
  /// The parts between occurrences of a text.
  fileprivate func components(_ separator: String) -> [Substring] { split(separator: separator, omittingEmptySubsequences: false) }
}

@Suite struct `The names in --algos` {
  @Test func `are a plugin and its settings with colons`() throws {
    let plain = try AlgorithmChoice("grpo")
    #expect(plain.plugin == "grpo" && plain.settings.isEmpty)
    let set = try AlgorithmChoice("./a=b/libnr-x.so:clip_high=0.3:variant=paper")
    #expect(set.plugin == "./a=b/libnr-x.so" && set.settings == ["clip_high=0.3", "variant=paper"])
  }

  @Test(arguments: [":a=1", "clip_low=0.1", "grpo:", "grpo:beta", "grpo:=1"]) func `are refused with an example where they are not`(
    _ text: String
  ) {
    let error = #expect(throws: Failure.self) { try AlgorithmChoice(text) }
    #expect(error?.code == .usage && error?.message.contains("grpo,dapo:clip_high=0.3") == true)
  }

  @Test func `are checked before anything runs`() throws {
    let choice = try AlgorithmChoice("grpo:no_such=1")
    let error = #expect(throws: Failure.self) {
      try BenchAlgorithm.open([choice]) { choice throws(Failure) in (try PluginChoice(try Place.plugin(choice.plugin), settings: choice.settings), RunOverrides()) }
    }
    #expect(error?.message.contains("no parameter no_such") == true)
  }

  @Test func `become folders of their own`() throws {
    let choices = try ["grpo", "grpo:clip_high=0.3", "grpo:clip_high=0.3:beta=1e-2", "grpo"].map { try AlgorithmChoice($0) }
    let algorithms = try BenchAlgorithm.open(choices) { choice throws(Failure) in (try PluginChoice(try Place.plugin(choice.plugin), settings: choice.settings), RunOverrides()) }
    #expect(algorithms.map(\.folder) == ["grpo", "grpo,clip_high=0.3", "grpo,clip_high=0.3,beta=1e-2", "grpo-2"])
  }
}
