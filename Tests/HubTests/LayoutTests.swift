import Support
import TestSupport
import Testing

@testable import Hub

@Suite struct `Names of the hub` {
  @Test(arguments: [
    ("openai/gsm8k", "openai/gsm8k", nil, nil), ("openai/gsm8k:test", "openai/gsm8k", nil, "test"),
    ("openai/gsm8k@e53f048:socratic/train", "openai/gsm8k", "e53f048", "socratic/train"), ("a/b@refs/pr/3", "a/b", "refs/pr/3", nil),
    ("Qwen/Qwen2.5-Math-1.5B-Instruct", "Qwen/Qwen2.5-Math-1.5B-Instruct", nil, nil),
  ] as [(String, String, String?, String?)])
  func `say repository, revision and part`(_ text: String, _ repository: String, _ revision: String?, _ part: String?) throws {
    let name = try #require(HubName(text))
    #expect(name.repository == repository && name.revision == revision && name.part == part)
  }

  @Test(arguments: [
    "gsm8k", "", "/", "a/", "/b", "a/b/c", "../b", "a/..", "./a", "a/b:", "a/b@", "a/b@x/../y", "a/b:../c", "a b/c", "a--b/c", "a/b:c/", "ä/b", "a/b\u{0}",
  ])
  func `are no paths and lead nowhere`(_ text: String) { #expect(HubName(text) == nil) }
}

@Suite struct `The files of a data set` {
  private static let goldens = Place.tests + "/HubTests/Goldens"

  private func layout(_ name: String) throws -> (DatasetLayout, [String]) {
    let folder = "\(Self.goldens)/\(name)"
    let files = try HubCache.files(in: folder)
    return (DatasetLayout(readme: try Files.readText(folder + "/README.md"), files: files), files)
  }

  @Test(arguments: [
    ("gsm8k", "", ["train"], ["main/train-00000-of-00001.parquet"]), ("gsm8k", "", ["test"], ["main/test-00000-of-00001.parquet"]),
    ("gsm8k", ":test", ["train"], ["main/test-00000-of-00001.parquet"]), ("gsm8k", ":socratic", ["train"], ["socratic/train-00000-of-00001.parquet"]),
    ("gsm8k", ":socratic/test", ["train"], ["socratic/test-00000-of-00001.parquet"]),
    ("openr1", "", ["train"], ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]),
    ("openr1", ":extended/train", ["train"], ["extended/train-00000-of-00001.parquet"]),
    ("openr1", ":extended", ["train"], ["extended/train-00000-of-00001.parquet"]), ("openr1", ":all/default", ["train"], []),
    ("math500", "", ["test", "train"], ["test.jsonl"]),
  ])
  func `are those that README.md or their names give to a split`(_ set: String, _ part: String, _ preferred: [String], _ expected: [String]) throws {
    let (layout, files) = try layout(set)
    let name = try #require(HubName("a/\(set)\(part)"))
    #expect(try layout.split(name, preferring: preferred).split.files(of: files) == expected)
  }

