import Support
import TestSupport
import Testing

/// Data by their names on the hub, in Parquet and compressed, as `data show` gives them to a model.
@Suite struct DataSourceTests {
  private static let goldens = Place.tests + "/HubTests/Goldens"
  private static let base = Place.repository + "/Models/base"
  /// The Python that reads Parquet here: `$NR_PYTHON`, `python3`, or the one that `shared/tools` makes for comparing.
  private static let python: String? = {
    let candidates = [environmentVariable("NR_PYTHON") ?? "python3", (environmentVariable("HOME") ?? "") + "/.cache/peers/bin/python"]
    return candidates.first { ((try? tool(["doctor", "--json"], environment: ["NR_PYTHON": $0]))?.json["pyarrow"]?["found"]?.bool) == true }
  }()
  static let hasPyarrow = python != nil

  /// A cache of the hub with the three data sets.
  private func cache(_ folder: TrialFolder) throws -> [String: String] {
    for (set, name) in [("gsm8k", "openai--gsm8k"), ("openr1", "open-r1--OpenR1-Math-220k"), ("math500", "HuggingFaceH4--MATH-500")] {
      try Files.makeDirectory(folder.file("hub/datasets--\(name)/refs"))
      try folder.write("0123abc", "hub/datasets--\(name)/refs/main")
      let snapshot = folder.file("hub/datasets--\(name)/snapshots")
      try Files.makeDirectory(snapshot)
      #expect(unsafe symlink("\(Self.goldens)/\(set)", snapshot + "/0123abc") == 0)
    }
    return ["HF_HUB_CACHE": folder.file("hub"), "NR_PYTHON": Self.python ?? "python3"]
  }

  private func show(_ data: String, _ environment: [String: String], _ more: String...) throws -> [(line: Int?, text: String, learned: String, gold: String?)] {
    let result = try tool(["data", "show", "--model", Self.base, "--data", data, "--limit", "50", "--json"] + more, environment: environment)
    #expect(result.code == 0, "\(result.error)")
    return (result.json["examples"]?.array ?? []).map { example in
      let tokens = example["tokens"]?.array ?? []
      return (
        example["line"]?.int, tokens.compactMap { $0["text"]?.string }.joined(),
        tokens.filter { $0["loss"]?.bool == true }.compactMap { $0["text"]?.string }.joined(), example["gold"]?.string
      )
    }
  }

  // MARK: Names

  @Test func aDataSetInTheCacheIsReadByItsName() throws {
    let folder = try TrialFolder()
    let environment = try cache(folder)
    let shown = try show("HuggingFaceH4/MATH-500:test", environment)
    #expect(shown.map(\.gold) == [#"\left( 3, \frac{\pi}{2} \right)"#, "2"])
    let home = ["HF_HOME": folder.path, "HF_HUB_CACHE": ""]
    #expect(try show("HuggingFaceH4/MATH-500:test", home).count == 2)
    // Questions are of the split test where there is one; nobody trains on it by accident.
    let trained = try tool(
      ["sft", "--model", Self.base, "--data", "HuggingFaceH4/MATH-500", "--out", folder.file("run")], environment: environment)
    expectRefusal(trained, 66, "HuggingFaceH4/MATH-500: has no split train, but test; say which as HuggingFaceH4/MATH-500:test")
    let asked = try tool(
      ["eval", "--model", Self.base, "--data", "HuggingFaceH4/MATH-500", "--limit", "1", "--max-new-tokens", "2", "--quiet"], environment: environment)
    #expect(asked.code == 0, "\(asked.error)")
  }

