import Support
import TestSupport
import Testing

/// The options of every command as the program declares them, walked through its own help.
@Suite struct OptionTests {
  struct Option: Sendable, CustomStringConvertible {
    let command: [String]
    let name: String
    let placeholder: String
    /// Everything else the command requires, with paths to nothing.
    let required: [String]
    var description: String { (command + [name]).joined(separator: " ") }
    var isNumber: Bool { ["N", "X"].contains(placeholder) || (command == ["inspect"] && name == "--sample") }
  }

  /// The commands of a help page: its lines from "Commands:" to the next empty one.
  private static func commands(_ words: [String]) throws -> [[String]] {
    var found: [[String]] = []
    let lines = try tool(words + ["--help"]).output.split(separator: "\n", omittingEmptySubsequences: false)
    for line in lines.drop(while: { $0 != "Commands:" }).dropFirst() {
      guard line.hasPrefix("  "), !line.hasPrefix("   ") else { break }
      found.append(words + [String(line.dropFirst(2).prefix { $0 != " " })])
    }
    return found
  }

  static func options() throws -> [Option] {
    var found: [Option] = []
    var open = try commands([])
    while let command = open.popLast() {
      let help = try tool(command + ["--help"]).output
      if help.contains("\nCommands:\n") {
        open += try commands(command)
        continue
      }
      var options: [(name: String, placeholder: String)] = []
      for line in help.split(separator: "\n") where line.hasPrefix("  --") {
        let parts = line.dropFirst(2).split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        options.append((String(parts[0]), parts.count > 1 ? String(parts[1]) : ""))
      }
      let usage = help.split(separator: "\n").drop { !$0.hasPrefix("Usage:") }.prefix { $0.hasPrefix("Usage:") || $0.hasPrefix("      ") }
        .joined(separator: " ")
      var required: [String] = []
      // `(--a A | --b B)` asks for one of them; what stands outside of brackets is required.
      let words = usage.split(separator: " ").map { $0.filter { !"()[]".contains($0) } }
      var taken: Set<String> = []
      for (index, word) in words.enumerated() where word.hasPrefix("--") && (index == 0 || words[index - 1] != "|") {
        required += [word, "/dev/null/x"]
        taken.insert(word)
      }
      if let last = words.last, last == last.uppercased(), !last.hasPrefix("-"), !taken.contains(words[words.count - 2]), last != "OPTIONS" {
        required.append("nothing")
      }
      for option in options where !option.placeholder.isEmpty {
        found.append(Option(command: command, name: option.name, placeholder: option.placeholder, required: required))
      }
    }
    return found
  }

  private func run(_ option: Option, _ value: String) throws -> ToolResult {
    var words = option.required
    if let place = words.firstIndex(of: option.name) { words.removeSubrange(place...(place + 1)) }
    return try tool(option.command + words + ["\(option.name)=\(value)"])
  }

