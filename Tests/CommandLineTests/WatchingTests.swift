import Support
import TestSupport
import Testing

/// What looks at a run and changes nothing of it: captured rollouts, comparisons, shadows; and a plugin that is built anew meanwhile.
@Suite struct WatchingTests {
  private let folder: TrialFolder

  init() throws { folder = try TrialFolder() }

  private func words(_ out: String, algo: String = "grpo", steps: Int = 2, _ more: [String] = []) throws -> [String] {
    let data = try folder.write((0..<8).map { "{\"question\": \"\($0) + 1?\", \"answer\": \"\($0 + 1)\"}\n" }.joined(), "data.jsonl")
    return [
      "rl", "--model", Place.repository + "/Models/base", "--data", data, "--algo", algo, "--out", folder.file(out), "--steps", "\(steps)", "--group-size",
      "6", "--prompts-per-step", "2", "--max-new-tokens", "40", "--lr", "1e-3", "--inner-epochs", "1", "--seed", "5", "--quiet",
      // Of a length something is always to be learned.
      "--reward", "numeric", "--reward", "length",
    ] + more
  }

  private func metrics(_ out: String) throws -> [JSON] {
    try Files.readText(folder.file("\(out)/metrics.jsonl")).split(separator: "\n").map { (line) throws in try JSON.parse(String(line), name: out) }
  }

  private func capture(_ out: String, step: Int) -> String { folder.file("\(out)/captures/step-00000\(step).safetensors") }