  @Test func whatIsMissingIsSaidWithTheCommandThatFetchesIt() throws {
    let folder = try TrialFolder()
    var environment = try cache(folder)
    let run = ["--out", folder.file("run")]
    expectRefusal(
      try tool(["sft", "--model", Self.base, "--data", "openai/gsm9k:main/train"] + run, environment: environment), 66, "no such file",
      folder.file("hub"), "holds no data set of that name; fetch it with: nano-reasoner download openai/gsm9k")
    expectRefusal(
      try tool(["sft", "--model", "Qwen/Qwen2.5-Math-1.5B-Instruct", "--data", Place.texts] + run, environment: environment), 66,
      "no such folder", "fetch it with: nano-reasoner download Qwen/Qwen2.5-Math-1.5B-Instruct")
    expectRefusal(try tool(["sft", "--model", Self.base, "--data", "data/train.jsonl"] + run, environment: environment), 66, "data/train.jsonl: cannot open the file")
    expectRefusal(
      try tool(["sft", "--model", Self.base, "--data", "open-r1/OpenR1-Math-220k:all/default"] + run, environment: environment), 66,
      "holds no file of the split default; fetch it with: nano-reasoner download open-r1/OpenR1-Math-220k:all/default")
    // One of two files of a split.
    let part = "hub/datasets--a--b/snapshots/0"
    try Files.makeDirectory(folder.file(part))
    try Files.copy("\(Self.goldens)/openr1/data/train-00000-of-00002.parquet", to: folder.file(part + "/train-00000-of-00002.parquet"))
    expectRefusal(try tool(["sft", "--model", Self.base, "--data", "a/b"] + run, environment: environment), 66, "lacks train-00001-of-00002.parquet")
    environment["NR_PYTHON"] = "/no/such/python"
    expectRefusal(
      try tool(["sft", "--model", Self.base, "--data", "openai/gsm8k"] + run, environment: environment), 66, "main/train-00000-of-00001.parquet: a Parquet file",
      "/no/such/python", "pyarrow")
  }

  // MARK: Parquet

  @Test(.enabled(if: hasPyarrow, "pyarrow")) func gsm8kIsReadFromParquetWithoutItsAnnotations() throws {
    let folder = try TrialFolder()
    let environment = try cache(folder)
    let shown = try show("openai/gsm8k", environment, "--loss-on", "completion")
    #expect(shown.map(\.gold) == ["12", "1,000", "3.5"] && shown.map(\.line) == [1, 2, 3])
    #expect(shown[1].learned == "He pays 2*500=$1,000.\n</think>\n\\boxed{1,000}<|im_end|>")
    #expect(try show("openai/gsm8k:socratic/test", environment).map(\.gold) == ["5"])
  }

  /// What is learned of a row is the first whole trace that math-verify found right, or else the model; rows without one are left out.
  @Test(.enabled(if: hasPyarrow, "pyarrow")) func theVerifiedTracesOfOpenR1AreLearned() throws {
    let folder = try TrialFolder()
    let environment = try cache(folder)
    let shown = try show("open-r1/OpenR1-Math-220k", environment, "--loss-on", "completion")
    #expect(shown.map(\.line) == [1, 2, 3, 5, 6] && shown.map(\.gold) == ["1", "2", "3", "5", "6"])
    let learned = zip([1, 2, 3, 5, 6], [0, 2, 1, 1, 1]).map { "Thought \($0).\($1), wörds & \"quotes\".\n</think>\n\nSo \\boxed{\($0)}.<|im_end|>" }
    #expect(shown.map(\.learned) == learned)
    // Questions are asked of every row, from wherever they come.
    #expect(try show("open-r1/OpenR1-Math-220k", environment, "--stage", "rl").map(\.gold) == ["1", "2", "3", "4", "5", "6"])
    // The same rows as JSON lines are learned alike.
    let rows = try #require(try JSON.read(Self.goldens + "/rows.json").object)
    let lines = rows.keys.filter { $0.hasPrefix("openr1/data") }.flatMap { rows[$0]?.array ?? [] }.map { $0.text() + "\n" }.joined()
    let file = try folder.write(lines, "rows.jsonl")
    let same = try show(file, environment, "--loss-on", "completion")
    #expect(same.map(\.text) == shown.map(\.text) && same.map(\.learned) == learned)
    let run = try tool(
      ["sft", "--model", Self.base, "--data", "open-r1/OpenR1-Math-220k", "--max-samples", "3", "--max-steps", "1", "--out", folder.file("run")], environment: environment)
    #expect(run.code == 0 && run.error.contains("3 of 6 rows are used"), "\(run.error)")
    let all = try tool(
      ["sft", "--model", Self.base, "--data", "open-r1/OpenR1-Math-220k", "--max-steps", "1", "--out", folder.file("all")], environment: environment)
    #expect(all.code == 0 && all.error.contains("1 row has no trace that is known to be right and is left out (row 4)"), "\(all.error)")
  }