  /// No number is without an end: each option refuses what lies beyond any use by its name and says which numbers it takes.
  @Test func everyNumberHasItsEndsAndSaysThem() throws {
    let options = try Self.options()
    #expect(options.count > 140, "the help was read: \(options.count) options")
    let numbers = options.filter(\.isNumber)
    #expect(numbers.count > 60, "\(numbers.count)")
    for option in numbers {
      let isWhole = try run(option, "x").error.contains("whole number")
      let beyond = isWhole ? ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "1e3", "0x10", "１"] : ["1e308", "-1e308", "0x1p3"]
      for value in beyond + ["nan", "inf", "-inf", "", " 1", String(repeating: "9", count: 5000)] {
        let result = try run(option, value)
        #expect(result.code == 64, "\(option)=\(value.prefix(30)): \(result.code) \(result.error)")
        #expect(result.error.contains(option.name) && result.error.contains("number"), "\(option)=\(value.prefix(30)): \(result.error)")
        #expect(result.error.split(separator: "\n").count == 1)
      }
    }
  }

  /// The ends of a number, as its message says them.
  private func ends(_ option: Option) throws -> (lower: Double, upper: Double)? {
    let words = try run(option, "x").error.split { " ,".contains($0) }
    guard let from = words.firstIndex(where: { $0 == "from" || $0 == "above" }), from + 1 < words.count, let lower = Double(words[from + 1]) else { return nil }
    let rest = words[(from + 2)...]
    guard let mark = rest.firstIndex(where: { $0 == "to" || $0 == "most" }), mark + 1 < words.count, let upper = Double(words[mark + 1]) else { return nil }
    return (lower, upper)
  }

  /// Both ends of every number, what lies beside them, and what no number is: a value that is legal leads to the next error or to work,
  /// every other to one line, and none to a signal.
  @Test func noEdgeOfANumberEndsTheProgramBySignal() throws {
    var counts: [String: Int] = [:]
    var tried = 0
    for option in try Self.options() where option.isNumber {
      let isWhole = try run(option, "x").error.contains("whole number")
      let ends = try #require(try ends(option), "\(option)")
      func text(_ value: Double) -> String { isWhole ? "\(Int(value))" : "\(value)" }
      let near = [ends.lower, ends.upper].flatMap { isWhole ? [$0 - 1, $0, $0 + 1] : [$0, $0.nextUp, $0.nextDown] }.map(text)
      let far = ["9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809", "1e400", "-1e400", "NaN", "-0", "-0.0", "5e-324", "1", "-1"]
      for value in Set(near + far) {
        let isLegal = Double(value).map { $0 >= ends.lower && $0 <= ends.upper } ?? false
        // What is legal may begin to work, where nothing that is missing stops it.
        if isLegal, !option.required.contains("/dev/null/x") { continue }
        var words = option.required
        if let place = words.firstIndex(of: option.name) { words.removeSubrange(place...(place + 1)) }
        let process = try RunningTool(option.command + words + ["\(option.name)=\(value)"])
        let watch = Stopwatch()
        _ = process.wait { watch.seconds > 1.5 }
        if watch.seconds > 1.5 { process.signal(SIGKILL) }
        let result = process.wait()
        tried += 1
        counts["\(result.code)", default: 0] += 1
        if result.code == -SIGKILL, isLegal { continue }
        #expect([64, 65, 66, 74].contains(result.code), "\(option)=\(value): \(result.code) \(result.error.prefix(300))")
        #expect(result.error.split(separator: "\n").count == 1, "\(option)=\(value): \(result.error.prefix(300))")
        if !isLegal { #expect(result.code == 64 && result.error.contains(option.name), "\(option)=\(value): \(result.error.prefix(300))") }
      }
    }
    print("edge values of options: \(tried) tried; by exit code: \(counts.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", "))")
    #expect(tried > 700, "\(tried)")
  }

  /// Texts and paths take anything; what becomes of it is one line.
  @Test func noTextEndsTheProgramBySignal() throws {
    // Without a model none of these commands begins to write.
    for option in try Self.options() where !option.isNumber && option.required.contains("--model") {
      for value in ["", "9223372036854775807", "a=\u{FFFD}\u{301}", "=", ",", String(repeating: "x/", count: 30_000)] {
        let result = try run(option, value)
        #expect([64, 65, 66, 74].contains(result.code), "\(option)=\(value.prefix(30)): \(result.code) \(result.error.prefix(300))")
        #expect(result.error.split(separator: "\n").count == 1, "\(option)=\(value.prefix(30)): \(result.error.prefix(300))")
      }
    }
  }

  /// The numbers that one command multiplies.
  @Test func productsAreCheckedToo() throws {
    let folder = try TrialFolder()
    let data = try folder.write("{\"question\": \"1 + 1?\", \"answer\": \"2\"}\n", "data.jsonl")
    let rl = ["rl", "--model", Place.model, "--data", data, "--algo", "grpo", "--out", folder.file("run"), "--dry-run"]
    expectRefusal(try tool(rl + ["--group-size", "65536", "--prompts-per-step", "65536"]), 64, "--group-size", "65536 × 65536")
    let largest = try tool(rl + [
      "--steps", "1000000000", "--inner-epochs", "10000", "--minibatches", "65536", "--max-new-tokens", "10000000", "--group-size", "64",
      "--prompts-per-step", "65536", "--warmup-steps", "1000000000", "--seed", "9007199254740991",
    ])
    #expect(largest.code == 0, "\(largest.error)")
    let sft = try tool([
      "sft", "--model", Place.model, "--data", Place.texts, "--out", folder.file("sft"), "--dry-run", "--epochs", "1000000",
      "--batch-size", "1000000", "--max-length", "10000000", "--max-samples", "1000000000", "--micro-batch-tokens", "1000000000",
    ])
    #expect(sft.code == 0, "\(sft.error)")
    let generated = try tool(
      "generate", "--model", Place.model, "--prompt", "x", "--max-new-tokens", "10000000", "--top-k", "10000000", "--temperature", "1000000",
      "--batch-size", "1000000", "--seed", "9007199254740991")
    #expect(generated.code == 0, "\(generated.error)")
  }

  @Test func configurationFilesAndPluginParametersHaveTheSameEnds() throws {
    let folder = try TrialFolder()
    let data = try folder.write("{\"question\": \"1 + 1?\", \"answer\": \"2\"}\n", "data.jsonl")
    let rl = ["rl", "--model", Place.model, "--data", data, "--algo", "grpo", "--out", folder.file("run"), "--dry-run"]
    for value in ["9223372036854775807", "1e308", "-1", "1e-400", "\"8\"", "[8]", "9223372036854775808", "1e400"] {
      let config = try folder.write("{\"group_size\": \(value)}", "config.json")
      expectRefusal(try tool(rl + ["--config", config]), 65, "group_size", "from 1 to 65536")
    }
    for value in ["nan", "inf", "-1e308", "", String(repeating: "9", count: 400)] {
      let result = try tool(rl + ["--set", "beta=\(value)"])
      #expect(result.code == 64, "\(value.prefix(20)): \(result.code) \(result.error)")
      #expect(result.error.contains("beta") && result.error.split(separator: "\n").count == 1, "\(result.error)")
    }
  }

  @Test(arguments: [
    (["generate", "--prompt", "x", "--top-k", "5"], ["--top-k", "--temperature 0"]),
    (["generate", "--prompt", "x", "--top-p", "0.5"], ["--top-p", "--temperature 0"]),
    (["generate", "--prompt", "x", "--samples", "3"], ["--samples", "--temperature 0"]),
    (["generate", "--prompt", "x", "--prompts", "f"], ["--prompt", "--prompts"]),
    (["eval", "--data", "f", "--samples", "4"], ["--samples", "--temperature 0"]),
    (["eval", "--data", "f", "--top-k", "4"], ["--top-k", "--temperature 0"]),
    (["sft", "--data", "f", "--out", "o", "--adapter", "a", "--lora-rank", "16"], ["--lora-rank", "--adapter"]),
    (["sft", "--data", "f", "--out", "o", "--adapter", "a", "--lora-alpha", "16"], ["--lora-alpha", "--adapter"]),
    (["sft", "--data", "f", "--out", "o", "--full", "--lora-targets", "q_proj"], ["--lora-targets", "--full"]),
    (["sft", "--data", "f", "--out", "o", "--full", "--adapter", "a"], ["--adapter", "--full"]),
    (["sft", "--data", "f", "--out", "o", "--wandb-tags", "a"], ["--wandb-tags", "--wandb"]),
    (["sft", "--data", "f", "--out", "o", "--sample-every", "2"], ["--sample-every"]),
    (["rl", "--data", "f", "--out", "o", "--algo", "grpo", "--full", "--lora-rank", "8"], ["--lora-rank", "--full"]),
    (["rl", "--data", "f", "--out", "o", "--algo", "grpo", "--eval-every", "8"], ["--eval-every", "--eval-data"]),
    (["rl", "--data", "f", "--out", "o", "--algo", "grpo", "--value-lr", "1e-4"], ["--value-lr", "critic"]),
    (["rl", "--data", "f", "--out", "o", "--algo", "grpo", "--refill-rounds", "2"], ["--refill-rounds", "grpo"]),
    (["data", "show", "--data", "f", "--stage", "rl", "--loss-on", "completion"], ["--loss-on", "--stage rl"]),
    (["rl", "--data", "f", "--out", "o", "--algo", "grpo", "--temperature", "1e-38"], ["--temperature", "from 0.001"]),
    (["sft", "--data", "f", "--out", "o", "--lora-alpha", "1e19"], ["--lora-alpha"]),
    (["score", "--tokens", "f", "--out", "o", "--quantize", "int8"], ["--quantize", "nf4"]),
    (["sft", "--data", Place.texts, "--out", "o", "--full", "--quantize", "nf4", "--dry-run"], ["--quantize nf4", "--full"]),
    (["plan", "--full", "--quantize", "nf4"], ["--quantize nf4", "--full"]),
    (["export", "--out", "o"], ["--adapter", "--quantize nf4"]),
    (["score", "--tokens", "f", "--out", "o", "--device", "cuda:0"], ["cuda:0", "libcuda.so.1"]),
  ] as [([String], [String])]) func whatDoesNothingHereIsRefused(_ words: [String], _ parts: [String]) throws {
    let result = try tool(words + ["--model", Place.model])
    #expect(result.code == 64, "\(result.code) \(result.error)")
    for part in parts { #expect(result.error.contains(part), "\(result.error)") }
    #expect(result.error.split(separator: "\n").count == 1)
  }

  @Test func aTargetNamedTwiceIsRefused() throws {
    let folder = try TrialFolder()
    let result = try tool(
      "sft", "--model", Place.model, "--data", Place.texts, "--out", folder.file("o"), "--lora-targets", "q_proj,v_proj,q_proj")
    #expect(result.code == 64)
    #expect(result.error.contains("--lora-targets: q_proj is given twice"), "\(result.error)")
  }

  /// The effective settings of a run, defaults and all, are a configuration again.
  @Test func theSettingsOfARunServeAgain() throws {
    let folder = try TrialFolder()
    let first = try tool(
      "sft", "--model", Place.model, "--data", Place.texts, "--adapter", Place.adapter, "--out", folder.file("a"), "--max-steps", "1", "--quiet")
    #expect(first.code == 0, "\(first.error)")
    let record = try JSON.read(folder.file("a/run.json"))
    let config = try folder.write(try #require(record["arguments"]).text(), "config.json")
    let second = try tool("sft", "--config", config, "--model", Place.model, "--data", Place.texts, "--out", folder.file("b"))
    #expect(second.code == 0, "\(second.error)")
    #expect(try Files.read(folder.file("a/adapter/adapter_model.safetensors")) == Files.read(folder.file("b/adapter/adapter_model.safetensors")))
  }

  @Test func helpOffersWhatIsThere() throws {
    for command in ["sft", "rl", "eval", "generate", "score", "export", "bench"] {
      let help = try tool(command, "--help").output
      #expect(help.contains("none|nf4") && help.contains("auto|cpu|cuda[:N]"), "\(command)")
    }
  }

  @Test(arguments: [
    (["trian"], "sft or rl"), (["train"], "sft or rl"), (["evla"], "eval"), (["sft", "--learning_rate", "1"], "--lr?"),
    (["sft", "--num_train_epochs", "1"], "--epochs?"), (["rl", "--max_completion_length", "1"], "--max-new-tokens?"),
    (["rl", "--beta", "1"], "--set beta=VALUE?"), (["eval", "--tempreature", "1"], "--temperature?"),
  ] as [([String], String)]) func aNearMissIsAnsweredWithTheName(_ words: [String], _ name: String) throws {
    expectRefusal(try tool(words), 64, "did you mean \(name)")
  }
}