  @Test func aCapturedRolloutIsWhatTheRunLearnedFrom() throws {
    #expect(try tool(words("run", ["--capture"])).code == 0)
    for step in 1...2 {
      let file = try SafetensorsFile(capture("run", step: step))
      let tokens = try #require(try file.integers("token_offsets").last).magnitude
      for name in ["old", "sampler", "current", "entropy", "advantages", "d_current", "completion_ids"] {
        #expect(file.entries[name]?.shape == [Int(tokens)], "\(name)")
      }
      // One pass, one update: the policy in training is the one that drew, and the plugin says of the file what it said in the run.
      #expect(try file.floats("current").map(\.bitPattern) == file.floats("old").map(\.bitPattern))
      #expect(try file.floats("old").map(\.bitPattern) == file.floats("sampler").map(\.bitPattern))
      let out = folder.file("eval.safetensors")
      let eval = try tool("plugin", "eval", "grpo", "--batch", capture("run", step: step), "--out", out, "--json")
      #expect(eval.code == 0, "\(eval.error)")
      let found = try SafetensorsFile(out)
      for name in ["advantages", "d_current"] { #expect(try found.floats(name).map(\.bitPattern) == file.floats(name).map(\.bitPattern), "\(name)") }
      #expect(eval.json["loss"]?.double == (try metrics("run"))[step - 1]["loss"]?.double)
      #expect(try found.floats("d_current").contains { $0 != 0 })
      #expect(file.metadata["algorithm"] == "grpo" && file.metadata["step"] == "\(step)")
    }
  }

  @Test func shadowsSeeTheRunAndChangeNothing() throws {
    #expect(try tool(words("alone")).code == 0)
    let watched = try tool(words("watched", ["--shadow", "grpo,gspo,dapo:clip_high=0.4", "--capture"]))
    #expect(watched.code == 0, "\(watched.error)")
    #expect(try Files.read(folder.file("alone/adapter/adapter_model.safetensors")) == Files.read(folder.file("watched/adapter/adapter_model.safetensors")))
    for (alone, watched) in zip(try metrics("alone"), try metrics("watched")) {
      for name in alone.object?.keys ?? [] where !name.hasPrefix("seconds") && !["time", "elapsed", "peak_mebibytes"].contains(name) && !name.hasSuffix("_per_second") {
        guard name == "proof" else {
          #expect(alone[name] == watched[name], "\(name)")
          continue
        }
        // What a step computed is the same; a shadow's numbers are numbers of the log.
        for stage in alone[name]?.object?.keys ?? [] where !["numbers", "chain"].contains(stage) {
          #expect(alone[name]?[stage] == watched[name]?[stage], "\(stage)")
        }
      }
      // A shadow of the run's own algorithm, in a run of one update a step, sees what it does.
      #expect(watched["shadow/grpo/loss"]?.double == watched["loss"]?.double)
      if let cosine = watched["shadow/grpo/cosine"]?.double { #expect(abs(cosine - 1) < 1e-12) }
      for name in ["gspo", "dapo:clip_high=0.4"] { #expect(watched["shadow/\(name)/gradient_norm"]?.double != nil, "\(name)") }
    }
    expectRefusal(try tool(words("critic", ["--shadow", "ppo"])), 64, "--shadow ppo", "critic")
    expectRefusal(try tool(words("reference", ["--shadow", "grpo:beta=0.1"])), 64, "reference")
  }

  @Test func aComparisonIsThatOfTheGradientsWrittenByEval() throws {
    #expect(try tool(words("run", ["--capture"])).code == 0)
    let batch = capture("run", step: 1)
    let names = ["grpo", "gspo", "dr-grpo:variant=paper"]
    let result = try tool(["plugin", "compare"] + names + ["--batch", batch, "--completion", "2", "--out", folder.file("page"), "--json"])
    #expect(result.code == 0, "\(result.error)")
    var gradients: [[Double]] = []
    for (index, name) in names.enumerated() {
      let parts = name.split(separator: ":").map(String.init)
      let out = folder.file("eval.safetensors")
      let eval = try tool(["plugin", "eval", parts[0], "--batch", batch, "--out", out, "--json"] + parts.dropFirst().flatMap { ["--set", $0] })
      gradients.append(try SafetensorsFile(out).floats("d_current").map { Double($0) })
      let row = result.json["plugins"]?.array?[index]
      #expect(row?["plugin"]?.string == name)
      #expect(row?["loss"]?.double == eval.json["loss"]?.double)
      let norm = gradients[index].reduce(0) { $0 + $1 * $1 }.squareRoot()
      #expect(abs((row?["gradient_norm"]?.double ?? -1) - norm) <= 1e-12 * norm)
    }
    for (i, one) in gradients.enumerated() {
      for (j, other) in gradients.enumerated() {
        let found = result.json["cosines"]?.array?[i].array?[j].double
        let product = (one.reduce(0) { $0 + $1 * $1 } * other.reduce(0) { $0 + $1 * $1 }).squareRoot()
        if product == 0 { #expect(found == nil) } else { #expect(abs((found ?? -2) - zip(one, other).reduce(0) { $0 + $1.0 * $1.1 } / product) < 1e-9) }
      }
    }
    let page = try Files.readText(folder.file("page/compare.html"))
    #expect(page.contains("Do they pull the same way?") && page.contains("Credit in completion 2"))
    expectRefusal(try tool("plugin", "compare", "ppo", "--batch", batch), 65, "ppo", "old_values")
    expectRefusal(try tool("plugin", "compare", "grpo", "--batch", batch, "--completion", "99"), 64, "--completion 99")
    expectRefusal(try tool("plugin", "compare", "grpo:clip=3", "--batch", batch), 64, "clip")
  }

  /// faulty.c as it is, or with other text in it.
  private func build(_ changes: [(String, String)] = []) throws -> String {
    var source = try Files.readText("\(Place.tests)/PluginHostTests/Broken/faulty.c")
    for (old, new) in changes { source = source.split(separator: old, omittingEmptySubsequences: false).map(String.init).joined(separator: new) }
    let path = folder.file("built.so")
    try compilePlugin(source, to: path)
    let library = folder.file("libnr-faulty.so")
    try Files.rename(path, to: library)
    return library
  }

  @Test func aPluginThatIsBuiltAnewIsTakenUpAtTheNextStep() throws {
    let library = try build()
    let running = try RunningTool(words("run", algo: library, steps: 400, ["--reload-plugin"]))
    func steps() -> Int { ((try? Files.readText(folder.file("run/metrics.jsonl"))) ?? "").split(separator: "\n").count }
    #expect(running.wait { steps() >= 2 })
    // Another version of the state's form would begin anew; this one goes on.
    _ = try build([("\"faulty\", \"1\"", "\"faulty\", \"2\"")])
    let log = folder.file("run/plugins.jsonl")
    #expect(running.wait { Files.exists(log) })
    let line = try JSON.parse(try Files.readText(log), name: log)
    let step = try #require(line["step"]?.int)
    #expect(line["version"]?.string == "2" && line["state"]?.string == "kept" && step >= 3)
    // One that is another plugin, and one that is none: the run keeps what it has.
    _ = try build([("\"faulty\"", "\"other\"")])
    #expect(running.wait { steps() >= step + 30 })
    running.signal(SIGINT)
    let result = running.wait()
    #expect(result.code == 75, "\(result.error)")
    #expect(result.error.contains("goes on with the plugin as it is now") && result.error.contains("it is now the plugin other"), "\(result.error)")
    let records = try metrics("run")
    for (index, record) in records.enumerated() { #expect(record["plugin/updates"]?.int == index + 1) }
  }
}
