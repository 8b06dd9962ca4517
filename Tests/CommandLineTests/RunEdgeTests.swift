import Support
import TestSupport
import Testing

/// What stands at the edges of a run: what it is held to on resuming, what is checked before step 1, what is said of its memory.
@Suite struct RunEdgeTests {
  private static let base = Place.repository + "/Models/base"

  private func questions(_ folder: TrialFolder, _ name: String = "d.jsonl", _ count: Int = 6, seed: Int = 42) throws -> String {
    let made = try tool("data", "make", "--out", folder.file(name), "--count", "\(count)", "--seed", "\(seed)")
    #expect(made.code == 0, "\(made.error)")
    return folder.file(name)
  }

  /// Rows of which some fill a context of 512 tokens, others leave little room in it.
  private func rows(_ folder: TrialFolder, _ name: String, _ words: [Int]) throws -> String {
    try folder.write(
      words.map { JSON.object(["question": .string(name + String(repeating: " x", count: $0)), "answer": "1"]).text() }.joined(separator: "\n"), name)
  }

  private func rl(_ data: String, _ out: String, _ more: String...) throws -> ToolResult {
    try tool(
      [
        "rl", "--model", Place.model, "--data", data, "--algo", "grpo", "--out", out, "--steps", "2", "--group-size", "2", "--max-new-tokens",
        "4", "--quiet",
      ] + more)
  }

  // MARK: Weights

  private func flip(_ path: String, _ place: Int) throws {
    var bytes = try Files.read(path)
    try #require(place < bytes.count)
    bytes[place] ^= 1
    try AtomicFile.write(bytes, to: path)
  }

