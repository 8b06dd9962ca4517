import Support
import TestSupport
import Testing

/// What comes from outside: special files, text that steers a terminal, logs that are broken in places, weights that are no numbers.
@Suite struct InputTests {
  private func shell(_ script: String, _ folder: TrialFolder) throws -> ToolResult {
    try RunningTool(["-c", "cd '\(folder.path)' && tool='\(Place.tool)' && \(script)"], program: "/bin/bash").wait()
  }

  // MARK: Special files

  private static let modelFiles = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]

  @Test func aFIFOInTheFolderOfAModelIsRefusedByName() throws {
    for name in Self.modelFiles {
      let folder = try TrialFolder()
      let model = try folder.copy(Place.model, "model")
      Files.remove("\(model)/\(name)")
      #expect(unsafe mkfifo("\(model)/\(name)", 0o644) == 0)
      expectRefusal(try tool("generate", "--model", model, "--prompt", "x"), 66, "\(model)/\(name)", "is a FIFO")
    }
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
      let folder = try TrialFolder()
      let adapter = try folder.copy(Place.adapter, "adapter")
      Files.remove("\(adapter)/\(name)")
      #expect(unsafe symlink("/dev/zero", "\(adapter)/\(name)") == 0)
      expectRefusal(try tool("generate", "--model", Place.model, "--adapter", adapter, "--prompt", "x"), 66, "\(adapter)/\(name)", "is a device")
    }
  }

  @Test func aFIFOOrADeviceAsDataIsRefusedByName() throws {
    let folder = try TrialFolder()
    let fifo = folder.file("fifo")
    #expect(unsafe mkfifo(fifo, 0o644) == 0)
    for (path, kind) in [(fifo, "a FIFO"), ("/dev/zero", "a device"), ("/dev/null", "a device"), (folder.path, "a directory")] {
      let commands = [
        ["data", "show", "--model", Place.model, "--data", path], ["sft", "--model", Place.model, "--data", path, "--out", folder.file("run")],
        ["sft", "--model", Place.model, "--data", Place.texts, "--eval-data", path, "--out", folder.file("run")],
        ["eval", "--model", Place.model, "--data", path], ["generate", "--model", Place.model, "--prompts", path], ["judge", "--data", path],
        ["score", "--model", Place.model, "--tokens", path, "--out", folder.file("s")],
        ["sft", "--config", path, "--model", Place.model, "--data", Place.texts, "--out", folder.file("run")],
      ]
      for words in commands { expectRefusal(try tool(words), 66, path, kind) }
    }
    // The logs of a run, where whatever reads them would wait.
    try Files.makeDirectory(folder.file("logs"))
    for name in ["metrics.jsonl", "samples.jsonl"] { #expect(unsafe mkfifo(folder.file("logs/\(name)"), 0o644) == 0) }
    expectRefusal(try tool("report", folder.file("logs")), 66, "metrics.jsonl", "a FIFO")
    expectRefusal(try tool("inspect", folder.file("logs")), 66, "samples.jsonl", "a FIFO")
    expectRefusal(try shell("\"$tool\" tokenize --model '\(Place.model)' < /dev/zero", folder), 66, "standard input", "a device")
  }

  @Test func whatAShellHandsOverIsRead() throws {
    let folder = try TrialFolder()
    let show = "\"$tool\" data show --model '\(Place.model)' --limit 1 --data"
    let plain = try shell("\(show) '\(Place.texts)'", folder)
    #expect(plain.code == 0 && !plain.output.isEmpty)
    for script in ["\(show) <(cat '\(Place.texts)')", "cat '\(Place.texts)' | \(show) /dev/stdin", "\(show) /dev/stdin < '\(Place.texts)'"] {
      let result = try shell(script, folder)
      #expect(result.code == 0 && result.output == plain.output, "\(script): \(result.error)")
    }
    #expect(try shell("\"$tool\" score --model '\(Place.model)' --tokens <(echo '[[5, 6, 7]]') --out s", folder).code == 0)
    // A pipe is no model.
    expectRefusal(try shell("\"$tool\" sft --config <(echo '{}') --model <(echo) --data '\(Place.texts)' --out y", folder), 66, "/dev/fd/")
  }

  @Test func aHugeFileOfNothingTakesNoMemory() throws {
    let folder = try TrialFolder()
    let huge = folder.file("huge")
    let descriptor = unsafe open(huge, O_WRONLY | O_CREAT, 0o644)
    #expect(unsafe write(descriptor, "{\"text\": \"a\"}\n", 14) == 14)
    try #require(ftruncate(descriptor, 100 << 30) == 0, "a file system whose files may have holes")
    close(descriptor)
    let model = try folder.copy(Place.model, "model")
    for name in Self.modelFiles {
      let place = "\(model)/\(name)"
      let kept = try Files.read(place)
      Files.remove(place)
      #expect(unsafe link(huge, place) == 0)
      let result = try shell("ulimit -v 8000000; \"$tool\" generate --model '\(model)' --prompt x", folder)
      if name == "model.safetensors" {
        // It is mapped, not read: its first bytes are no length of a header.
        #expect([65, 74].contains(result.code) && result.error.contains(place), "\(result.code) \(result.error)")
      } else {
        expectRefusal(result, 65, place, "hole of zeros")
      }
      Files.remove(place)
      try AtomicFile.write(kept, to: place)
    }
    expectRefusal(try shell("ulimit -v 8000000; \"$tool\" data show --model '\(model)' --data huge", folder), 65, "huge", "hole of zeros")
  }

  // MARK: Weights

  @Test(arguments: [Float.nan, .infinity, -.infinity]) func weightsThatAreNoNumbersAreNamed(_ value: Float) throws {
    for kind in [ElementType.float32, .bfloat16, .float16] {
      let folder = try TrialFolder()
      let model = try folder.copy(Place.model, "model")
      let file = try SafetensorsFile(model + "/model.safetensors")
      var writer = SafetensorsWriter()
      for name in file.names {
        var values = try file.floats(name)
        if name == "model.layers.0.mlp.up_proj.weight" { values[5] = value }
        writer.add(name, values, shape: try file.entry(name).shape, as: kind)
      }
      try writer.write(to: model + "/model.safetensors")
      let tokens = try folder.write("[[5, 6, 7]]", "tokens.json")
      for words in [["score", "--tokens", tokens, "--out", folder.file("s")], ["generate", "--prompt", "x"], ["sft", "--data", Place.texts, "--out", folder.file("r"), "--quiet"]] {
        expectRefusal(try tool(words + ["--model", model]), 65, "model.layers.0.mlp.up_proj.weight", "value 5")
      }
    }
  }

  // MARK: Text that steers a terminal

  /// What a terminal gets to see of a command.
  private func onTerminal(_ words: [String], input: String = "", _ folder: TrialFolder) throws -> String {
    let master = unsafe open("/dev/ptmx", O_RDWR | O_NOCTTY)
    defer { close(master) }
    // TIOCSPTLCK and TIOCGPTN: what unlockpt and ptsname ask of Linux.
    var (locked, number) = (Int32(0), Int32(0))
    let isOpen = unsafe master >= 0 && ioctl(master, UInt(0x4004_5431), &locked) == 0 && ioctl(master, UInt(0x8004_5430), &number) == 0
    try #require(isOpen, "no pseudo-terminal")
    let name = "/dev/pts/\(number)"
    _ = fcntl(master, F_SETFL, O_NONBLOCK)
    // Held open, so that what was written is not lost when the program ends.
    let held = unsafe open(name, O_RDWR | O_NOCTTY)
    defer { close(held) }
    try folder.write(input, "input")
    let line = words.map { "'\($0)'" }.joined(separator: " ")
    let process = try RunningTool(["-c", "TERM=xterm exec '\(Place.tool)' \(line) < '\(folder.file("input"))' > \(name)"], program: "/bin/sh")
    var bytes: [UInt8] = []
    func drain() {
      var buffer = [UInt8](repeating: 0, count: 65536)
      while true {
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(master, $0.baseAddress!, $0.count) }
        if count <= 0 { return }
        bytes += buffer[..<count]
      }
    }
    #expect(!process.wait { drain(); return false })
    usleep(20_000)
    drain()
    #expect(process.wait().code == 0, "\(process.wait().error)")
    return String(decoding: bytes, as: UTF8.self)
  }

  private static let hostile = "a\u{1B}]0;owned\u{7}b\u{1B}[2Jc\u{9B}31md\u{202E}e\u{2066}f\u{8}g\r\nh"

  private func expectHarmless(_ text: String, colours: Bool = false) {
    var rest = text
    if colours {
      let parts = text.split(separator: "\u{1B}[", omittingEmptySubsequences: false)
      rest = String(parts[0])
      for part in parts.dropFirst() {
        guard let end = part.firstIndex(of: "m"), part[..<end].allSatisfy({ $0.isNumber || $0 == ";" }) else {
          rest += "\u{1B}["
          continue
        }
        rest += part[part.index(after: end)...]
      }
    }
    for scalar in rest.unicodeScalars {
      let isHarmless = scalar == "\n" || scalar == "\t" || scalar == "\r" || scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value)
        && !(0x202A...0x202E).contains(scalar.value) && !(0x2066...0x2069).contains(scalar.value)
      #expect(isHarmless, "U+\(String(scalar.value, radix: 16)) in \(text.debugDescription)")
    }
  }

  @Test func aTerminalGetsTextEscapedAndAPipeAsItIs() throws {
    let folder = try TrialFolder()
    let raw = try tool("tokenize", "--model", Place.model, input: Self.hostile)
    let ids = raw.output
    #expect(try tool("tokenize", "--model", Place.model, "--decode", input: ids).output == Self.hostile)
    let shown = try onTerminal(["tokenize", "--model", Place.model, "--decode"], input: ids, folder)
    expectHarmless(shown)
    #expect(shown.contains("\\u{1b}") && shown.contains("\\u{9b}") && shown.contains("\\u{202e}"), "\(shown.debugDescription)")
    expectHarmless(try onTerminal(["generate", "--model", Place.model, "--prompt", "x", "--max-new-tokens", "64", "--temperature", "5"], folder))
    let data = try folder.write(JSON.object(["text": .string(Self.hostile)]).text() + "\n", "data.jsonl")
    expectHarmless(try onTerminal(["data", "show", "--model", Place.model, "--data", data], folder), colours: true)
    let pair = try onTerminal(["judge", "--answer", String(Self.hostile.filter { !$0.isNewline }), "--gold", "1"], folder)
    expectHarmless(pair)
  }

  @Test func inspectShowsNothingThatSteersATerminal() throws {
    let folder = try TrialFolder()
    let hostile = JSON.string(Self.hostile).text()
    try folder.write(
      #"{"stage":"rl", "step":1, "example":0, "question":\#(hostile), "sample":0, "completion":\#(hostile), "reward":1.0, "correct":true, "extracted":\#(hostile), "gold":\#(hostile), "reason":\#(hostile), "length":1, "truncated":false, "advantage":1.0, "tokens":[\#(hostile)], "log_probs":[-0.5], "entropies":[0.1], "ratios":[1]}"# + "\n",
      "samples.jsonl")
    try folder.write(#"{"stage":"rl", "step":1, "time":"x", "elapsed":1, "reward":1.0}"# + "\n", "metrics.jsonl")
    for more in [[], ["--sample", "1"], ["--sample", "1", "--by", "entropy"]] {
      expectHarmless(try onTerminal(["inspect", folder.path] + more, folder), colours: true)
      expectHarmless(try tool(["inspect", folder.path] + more).output)
    }
  }

  @Test func everyMessageIsOneHarmlessLine() throws {
    let folder = try TrialFolder()
    let hostile = JSON.string(Self.hostile).text()
    let model = try folder.copy(Place.model, "model")
    var config = try #require(try JSON.read(model + "/config.json").object)
    config["hidden_act"] = .string(Self.hostile)
    try AtomicFile.write(JSON.object(config).text(), to: model + "/config.json")
    let adapter = try folder.copy(Place.adapter, "adapter")
    try folder.write("{\"peft_type\": \(hostile)}", "adapter/adapter_config.json")
    let keys = try folder.write("{\(hostile): 1}\n", "keys.jsonl")
    let config2 = try folder.write("{\(hostile): 1}", "config.json")
    let name = folder.file("x\u{1B}[31m\ny")
    var results = [
      try tool("generate", "--model", model, "--prompt", "x"), try tool("generate", "--model", Place.model, "--adapter", adapter, "--prompt", "x"),
      try tool("data", "show", "--model", Place.model, "--data", keys), try tool("sft", "--config", config2), try tool("report", name),
      try tool("data", "show", "--model", Place.model, "--data", name), try tool(Self.hostile), try tool("sft", "--\(Self.hostile)=1"),
      try tool("sft", "--lr", Self.hostile), try tool("plugin", "show", Self.hostile),
    ]
    let weights = try folder.copy(Place.model, "weights")
    let text = #"{"\#(hostile.dropFirst().dropLast())": {"dtype": \#(hostile), "shape": [1], "data_offsets": [0, 4]}}"#
    var header: [UInt8] = (0..<8).map { UInt8(truncatingIfNeeded: text.utf8.count >> (8 * $0)) }
    header += Array(text.utf8) + [0, 0, 0, 0]
    try AtomicFile.write(header, to: weights + "/model.safetensors")
    results.append(try tool("generate", "--model", weights, "--prompt", "x"))
    for result in results {
      #expect(result.code >= 64 && result.error.hasSuffix("\n"), "\(result.code) \(result.error)")
      let line = result.error.dropLast()
      #expect(!line.contains("\n") && !line.contains("\r") && !line.contains("\r\n") && !line.contains("\t"), "\(line.debugDescription)")
      expectHarmless(String(line))
    }
  }

  // MARK: Numbers

  @Test func offsetsOfABatchThatNoArrayHasAreRefused() throws {
    let folder = try TrialFolder()
    for (offsets, limit) in [([.min, .max], 1), ([.max, .min], 1), ([0, .max], 1), ([0, -1], 1), ([0, 1], .min), ([0, 1], .max)] as [([Int64], Int64)] {
      for name in ["token_offsets", "group_offsets"] {
        var writer = SafetensorsWriter()
        for other in ["token_offsets", "group_offsets"] { writer.add(other, other == name ? offsets : [0, 1], shape: [2]) }
        writer.add("rewards", [1] as [Float], shape: [1])
        writer.add("sequence_flags", [0] as [UInt8], shape: [1])
        for values in ["old", "current"] { writer.add(values, [-1] as [Float], shape: [1]) }
        writer.add("token_limit", [limit], shape: [1])
        try writer.write(to: folder.file("batch"))
        let result = try tool("plugin", "eval", "grpo", "--batch", folder.file("batch"), "--out", folder.file("out"))
        #expect(result.code == 65 && result.error.split(separator: "\n").count == 1, "\(offsets) \(limit): \(result.code) \(result.error)")
      }
    }
  }

  @Test func namesOfEventFilesAreNoNumbersToCountWith() throws {
    let folder = try TrialFolder()
    let run = ["sft", "--model", Place.model, "--data", Place.texts, "--out", folder.file("run"), "--quiet", "--epochs", "2"]
    #expect(try tool(run + ["--max-steps", "3", "--checkpoint-every", "2"]).code == 0)
    for number in ["9223372036854775807", "-9223372036854775808", "1099511627777", "x"] {
      try folder.write("", "run/tensorboard/events.out.tfevents.\(number).host.1.0")
    }
    let result = try tool(run + ["--max-steps", "5", "--resume"])
    #expect(result.code == 0 && result.error.isEmpty, "\(result.error)")
  }

  // MARK: report

  private static func metric(_ step: Int) -> String { #"{"stage":"sft", "step":\#(step), "time":"2026-01-01T00:00:00.000Z", "elapsed":1, "loss":0.5}"# + "\n" }

  private func data(_ page: String) throws -> JSON {
    let text = try Files.readText(page)
    let start = try #require(text.firstRange(of: #"<script id="data" type="application/json">"#))
    let end = try #require(text[start.upperBound...].firstRange(of: "</script>"))
    return try JSON.parse(String(text[start.upperBound..<end.lowerBound]), name: "page")
  }

  @Test(arguments: [
    ("", 0), ("\n", 0), ("\n\n  \n", 0), ("{\"stage\":\"sft\", \"st", 0), ("NaN\n", 1), ("{\"stage\":\"sft\",\"step\":3,\"loss\":NaN}\n", 1), ("{\"step\": 3}\n", 1), ("[]\n", 1),
    ("{\"stage\":\"sft\",\"step\":3,\"loss\":\"x\"}\n", 1), ("\u{0}\u{0}\n{}\n", 2), ("},{\n", 1), ("{\"stage\":\"sft\",\"step\":9223372036854775808,\"loss\":1}\n", 1),
  ]) func aBrokenLineIsLeftOutOfTheReportAndSaid(_ broken: String, _ count: Int) throws {
    let folder = try TrialFolder()
    // The last is half-written only where nothing stands behind it.
    let isHalf = count == 0 && broken.contains("{")
    try folder.write(Self.metric(1) + (isHalf ? "" : broken) + Self.metric(2) + (isHalf ? broken : ""), "metrics.jsonl")
    let result = try tool("report", folder.path)
    #expect(result.code == 0, "\(result.error)")
    let run = try #require(try data(folder.file("report.html"))["runs"]?.array?[0])
    #expect(run["metrics"]?.array?.compactMap { $0["step"]?.int } == [1, 2])
    if count == 0 {
      #expect(result.error.isEmpty && run["notes"] == [])
    } else {
      #expect(result.error.contains("\(count) of \(count + 2) lines") && result.error.contains("line 2"), "\(result.error)")
      #expect(run["notes"]?.array?.count == 1)
    }
  }

  @Test func aReportOfNothingIsNoSuccess() throws {
    let folder = try TrialFolder()
    try folder.write("", "metrics.jsonl")
    expectRefusal(try tool("report", folder.path), 66, "no step is finished")
    try folder.write("x\ny\n", "metrics.jsonl")
    let result = try tool("report", folder.path)
    #expect(result.code == 65 && result.error.contains("2 of 2 lines"), "\(result.error)")
    #expect(!Files.exists(folder.file("report.html")))
    // A cut run.json costs the settings only, a broken sample that sample.
    try folder.write(Self.metric(1), "metrics.jsonl")
    try folder.write("{\"stage\": \"sft\", ", "run.json")
    try folder.write(#"{"stage":"rl","step":1,"completion":5}"# + "\n" + #"{"stage":"rl","step":1,"completion":"c"}"# + "\n", "samples.jsonl")
    let partly = try tool("report", folder.path)
    #expect(partly.code == 0 && partly.error.contains("run.json") && partly.error.contains("1 of 2 lines"), "\(partly.error)")
    let run = try #require(try data(folder.file("report.html"))["runs"]?.array?[0])
    #expect(run["samples"]?.array?.count == 1 && run["run"]?.object?.count == 0)
  }
}
