import Support
import TestSupport
import Testing

/// Where results go: links, FIFOs, devices, standard output; and what a run says before it begins.
@Suite struct OutputTests {
  private static let base = Place.repository + "/Models/base"

  @Test func aLinkStaysAndItsTargetIsWritten() throws {
    let folder = try TrialFolder()
    for (link, target) in [("there", "target"), ("dangling", "new")] {
      if link == "there" { try folder.write("old", target) }
      #expect(unsafe symlink(target, folder.file(link)) == 0)
      #expect(try tool("data", "make", "--out", folder.file(link), "--count", "2").code == 0)
      var status = stat()
      #expect(unsafe lstat(folder.file(link), &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
      #expect(try Files.readText(folder.file(target)).split(separator: "\n").count == 2)
    }
  }

  @Test func aFIFOIsWrittenAsItIs() throws {
    let folder = try TrialFolder()
    let path = folder.file("fifo")
    #expect(unsafe mkfifo(path, 0o600) == 0)
    let reader = try RunningTool([path], program: "/bin/cat")
    #expect(try tool("data", "make", "--out", path, "--count", "3").code == 0)
    #expect(reader.wait().output.split(separator: "\n").count == 3)
    var status = stat()
    #expect(unsafe lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO)
  }

  @Test func aDashIsStandardOutputAndNothingElseStandsThere() throws {
    let result = try tool("data", "make", "--out", "-", "--count", "2")
    #expect(result.code == 0 && result.output.split(separator: "\n").count == 2 && result.error.contains("2 problems"))
  }

  @Test func aClosedPipeEndsQuietlyAndAFullDeviceDoesNot() throws {
    let shell = try RunningTool(
      ["-c", "{ '\(Place.tool)' data make --out - --count 50000; echo \"code $?\" >&2; } | head -n 1 | wc -l"], program: "/bin/sh"
    ).wait()
    #expect(shell.output.trimmed == "1" && shell.error == "code 0\n", "\(shell.error)")
    let full = try RunningTool(["-c", "'\(Place.tool)' plugin list > /dev/full"], program: "/bin/sh").wait()
    #expect(full.code == 74 && full.error.contains("standard output"))
  }

  private func data(_ folder: TrialFolder, _ count: Int) throws -> String {
    #expect(try tool("data", "make", "--out", folder.file("d.jsonl"), "--count", "\(count)").code == 0)
    return folder.file("d.jsonl")
  }

  @Test func aDryRunChecksAndWritesNothing() throws {
    let folder = try TrialFolder()
    let rl = try tool(
      "rl", "--model", Self.base, "--data", data(folder, 5), "--algo", "grpo", "--out", folder.file("run"), "--dry-run", "--json", "--prompts-per-step", "4")
    #expect(rl.code == 0 && rl.json["steps"]?.int == 2 && rl.json["updates"]?.int == 4 && rl.json["data"]?.int == 5, "\(rl.error)")
    let sft = try tool(
      "sft", "--model", Self.base, "--data", data(folder, 5), "--out", folder.file("run"), "--dry-run", "--json", "--max-samples", "3", "--max-length", "40")
    let notes = sft.json["notes"]?.array?.compactMap(\.string).joined(separator: "\n") ?? ""
    #expect(sft.code == 0 && notes.contains("3 of 5 rows") && notes.contains("are cut"), "\(sft.error)")
    #expect(!Files.exists(folder.file("run")))
  }

  @Test func promptsThatFillTheContextAreFoundBeforeTheFirstStep() throws {
    let folder = try TrialFolder()
    var lines = try Files.readText(data(folder, 8))
    lines += JSON.object(["question": .string(String(repeating: "apples ", count: 3000)), "answer": "1"]).text() + "\n"
    let long = try folder.write(lines, "long.jsonl")
    let words = ["rl", "--model", Self.base, "--data", long, "--algo", "grpo", "--out", folder.file("run"), "--dry-run", "--quiet"]
    expectRefusal(try tool(words), 65, long, "line 9", "--overlong skip")
    let skipped = try tool(words + ["--overlong", "skip", "--json"])
    #expect(skipped.code == 0 && skipped.json["data"]?.int == 8, "\(skipped.error)")
  }

  @Test func groupsOfOneAreRefusedWhereAnAlgorithmComparesWithinThem() throws {
    let folder = try TrialFolder()
    let data = try data(folder, 4)
    for (algo, isRelative) in [("grpo", true), ("dr-grpo", true), ("gspo", true), ("dapo", true), ("grpo-lead", true), ("ppo", false)] {
      let result = try tool("rl", "--model", Self.base, "--data", data, "--algo", algo, "--group-size", "1", "--out", folder.file("run"), "--dry-run", "--quiet")
      #expect(result.code == (isRelative ? 64 : 0), "\(algo): \(result.error)")
    }
  }

  @Test func aLineFallsOverTheUpdatesThatAreMade() throws {
    let folder = try TrialFolder()
    let result = try tool(
      "rl", "--model", Self.base, "--data", data(folder, 8), "--algo", "grpo", "--out", folder.file("run"), "--steps", "4", "--prompts-per-step", "1", "--minibatches",
      "4", "--inner-epochs", "1", "--schedule", "linear", "--lr", "1e-3", "--max-new-tokens", "40", "--quiet")
    #expect(result.code == 0, "\(result.error)")
    let rates = try Files.readText(folder.file("run/metrics.jsonl")).split(separator: "\n").map { line in
      let json = try JSON.parse(String(line), name: "metrics")
      return json["learning_rate"]?.double ?? json["metrics"]?["learning_rate"]?.double
    }
    #expect(rates == [1e-3, 0.75e-3, 0.5e-3, 0.25e-3])
  }