  @Test func oneByteOfTheWeightsFarBehindTheBeginningIsNoticed() throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Self.base, "model")
    let weights = model + "/model.safetensors"
    let words = [
      "sft", "--model", model, "--data", try questions(folder), "--out", folder.file("run"), "--max-steps", "1", "--quiet",
    ]
    let environment = ["XDG_CACHE_HOME": folder.file("cache")]
    #expect(try tool(words, environment: environment).code == 0)
    let size = try Files.read(weights).count
    #expect(size > 4 << 20)
    for place in [1 << 20 + 1 << 19, size / 2 & ~1, size - (1 << 17)] {
      try flip(weights, place)
      expectRefusal(try tool(words + ["--resume"], environment: environment), 65, folder.file("run/run.json"), "model.safetensors sha256", "was", "now it is")
      expectRefusal(try tool(words + ["--resume", "--dry-run"], environment: environment), 65, "model.safetensors sha256")
      try flip(weights, place)
    }
    #expect(try tool(words + ["--resume"], environment: environment).code == 0)
    // A cache that cannot be written is no error.
    #expect(try tool(words + ["--resume"], environment: ["XDG_CACHE_HOME": "/dev/null"]).code == 0)
  }

  @Test func soIsOneOfAnyShardAndOfTheAdapter() throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    let adapter = try folder.copy(Place.adapter, "adapter")
    let file = try SafetensorsFile(Place.model + "/model.safetensors")
    var map = JSON.Object()
    for shard in 0..<3 {
      var writer = SafetensorsWriter()
      let name = "model-0000\(shard + 1)-of-00003.safetensors"
      for (index, tensor) in file.names.enumerated() where index % 3 == shard {
        writer.add(tensor, try file.floats(tensor), shape: try file.entry(tensor).shape)
        map[tensor] = .string(name)
      }
      try writer.write(to: "\(model)/\(name)")
    }
    Files.remove(model + "/model.safetensors")
    try AtomicFile.write(JSON.object(["weight_map": .object(map)]).text(), to: model + "/model.safetensors.index.json")
    let words = [
      "sft", "--model", model, "--adapter", adapter, "--data", Place.texts, "--out", folder.file("run"), "--max-steps", "1", "--quiet",
    ]
    #expect(try tool(words).code == 0)
    for path in [model + "/model-00003-of-00003.safetensors", model + "/model-00001-of-00003.safetensors", adapter + "/adapter_model.safetensors"] {
      let place = try Files.read(path).count - 4
      try flip(path, place)
      expectRefusal(try tool(words + ["--resume"]), 65, "\(Files.name(of: path)) sha256")
      try flip(path, place)
    }
    #expect(try tool(words + ["--resume"]).code == 0)
  }

  // MARK: Prompts

  @Test func everyPromptThatFillsTheContextIsNamedByItsRowWhereverItStands() throws {
    let folder = try TrialFolder()
    let good = try rows(folder, "good.jsonl", [3, 4, 5, 6, 7])
    let long = try rows(folder, "long.jsonl", [3, 900, 4, 900, 900, 900, 900, 900, 900])
    let out = folder.file("run")
    expectRefusal(try rl(long, out), 65, long, "lines 2, 4, 5, 6, 7 and 2 more", "--overlong skip")
    // Held-out rows are not left out: that would make another benchmark of them.
    for more in [[], ["--overlong", "skip"], ["--dry-run"]] {
      let result = try tool(["rl", "--model", Place.model, "--data", good, "--eval-data", long, "--algo", "grpo", "--out", out, "--quiet"] + more)
      expectRefusal(result, 65, "\(long): lines 2, 4, 5, 6, 7 and 2 more: 7 prompts", "context 512")
      #expect(!result.error.contains("--overlong"))
    }
    let bench = ["bench", "--model", Place.model, "--algos", "grpo", "--steps", "1", "--max-new-tokens", "4", "--out", out, "--quiet"]
    expectRefusal(try tool(bench + ["--data", good, "--eval-data", long]), 65, "\(long): lines 2")
    expectRefusal(try tool(bench + ["--data", long, "--eval-data", good]), 65, "\(long): lines 2")
    let alone = try rows(folder, "alone.jsonl", [900, 2, 3, 4, 901])
    expectRefusal(try tool(bench + ["--data", alone]), 65, "\(alone): line 1: the prompt has")
    expectRefusal(try tool("eval", "--model", Place.model, "--data", long, "--quiet"), 65, "\(long): lines 2")
    let array = try folder.write("[" + Files.readText(long).split(separator: "\n").joined(separator: ",") + "]", "long.json")
    expectRefusal(try tool("eval", "--model", Place.model, "--data", array, "--quiet"), 65, "\(array): records 2, 4")
    expectRefusal(try tool("generate", "--model", Place.model, "--prompts", long, "--max-new-tokens", "2"), 65, "\(long): line 2: the prompt has")
    #expect(!Files.exists(out))
  }

  @Test func promptsThatLeaveLittleRoomAreNamedByTheirRows() throws {
    let folder = try TrialFolder()
    let data = try rows(folder, "short.jsonl", [3, 150, 4, 150])
    let held = try rows(folder, "held.jsonl", [150, 2])
    let result = try tool(
      "rl", "--model", Place.model, "--data", data, "--eval-data", held, "--algo", "grpo", "--out", folder.file("run"), "--max-new-tokens", "300", "--dry-run", "--json")
    #expect(result.code == 0, "\(result.error)")
    let notes = result.json["notes"]?.array?.compactMap(\.string) ?? []
    #expect(notes.contains { $0.contains("--max-new-tokens 300") && $0.contains("\(data): lines 2, 4") && $0.contains("2 prompts leave") }, "\(notes)")
    #expect(notes.contains { $0.contains("\(held): line 1)") && $0.contains("1 prompt leaves") }, "\(notes)")
  }

  @Test func aRowWithoutQuestionOrAnswerIsNamedByFileAndLine() throws {
    let folder = try TrialFolder()
    let data = try folder.write(
      "{\"question\": \"1 + 1?\", \"answer\": \"2\"}\n\n{\"text\": \"no question\"}\n{\"prompt\": \"a\", \"completion\": \"no answer\"}\n", "bad.jsonl")
    let good = try questions(folder)
    expectRefusal(try rl(data, folder.file("run")), 65, "\(data): line 3: reinforcement learning needs", "found no question")
    expectRefusal(try rl(good, folder.file("run"), "--eval-data", data), 65, "\(data): line 3: evaluation needs")
    expectRefusal(try tool("eval", "--model", Place.model, "--data", data), 65, "\(data): line 3: evaluation needs")
    let answer = try folder.write("{\"prompt\": \"a\", \"completion\": \"no answer\"}\n", "a.jsonl")
    expectRefusal(try rl(answer, folder.file("run")), 65, "\(answer): line 1: ", "found no answer")
  }

  // MARK: Resuming

  @Test func otherHeldOutQuestionsAreRefusedByName() throws {
    let folder = try TrialFolder()
    let (data, held, other) = (try questions(folder), try questions(folder, "held.jsonl", 4, seed: 7), try questions(folder, "other.jsonl", 4, seed: 8))
    let out = folder.file("run")
    #expect(try rl(data, out, "--eval-data", held, "--keep-best").code == 0)
    let best = try JSON.read(out + "/best/best.json")
    #expect(best["eval-data sha256"]?.string == (try SHA256.hex(file: held)) && best["eval-limit"]?.int == 4)
    expectRefusal(try rl(data, out, "--resume", "--keep-best", "--eval-data", other), 65, out + "/best/best.json", "\"eval-data sha256\" was")
    expectRefusal(try rl(data, out, "--resume", "--keep-best", "--eval-data", held, "--eval-limit", "2"), 65, "\"eval-limit\" was 4, now it is 2")
    // Without a best step the curve alone must not change what it measures.
    expectRefusal(try rl(data, out, "--resume", "--eval-data", other), 65, out + "/run.json", "\"eval-data sha256\" was")
    // The same under another name, and none at all, are what they were.
    let copy = try folder.write(Files.readText(held), "copy.jsonl")
    #expect(try rl(data, out, "--resume", "--keep-best", "--eval-data", copy, "--eval-limit", "4").code == 0)
    #expect(try rl(data, out, "--resume").code == 0)
  }

  @Test func aChangeThatIsAllowedIsMadeAndWrittenDown() throws {
    let folder = try TrialFolder()
    let words = ["sft", "--model", Place.model, "--data", Place.texts, "--out", folder.file("run"), "--quiet", "--epochs", "1", "--lr"]
    #expect(try tool(words + ["1e-3", "--max-steps", "2"]).code == 0)
    expectRefusal(try tool(words + ["1e-4", "--resume"]), 65, "\"lr\" was 0.001, now it is")
    let on = ["--resume", "--allow-changed", "lr"]
    expectRefusal(try tool(words + ["1e-4", "--weight-decay", "0.5"] + on), 65, "\"weight-decay\"")
    expectRefusal(try tool(words + ["1e-4", "--resume", "--allow-changed", "rate"]), 64, "--allow-changed", "rate")
    expectRefusal(try tool(words + ["1e-4", "--allow-changed", "lr"]), 64, "--allow-changed", "--resume")
    #expect(try tool(words + ["1e-4", "--max-steps", "3"] + on).code == 0)
    let record = try JSON.read(folder.file("run/run.json"))
    #expect(record["changes"]?.array == [["after_step": 2, "name": "lr", "was": 0.001, "now": 0.0001]])
    let rates = try Files.readText(folder.file("run/metrics.jsonl")).split(separator: "\n").map { line in
      let json = try JSON.parse(String(line), name: "metrics")
      return (json["learning_rate"] ?? json["metrics"]?["learning_rate"])?.double
    }
    #expect(rates == [1e-3, 1e-3, 1e-4])
    // From now on the run is held to the new value, with the same command too.
    #expect(try tool(words + ["1e-4", "--max-steps", "3"] + on).code == 0)
    expectRefusal(try tool(words + ["1e-3", "--resume"]), 65, "\"lr\" was")
  }

  // MARK: What is said before step 1

  @Test func aDryRunSaysWhatTheRunWouldSayOfItsFolder() throws {
    let folder = try TrialFolder()
    let data = try questions(folder)
    let out = folder.file("run")
    expectRefusal(try rl(data, out, "--resume", "--dry-run"), 66, out, "no run here")
    #expect(try rl(data, out).code == 0)
    let (real, dry) = (try rl(data, out), try rl(data, out, "--dry-run"))
    expectRefusal(dry, 64, out, "holds a run already")
    #expect(real.error == dry.error && real.code == dry.code)
    expectRefusal(try rl(data, out, "--resume", "--dry-run", "--lr", "1"), 65, "\"lr\"")
    #expect(try rl(data, out, "--resume", "--dry-run").code == 0)
    let file = try folder.write("x", "file")
    let (one, other) = (try rl(data, file), try rl(data, file, "--dry-run"))
    #expect(one.code == 74 && one.error == other.error && other.code == 74, "\(one.error)\(other.error)")
    let sft = ["sft", "--model", Place.model, "--data", data, "--out", out, "--quiet"]
    #expect(try tool(sft).error == tool(sft + ["--dry-run"]).error)
  }

  @Test func aBenchmarkOfGroupsOfOneIsRefused() throws {
    let folder = try TrialFolder()
    let words = ["bench", "--model", Place.model, "--data", try questions(folder, "d.jsonl", 10), "--out", folder.file("b"), "--group-size", "1", "--quiet"]
    expectRefusal(try tool(words + ["--algos", "ppo,grpo"]), 64, "--group-size 1: grpo", "take 2 or more")
    #expect(!Files.exists(folder.file("b")))
  }

  @Test func theMemoryCountsCachesAndTheReference() throws {
    let folder = try TrialFolder()
    let data = try questions(folder)
    func memory(_ more: String...) throws -> Int {
      let result = try tool(
        ["rl", "--model", Self.base, "--data", data, "--algo", "grpo", "--out", folder.file("run"), "--dry-run", "--json", "--max-new-tokens", "100"] + more)
      return try #require(result.json["memory"]?.int, "\(result.error)")
    }
    let (plain, more, reference) = (try memory(), try memory("--group-size", "32"), try memory("--set", "beta=0.1"))
    // 6 layers, 2 key-value heads of 32 channels, keys and values, float32: 48 slots more.
    #expect(more - plain > 48 * 6 * 2 * 2 * 32 * 4 * 100 && more > plain && reference > plain, "\(plain) \(more) \(reference)")
    let full = try memory("--full")
    #expect(try memory("--full", "--set", "beta=0.1") - full > Files.size(Self.base + "/model.safetensors") / 2)
  }

  @Test func theRecordOfARunServesAsItsConfiguration() throws {
    let folder = try TrialFolder()
    let data = try questions(folder)
    #expect(try rl(data, folder.file("a"), "--lr", "3e-3", "--set", "clip_high=0.3").code == 0)
    let record = folder.file("a/run.json")
    let again = try tool("rl", "--config", record, "--model", Place.model, "--data", data, "--algo", "grpo", "--out", folder.file("b"), "--quiet")
    #expect(again.code == 0, "\(again.error)")
    for file in ["adapter/adapter_model.safetensors", "samples.jsonl"] {
      #expect(try Files.read(folder.file("a/\(file)")) == Files.read(folder.file("b/\(file)")))
    }
    // A default that was given is given again; one that was not is the command's own.
    let names = try #require(try JSON.read(record)["given"]?.array?.compactMap(\.string))
    #expect(names.contains("steps") && names.contains("set") && !names.contains("value-lr"))
    let bench = [
      "bench", "--algos", "grpo", "--seeds", "1", "--model", Self.base, "--eval-limit", "2", "--eval-every", "0", "--max-new-tokens", "8", "--steps", "1",
      "--prompts-per-step", "2", "--group-size", "2", "--quiet", "--adapter",
    ]
    let adapter = folder.file("start")
    #expect(try tool("sft", "--model", Self.base, "--data", data, "--max-steps", "1", "--out", adapter, "--quiet").code == 0)
    #expect(try tool(bench + [adapter + "/adapter", "--out", folder.file("bench")]).code == 0)
    let repeated = try tool(
      "bench", "--config", folder.file("bench/run.json"), "--algos", "grpo", "--out", folder.file("again"), "--quiet")
    #expect(repeated.code == 0, "\(repeated.error)")
    let (one, other) = (try JSON.read(folder.file("bench/run.json"))["identity"], try JSON.read(folder.file("again/run.json"))["identity"])
    #expect(one == other && one?["prompts_per_step"]?.int == 2)
    expectRefusal(
      try tool("sft", "--config", record, "--model", Place.model, "--data", data, "--out", folder.file("c")), 65, record, "run of `rl`", "`sft`")
  }

  @Test func theHorizonOfAScheduleCountsTheUpdatesThatAreMade() throws {
    let folder = try TrialFolder()
    let texts = ["one and two", "three is four", "x", "y", "five and six", "seven"].map { "{\"text\": \"\($0)\"}\n" }.joined()
    let words = [
      "sft", "--model", Place.model, "--data", try folder.write(texts, "d.jsonl"), "--out", folder.file("run"), "--batch-size", "2", "--no-shuffle", "--lr", "1e-2",
      "--schedule", "linear",
    ]
    let plan = try tool(words + ["--dry-run", "--json"])
    #expect(plan.json["updates"]?.int == 2, "\(plan.output)\(plan.error)")
    #expect(plan.error.contains("1 of 3 steps"))
    #expect(try tool(words + ["--quiet"]).code == 0)
    let rates = try Files.readText(folder.file("run/metrics.jsonl")).split(separator: "\n").map { line in
      let json = try JSON.parse(String(line), name: "metrics")
      return (json["learning_rate"] ?? json["metrics"]?["learning_rate"])?.double
    }
    #expect(rates == [1e-2, 0, 0.5e-2])
  }

  @Test func theHeldOutLossOfAnSFTRunIsLoggedAndChangesNothing() throws {
    let folder = try TrialFolder()
    let words = ["sft", "--model", Place.model, "--data", Place.texts, "--lr", "1e-2", "--quiet", "--max-steps", "3", "--out"]
    #expect(try tool(words + [folder.file("plain")]).code == 0)
    let held = ["--eval-data", Place.texts, "--eval-every", "2", "--eval-limit", "4"]
    #expect(try tool(words + [folder.file("held")] + held).code == 0)
    #expect(try Files.read(folder.file("plain/adapter/adapter_model.safetensors")) == Files.read(folder.file("held/adapter/adapter_model.safetensors")))
    let losses = try Files.readText(folder.file("held/metrics.jsonl")).split(separator: "\n").map { line in
      let json = try JSON.parse(String(line), name: "metrics")
      return (json["held_out_loss"] ?? json["metrics"]?["held_out_loss"])?.double
    }
    try #require(losses.count == 3 && losses[0] == nil)
    #expect(try #require(losses[2]) < #require(losses[1]), "it learns what it is asked")
    expectRefusal(try tool(words + [folder.file("held"), "--resume", "--eval-data", Place.texts]), 65, "\"eval-limit\" was 4")
    expectRefusal(try tool(words + [folder.file("x"), "--eval-every", "2"]), 64, "--eval-every", "--eval-data")
  }

  // MARK: generate

  private func processorSeconds(of process: pid_t) -> Double {
    let fields = (try? Files.readText("/proc/\(process)/stat"))?.split(separator: " ") ?? []
    guard fields.count > 15, let user = Double(fields[13]), let system = Double(fields[14]) else { return 0 }
    return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
  }

  @Test(arguments: [false, true]) func anInterruptedGenerationOfManyPromptsWritesWhatIsFinished(_ isJSON: Bool) throws {
    let folder = try TrialFolder()
    // Greedy answers of the base model end by themselves; a question of nothing at the end does not for long.
    let lines = (0..<3).map { "{\"question\": \"Tom has \($0) apples. He buys 4 more. How many apples has Tom?\"}\n" }.joined()
    let data = try folder.write(lines + String(repeating: lines, count: 400), "p.jsonl")
    let run = try RunningTool(
      ["generate", "--model", Self.base, "--prompts", data, "--batch-size", "4", "--threads", "1"] + (isJSON ? ["--json"] : []))
    // Long enough for some of them, not for all, however busy the machine is.
    #expect(run.wait { processorSeconds(of: run.process) > 1.5 })
    run.signal(SIGINT)
    let result = run.wait()
    try #require(result.code == 75, "\(result.code) \(result.error)")
    let made = isJSON
      ? try #require(result.json["completions"]?.array) : try result.output.split(separator: "\n").map { try JSON.parse(String($0), name: "line") }
    #expect(made.count > 0 && made.count < 1203)
    #expect(made.allSatisfy { $0["completion"]?.string?.contains("boxed") == true })
    #expect(result.error.contains("\(made.count) of 1203 completions were finished, and are written"), "\(result.error)")
    if isJSON { #expect(result.json["interrupted"]?.bool == true) }
    // They are those that an uninterrupted one begins with.
    let whole = try tool("generate", "--model", Self.base, "--prompts", try folder.write(lines, "few.jsonl"))
    #expect(try JSON.parse(String(whole.output.split(separator: "\n")[0]), name: "line")["tokens"] == made.first?["tokens"])
  }
}