  @Test(.enabled(if: hasPyarrow, "pyarrow")) func whatJSONHasNoFormForComesAsTextOrNull() throws {
    let folder = try TrialFolder()
    let environment = try cache(folder)
    let types = Self.goldens + "/types.parquet"
    #expect(try show(types, environment).map(\.text) == ["a", "b \u{2028} \u{1D465}"])
    let keyed = try show(types, environment, "--question-key", "text", "--answer-key", "whole", "--stage", "rl")
    #expect(keyed.map(\.gold) == ["9007199254740993", "-1"])
    #expect(try show(types, environment, "--question-key", "text", "--answer-key", "day", "--stage", "rl").map(\.gold) == ["2025-01-02", "2025-01-03"])
    #expect(try show(types, environment, "--question-key", "text", "--answer-key", "raw", "--stage", "rl").map(\.gold) == ["bytes", "b"])
    expectRefusal(
      try tool(["data", "show", "--model", Self.base, "--data", types, "--answer-key", "small", "--question-key", "text", "--stage", "rl"], environment: environment), 65,
      "types.parquet: row 2: key \"small\"")
  }

  @Test(.enabled(if: hasPyarrow, "pyarrow")) func aDamagedParquetFileIsNamed() throws {
    let folder = try TrialFolder()
    let environment = try cache(folder)
    let whole = try Files.read(Self.goldens + "/openr1/data/train-00000-of-00002.parquet")
    func show(_ bytes: [UInt8]) throws -> ToolResult {
      try AtomicFile.write(bytes, to: folder.file("d"))
      return try tool(["data", "show", "--model", Self.base, "--data", folder.file("d")], environment: environment)
    }
    expectRefusal(try show(Array(whole.dropLast(9))), 65, folder.file("d"), "Parquet file that is cut off")
    expectRefusal(try show(Array(whole.prefix(100)) + Array(whole.suffix(8))), 65, folder.file("d"), "cannot be read as Parquet")
    var damaged = whole
    for place in 4..<2000 { damaged[place] = 0xFF }
    expectRefusal(try show(damaged), 65, folder.file("d"), "cannot be read as Parquet")
  }

  // MARK: Compressed

  @Test(arguments: [("gz", ["libz.so.1", "libz.so", "libz.1.dylib"]), ("zst", ["libzstd.so.1", "libzstd.so", "libzstd.1.dylib"])])
  func compressedLinesAreTheSameLines(_ ending: String, _ libraries: [String]) throws {
    let folder = try TrialFolder()
    let plain = try show(Self.goldens + "/lines.jsonl", [:])
    #expect(plain.count == 40)
    let path = "\(Self.goldens)/lines.jsonl.\(ending)"
    guard DynamicLibrary.first(of: libraries) != nil else {
      return expectRefusal(try tool("data", "show", "--model", Self.base, "--data", path), 66, path, "apt-get install")
    }
    let packed = try show(path, [:])
    #expect(packed.map(\.text) == plain.map(\.text) && packed.map(\.line) == plain.map(\.line))
    let bytes = try Files.read(path)
    for cut in [bytes.dropLast(), bytes.prefix(bytes.count / 4), bytes.prefix(5)] {
      try AtomicFile.write(Array(cut), to: folder.file("cut"))
      expectRefusal(try tool("data", "show", "--model", Self.base, "--data", folder.file("cut"), "--limit", "50"), 65, folder.file("cut"), "cut off or damaged")
    }
  }
}