  @Test func anUpdateWithoutTokensChangesNothing() throws {
    let folder = try TrialFolder()
    // The second batch has nothing to predict; with it and without it the adapter ends at the same bytes.
    let texts = #"{"text": "one and two"}"# + "\n" + #"{"text": "three is four"}"# + "\n"
    let (short, long) = (try folder.write(texts, "short.jsonl"), try folder.write(texts + "{\"text\": \"x\"}\n{\"text\": \"x\"}\n", "long.jsonl"))
    for (data, out) in [(short, "a"), (long, "b")] {
      let result = try tool(
        "sft", "--model", Place.model, "--data", data, "--out", folder.file(out), "--batch-size", "2", "--no-shuffle", "--lr", "1e-2", "--quiet")
      #expect(result.code == 0, "\(result.error)")
    }
    #expect(try Files.read(folder.file("a/adapter/adapter_model.safetensors")) == Files.read(folder.file("b/adapter/adapter_model.safetensors")))
    let last = try JSON.parse(String(try #require(try Files.readText(folder.file("b/metrics.jsonl")).split(separator: "\n").last)), name: "metrics")
    #expect((last["tokens"] ?? last["metrics"]?["tokens"])?.double == 0)
  }

  @Test func resumingSeesEveryFileThatTheResultDependsOn() throws {
    let folder = try TrialFolder()
    let adapter = try folder.copy(Place.adapter, "adapter")
    let model = try folder.copy(Place.model, "model")
    let words = ["sft", "--model", model, "--adapter", adapter, "--data", Place.texts, "--out", folder.file("run"), "--quiet"]
    #expect(try tool(words).code == 0)
    for (path, key) in [(adapter + "/adapter_config.json", "lora_alpha"), (model + "/generation_config.json", "temperature"), (model + "/tokenizer_config.json", "x")] {
      let before = Files.exists(path) ? try Files.readText(path) : nil
      var object = try before.flatMap { try JSON.parse($0, name: path).object } ?? [:]
      object[key] = 320
      try AtomicFile.write(JSON.object(object).text(), to: path)
      expectRefusal(try tool(words + ["--resume"]), 65, "--resume", key == "lora_alpha" ? "adapter_config" : Files.name(of: path))
      if let before { try AtomicFile.write(before, to: path) } else { Files.remove(path) }
    }
    #expect(try tool(words + ["--resume"]).code == 0)
  }

  @Test func heldOutQuestionsChangeNoBitAndTheBestIsKept() throws {
    let folder = try TrialFolder()
    let data = try data(folder, 6)
    let words = [
      "rl", "--model", Self.base, "--data", data, "--algo", "grpo", "--steps", "3", "--max-new-tokens", "40", "--group-size", "4", "--lr", "1e-3", "--quiet", "--out",
    ]
    #expect(try tool(words + [folder.file("plain")]).code == 0)
    let result = try tool(words + [folder.file("held"), "--eval-data", data, "--eval-every", "2", "--eval-limit", "4", "--keep-best"])
    #expect(result.code == 0, "\(result.error)")
    #expect(try Files.read(folder.file("plain/adapter/adapter_model.safetensors")) == Files.read(folder.file("held/adapter/adapter_model.safetensors")))
    #expect(Files.exists(folder.file("held/best/adapter_model.safetensors")))
    let best = try JSON.read(folder.file("held/best/best.json"))
    #expect([2, 3].contains(best["step"]?.int ?? 0))
    let lines = try Files.readText(folder.file("held/metrics.jsonl")).split(separator: "\n")
    #expect(lines.map { $0.contains("held_out_accuracy_low") } == [false, true, true])
    expectRefusal(try tool(words + [folder.file("x"), "--keep-best"]), 64, "--keep-best", "--eval-data")
  }

  @Test func aPromptComesFromStandardInputAndTinyTemperaturesAreGreedy() throws {
    let prompt = "Tom has 3 apples. He buys 4 more. How many apples has Tom?"
    let greedy = try tool("generate", "--model", Self.base, "--prompt", prompt).output
    #expect(!greedy.isEmpty)
    #expect(try tool("generate", "--model", Self.base, input: prompt + "\n").output == greedy)
    for temperature in ["1e-10", "1e-37", "1e-38", "1e-40", "1e-45", "1e-50"] {
      let result = try tool("generate", "--model", Self.base, "--prompt", prompt, "--temperature", temperature)
      #expect(result.output == greedy, "\(temperature): \(result.error)")
    }
    let several = try tool("generate", "--model", Self.base, "--prompt", prompt, "--samples", "3", "--temperature", "0.8").output.split(separator: "\n")
    #expect(try several.map { try JSON.parse(String($0), name: "line")["sample"]?.int } == [0, 1, 2])
    let long = try tool("generate", "--model", Place.model, "--prompt", "a", "--raw", "--max-new-tokens", "100000", "--json").json["completions"]?.array?.first
    #expect((1...511).contains(long?["tokens"]?.array?.count ?? 0))
  }
}