  @Test(arguments: [
    ("math500", "", "has no split train, but test; say which as a/math500:test"),
    ("gsm8k", ":tset", "has no split or configuration \"tset\"; it has main/train, main/test, socratic/train, socratic/test; did you mean a/gsm8k:test?"),
  ])
  func `that are not there are said with those that are`(_ set: String, _ part: String, _ expected: String) throws {
    let (layout, _) = try layout(set)
    let name = try #require(HubName("a/\(set)\(part)"))
    do throws(Failure) {
      _ = try layout.split(name, preferring: ["train"])
      Issue.record("found a split")
    } catch { #expect(error.code == .missingInput && error.message.hasSuffix(expected), "\(error)") }
  }

  @Test func `go by their names where README.md says nothing`() throws {
    func names(_ files: [String]) -> [String] {
      DatasetLayout(readme: nil, files: files).configurations.flatMap { configuration in configuration.splits.map { "\(configuration.name)/\($0.name) \($0.files(of: files).count)" } }
    }
    #expect(names(["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test.parquet", "README.md"]) == ["default/train 2", "default/test 1"])
    #expect(names(["main/train-0.parquet", "socratic/train-0.parquet"]) == ["main/train 1", "socratic/train 1"])
    #expect(names(["train/a.jsonl", "train/b.jsonl", "dev/a.jsonl.gz"]) == ["default/train 2", "default/validation 1"])
    #expect(names(["problems[1].jsonl"]) == ["default/train 1"])
    #expect(names(["dataset_infos.json", "notes.txt", "model.safetensors"]) == [])
  }

  @Test func `are all there or one is named`() {
    #expect(DatasetLayout.Split.missing(in: ["d/train-00000-of-00002.parquet", "d/train-00001-of-00002.parquet"]) == nil)
    #expect(DatasetLayout.Split.missing(in: ["d/train-00000-of-00003.parquet", "d/train-00002-of-00003.parquet"]) == "d/train-00001-of-00003.parquet")
    #expect(DatasetLayout.Split.missing(in: ["one-of-many.parquet", "x.jsonl", "1-of-999999999999.jsonl"]) == nil)
  }

  @Test func `lists of patterns, one pattern and the standard configuration are read`() throws {
    let readme = """
      ---
      license: mit
      configs:
      - config_name: a
        data_files: "x/*.jsonl"
      - config_name: b
        default: true
        data_files:
        - y/1.jsonl
        - 'y/2.jsonl'
      other:
      - split: none
      ---
      configs:
      - config_name: c
      """
    let files = ["x/1.jsonl", "x/deep/2.jsonl", "y/1.jsonl", "y/2.jsonl", "y/3.jsonl"]
    let layout = DatasetLayout(readme: readme, files: files)
    #expect(layout.configurations.map(\.name) == ["a", "b"])
    #expect(layout.configurations.map { $0.splits.flatMap { $0.files(of: files) } } == [["x/1.jsonl"], ["y/1.jsonl", "y/2.jsonl"]])
    #expect(try layout.split(try #require(HubName("o/n")), preferring: ["train"]).configuration.name == "b")
  }
}

@Suite struct `The hub's cache` {
  private static let commit = String(repeating: "0123456789", count: 4)

  private func cache(_ folder: TrialFolder) throws -> HubCache {
    let repository = folder.file("models--a--b")
    for commit in [Self.commit, "f" + Self.commit.dropFirst()] { try Files.makeDirectory("\(repository)/snapshots/\(commit)") }
    try Files.makeDirectory("\(repository)/refs/pr")
    try folder.write(Self.commit, "models--a--b/refs/main")
    try folder.write("f" + Self.commit.dropFirst(), "models--a--b/refs/pr/1")
    return HubCache(folder.path)
  }

  @Test func `finds the snapshot of main, of another revision, and of a commit`() throws {
    let folder = try TrialFolder()
    let cache = try cache(folder)
    func found(_ text: String) throws -> String { Files.name(of: try cache.snapshot(.model, try #require(HubName(text)))) }
    #expect(try found("a/b") == Self.commit)
    #expect(try found("a/b@main") == Self.commit)
    #expect(try found("a/b@pr/1") == "f" + Self.commit.dropFirst())
    #expect(try found("a/b@" + Self.commit) == Self.commit)
    #expect(try found("a/b@f123456") == "f" + Self.commit.dropFirst())
  }

  @Test(arguments: [
    ("a/c", "holds no model of that name; fetch it with: nano-reasoner download a/c"), ("a/b@v2", "fetch this one with: nano-reasoner download a/b@v2"),
    ("a/b@f12", "holds other revisions of it"),
  ])
  func `says what fetches what it does not hold`(_ text: String, _ expected: String) throws {
    let folder = try TrialFolder()
    let cache = try cache(folder)
    do throws(Failure) {
      _ = try cache.snapshot(.model, HubName(text)!)
      Issue.record("found \(text)")
    } catch { #expect(error.code == .missingInput && error.message.contains(expected), "\(error)") }
  }
}
