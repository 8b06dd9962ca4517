import Support
import Synchronization
import TestSupport
import Testing

@testable import Hub

/// Downloading from a hub on the loopback interface, with libcurl and with the hub's own client: each is left out by its name where it is missing.
@Suite struct `A download` {
  enum Way: String, CaseIterable, CustomTestStringConvertible {
    case curl, python
    var testDescription: String { rawValue }

    var isThere: Bool { self == .curl ? CurlLibrary.shared != nil : PythonHelper.packages(["huggingface_hub"])?["huggingface_hub"].flatMap { $0 } != nil }
    var own: HubDownload.Way { self == .curl ? .curl : .python }
  }

  /// The clients that this machine has. What it lacks is said once, below.
  static let ways = Way.allCases.filter(\.isThere)

  @Test(.enabled(if: ways.contains(.curl), "libcurl")) func `is tested with libcurl`() { #expect(Self.ways.contains(.curl)) }
  @Test(.enabled(if: ways.contains(.python), "huggingface_hub in NR_PYTHON or python3")) func `is tested with huggingface_hub`() {
    #expect(Self.ways.contains(.python))
  }

  private static func bytes(_ count: Int, _ seed: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761 &+ seed) >> 7) } }
  private static let weights = bytes(300_000, 1)

  private static let model = TrialHub.Repository([
    "config.json": Array("{\"model_type\": \"qwen2\"}".utf8), "generation_config.json": Array("{}".utf8), "tokenizer.json": bytes(5000, 2),
    "tokenizer_config.json": Array("{\"model_max_length\": 7}".utf8), "model.safetensors": weights, "pytorch_model.bin": bytes(2000, 3), "model-q4.gguf": bytes(2000, 4),
    "README.md": Array("# A model\n".utf8), "onnx/model.onnx": bytes(2000, 5),
  ])

  private static let sharded = TrialHub.Repository([
    "config.json": Array("{}".utf8), "tokenizer.json": Array("{}".utf8),
    "model.safetensors.index.json": Array(#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#.utf8),
    "model-00001-of-00002.safetensors": bytes(4000, 6), "model-00002-of-00002.safetensors": bytes(4001, 7), "consolidated.safetensors": bytes(9000, 8),
  ])

  private static let dataset = TrialHub.Repository([
    "README.md": Array("---\nconfigs:\n- config_name: main\n  data_files:\n  - split: train\n    path: main/train-*\n  - split: test\n    path: main/test-*\n- config_name: socratic\n  data_files:\n  - split: train\n    path: socratic/train-*\n---\n".utf8),
    "main/train-00000-of-00001.parquet": bytes(3000, 9), "main/test-00000-of-00001.parquet": bytes(2000, 10),
    "socratic/train-00000-of-00001.parquet": bytes(2500, 11),
  ])

  private static let lines = TrialHub.Repository(["test.jsonl": Array("{}\n".utf8), "README.md": Array("# lines\n".utf8), "train.csv": Array("a,b\n".utf8)])

  private static func hub(_ moods: TrialHub.Moods = .init(), gated: Bool = false) throws(Failure) -> TrialHub {
    var model = model
    model.isGated = gated
    return try TrialHub(
      [
        "models/ann/Math-1B": model, "models/ann/big": sharded, "datasets/ann/gsm": dataset, "datasets/ann/lines": lines,
        "models/ann/bins": TrialHub.Repository(["config.json": Array("{}".utf8), "pytorch_model.bin": bytes(3000, 3)]),
      ], moods)
  }

  /// What is told on the way.
  private final class Heard: Sendable {
    let words = Mutex<[String]>([])
    let done = Mutex<[Int]>([])
  }

  private func download(
    _ text: String, from hub: TrialHub, into folder: TrialFolder, _ way: Way, token: String? = nil, _ heard: Heard = Heard(), goesOn: @escaping () -> Bool = { true }
  ) throws(Failure) -> HubDownload.Result {
    let endpoint = HubEndpoint(address: hub.address, token: token, tokenSource: token.map { _ in "$HF_TOKEN" }, tokenFile: "/home/ann/token")
    let download = try HubDownload(
      way.own, endpoint: endpoint, cache: HubCache(folder.path), say: { word in heard.words.withLock { $0.append(word) } },
      progress: { now in heard.done.withLock { $0.append(now.done) } }, goesOn: goesOn)
    return try download.run(HubName(text)!, kind: nil)
  }

  private func failure(_ body: () throws(Failure) -> HubDownload.Result) -> Failure? {
    do throws(Failure) {
      _ = try body()
      return nil
    } catch { return error }
  }

  @Test(arguments: ways) func `of a model brings what is read here, in the layout of the hub's cache`(_ way: Way) throws {
    let (hub, folder, heard) = (try Self.hub(), try TrialFolder(), Heard())
    let result = try download("ann/Math-1B", from: hub, into: folder, way, heard)
    #expect(result.kind == .model && result.commit == TrialHub.commit)
    let repository = folder.file("models--ann--Math-1B")
    let snapshot = "\(repository)/snapshots/\(TrialHub.commit)"
    #expect(result.snapshot == snapshot && (way == .curl ? result.client == "libcurl" : result.client.hasPrefix("huggingface_hub")))
    let wanted = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    #expect(try HubCache.files(in: snapshot) == wanted)
    for name in wanted { #expect(try Files.read("\(snapshot)/\(name)") == Self.model.files[name]) }
    #expect(try Files.readText(repository + "/refs/main") == TrialHub.commit)
    // A link to the blob of the digest, and nothing half-written.
    #expect(Files.isLink(snapshot + "/model.safetensors") && Files.resolved(snapshot + "/model.safetensors") == Files.resolved("\(repository)/blobs/\(SHA256.hex(Self.weights))"))
    #expect(try Files.list(repository + "/blobs").count { $0.hasSuffix(".incomplete") } == 0)
    #expect(try HubCache(folder.path).snapshot(.model, HubName("ann/Math-1B")!) == snapshot)
    let done = heard.done.withLock { $0 }
    #expect(done.last == result.bytes && done == done.sorted() && result.bytes == result.files.reduce(0) { $0 + $1.size })
    // What is there is not fetched again.
    let before = hub.requests.count { $0.method == "GET" && $0.path.contains("/resolve/") }
    _ = try download("ann/Math-1B", from: hub, into: folder, way)
    #expect(hub.requests.count { $0.method == "GET" && $0.path.contains("/resolve/") } == before)
  }

  @Test(arguments: ways) func `of a model in shards brings those that its index names`(_ way: Way) throws {
    let (hub, folder) = (try Self.hub(), try TrialFolder())
    let result = try download("ann/big@main", from: hub, into: folder, way)
    #expect(
      try HubCache.files(in: result.snapshot) == [
        "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json",
      ])
    let error = try #require(failure { () throws(Failure) in try download("ann/bins", from: hub, into: folder, way) })
    #expect(error.code == .missingInput && error.message.contains("holds no weights in safetensors, but pytorch_model.bin"))
  }

  @Test(arguments: ways, [
    ("ann/gsm", ["README.md", "main/test-00000-of-00001.parquet", "main/train-00000-of-00001.parquet"]),
    ("ann/gsm:test", ["README.md", "main/test-00000-of-00001.parquet"]), ("ann/gsm:socratic/train", ["README.md", "socratic/train-00000-of-00001.parquet"]),
    ("ann/lines", ["README.md", "test.jsonl"]),
  ])
  func `of a data set brings the files of its splits`(_ way: Way, _ asked: (String, [String])) throws {
    let (hub, folder) = (try Self.hub(), try TrialFolder())
    let result = try download(asked.0, from: hub, into: folder, way)
    #expect(result.kind == .dataset && result.snapshot.hasPrefix(folder.file("datasets--ann--")))
    #expect(try HubCache.files(in: result.snapshot) == asked.1)
  }

  @Test(arguments: ways) func `that is gated says where its licence and the token belong`(_ way: Way) throws {
    let (hub, folder) = (try Self.hub(gated: true), try TrialFolder())
    let error = try #require(failure { () throws(Failure) in try download("ann/Math-1B", from: hub, into: folder, way) })
    #expect(error.code == .missingInput && error.message.contains("accept its licence at \(hub.address)/ann/Math-1B"))
    #expect(error.message.contains("HF_TOKEN, or a file /home/ann/token"))
    let wrong = try #require(failure { () throws(Failure) in try download("ann/Math-1B", from: hub, into: folder, way, token: "hf_wrong") })
    #expect(wrong.message.contains("the token of $HF_TOKEN may not read it"))
    _ = try download("ann/Math-1B", from: hub, into: folder, way, token: TrialHub.token)
    // The token is for the hub, not for whoever it sends the client to.
    let elsewhere = hub.requests.filter { $0.path.hasPrefix("/cdn/") }
    #expect(!elsewhere.isEmpty && elsewhere.allSatisfy { $0.headers["host"]?.hasPrefix("localhost") == true && $0.headers["authorization"] == nil })
  }

  @Test(arguments: ways) func `of what there is not says so with the nearest name`(_ way: Way) throws {
    let (hub, folder) = (try Self.hub(), try TrialFolder())
    let error = try #require(failure { () throws(Failure) in try download("ann/Math-1b", from: hub, into: folder, way) })
    #expect(error.code == .missingInput && error.message.hasSuffix("has no model or data set of that name; did you mean ann/Math-1B?"), "\(error)")
    let revision = try #require(failure { () throws(Failure) in try download("ann/Math-1B@v2", from: hub, into: folder, way) })
    #expect(revision.code == .missingInput && revision.message.contains("has no revision v2"), "\(revision)")
    let split = try #require(failure { () throws(Failure) in try download("ann/gsm:tests", from: hub, into: folder, way) })
    #expect(split.message.contains("has no split or configuration \"tests\"; it has main/train, main/test, socratic/train"), "\(split)")
    #expect(try HubCache.files(in: folder.path).allSatisfy { !$0.contains("refs/") }, "what did not come is no revision")
  }

  @Test(arguments: ways) func `of damaged bytes is thrown away`(_ way: Way) throws {
    var moods = TrialHub.Moods()
    moods.damaged = ["model.safetensors": 777]
    let (hub, folder) = (try Self.hub(moods), try TrialFolder())
    let error = try #require(failure { () throws(Failure) in try download("ann/Math-1B", from: hub, into: folder, way) })
    #expect(error.code == .badData && error.message.contains("model.safetensors: what came has the SHA-256"), "\(error)")
    #expect(!Files.exists(folder.file("models--ann--Math-1B/refs/main")))
    #expect(try Files.list(folder.file("models--ann--Math-1B/blobs")).allSatisfy { !$0.hasPrefix(SHA256.hex(Self.weights)) })
    moods.damaged = ["config.json": 3]
    let small = try Self.hub(moods)
    let other = try TrialFolder()
    let git = try #require(failure { () throws(Failure) in try download("ann/Math-1B", from: small, into: other, way) })
    #expect(git.message.contains("config.json: what came has the git digest"), "\(git)")
  }

  /// What libcurl brought, the hub's own client finds without asking the hub.
  @Test(.enabled(if: ways.count == 2, "libcurl, and huggingface_hub in NR_PYTHON or python3")) func `by libcurl is one of the hub's own programs`() throws {
    let (hub, folder) = (try Self.hub(), try TrialFolder())
    let own = """
      import huggingface_hub as hub
      for kind, name in {"model": "Math-1B", "dataset": "gsm"}.items():
          print(hub.snapshot_download("ann/" + name, repo_type=kind, cache_dir=sys.argv[1], local_files_only=True))
      info = hub.scan_cache_dir(sys.argv[1])
      print(len(info.warnings), info.size_on_disk, sorted(repo.repo_id for repo in info.repos))
      """
    let results = [try download("ann/Math-1B", from: hub, into: folder, .curl), try download("ann/gsm", from: hub, into: folder, .curl)]
    let script = String(decoding: PythonHelper.script(Array(("find_user_packages()\n" + own).utf8)), as: UTF8.self)
    let process = try HelperProcess(PythonHelper.words("-c", script) + [folder.path], log: nil)
    #expect(process.readLine(within: 60) == results[0].snapshot)
    #expect(process.readLine(within: 60) == results[1].snapshot)
    #expect(process.readLine(within: 60) == "0 \(results[0].bytes + results[1].bytes) ['ann/Math-1B', 'ann/gsm']")
  }

  // MARK: What libcurl's client does by itself

  @Test(.enabled(if: ways.contains(.curl), "libcurl")) func `goes on where a connection broke`() throws {
    var moods = TrialHub.Moods()
    moods.breaks = ["model.safetensors": [100_000, 50_000, 0], "config.json": [5]]
    let (hub, folder) = (try Self.hub(moods), try TrialFolder())
    let result = try download("ann/Math-1B", from: hub, into: folder, .curl)
    #expect(try Files.read(result.snapshot + "/model.safetensors") == Self.weights)
    let starts = hub.requests.filter { $0.path.hasPrefix("/cdn/") && $0.path.hasSuffix("model.safetensors") }.map { $0.start ?? 0 }
    #expect(starts == [0, 100_000, 150_000, 150_000])
  }

  @Test(.enabled(if: ways.contains(.curl), "libcurl")) func `that was stopped goes on with what is there`() throws {
    let (hub, folder) = (try Self.hub(), try TrialFolder())
    let blob = folder.file("models--ann--Math-1B/blobs/\(SHA256.hex(Self.weights))")
    try Files.makeDirectory(Files.directory(of: blob))
    try AtomicFile.write(Array(Self.weights.prefix(123_456)), to: blob + ".incomplete")
    let result = try download("ann/Math-1B", from: hub, into: folder, .curl)
    #expect(try Files.read(result.snapshot + "/model.safetensors") == Self.weights)
    #expect(hub.requests.filter { $0.path.hasPrefix("/cdn/") && $0.path.hasSuffix(".safetensors") }.map(\.start) == [123_456])
    let other = try TrialFolder()
    let stopped = try #require(failure { () throws(Failure) in try download("ann/Math-1B", from: hub, into: other, .curl, goesOn: { false }) })
    #expect(stopped.code == .interrupted && stopped.message.contains("the same command goes on"))
  }

  @Test(.enabled(if: ways.contains(.curl), "libcurl"), arguments: [300_000, 299_999, 300_001, 400_000])
  func `of what was begun otherwise begins anew`(_ count: Int) throws {
    let (hub, folder) = (try Self.hub(), try TrialFolder())
    let blob = folder.file("models--ann--Math-1B/blobs/\(SHA256.hex(Self.weights))")
    try Files.makeDirectory(Files.directory(of: blob))
    try AtomicFile.write([UInt8](repeating: 7, count: count), to: blob + ".incomplete")
    let result = try download("ann/Math-1B", from: hub, into: folder, .curl)
    #expect(try Files.read(result.snapshot + "/model.safetensors") == Self.weights)
  }

  @Test(.enabled(if: ways.contains(.curl), "libcurl")) func `from a server without ranges begins anew`() throws {
    var moods = TrialHub.Moods()
    moods.ignoresRanges = true
    moods.breaks = ["model.safetensors": [200_000]]
    let (hub, folder) = (try Self.hub(moods), try TrialFolder())
    let result = try download("ann/Math-1B", from: hub, into: folder, .curl)
    #expect(try Files.read(result.snapshot + "/model.safetensors") == Self.weights)
  }

  @Test(.enabled(if: ways.contains(.curl), "libcurl")) func `waits as long as the hub asks for`() throws {
    var moods = TrialHub.Moods()
    moods.busy = 2
    let (hub, folder, heard, watch) = (try Self.hub(moods), try TrialFolder(), Heard(), Stopwatch())
    _ = try download("ann/lines:test", from: hub, into: folder, .curl, heard)
    #expect(watch.seconds >= 2)
    #expect(heard.words.withLock { $0 }.count { $0.contains("too many requests (429); trying again in 1") } == 2, "\(heard.words.withLock { $0 })")
  }

  @Test(.enabled(if: ways.contains(.curl), "libcurl")) func `from where nobody answers says so`() throws {
    let folder = try TrialFolder()
    let port = try Self.hub().server.port
    let download = try HubDownload(
      .curl, endpoint: HubEndpoint(address: "http://127.0.0.1:\(port)"), cache: HubCache(folder.path), say: { _ in }, progress: { _ in }, goesOn: { true })
    let error = try #require(failure { () throws(Failure) in try download.run(HubName("ann/Math-1B")!, kind: .model) })
    #expect(error.code == .inputOutput && error.message.contains("http://127.0.0.1:\(port)/api/models/ann/Math-1B"), "\(error)")
  }

  @Test(arguments: [
    #"{"sha": "../../x", "siblings": []}"#, #"{"siblings": []}"#, #"[]"#,
    #"{"sha": "SHA", "siblings": [{"rfilename": "../x", "size": 1, "blobId": "SHA"}]}"#,
    #"{"sha": "SHA", "siblings": [{"rfilename": "/etc/x", "size": 1, "blobId": "SHA"}]}"#,
    #"{"sha": "SHA", "siblings": [{"rfilename": "x", "size": 1, "blobId": "../x"}]}"#,
    #"{"sha": "SHA", "siblings": [{"rfilename": "x", "size": -1, "blobId": "SHA"}]}"#, #"{"sha": "SHA", "siblings": [{"rfilename": "x", "size": 1}]}"#,
  ])
  func `writes nowhere but into the cache, whatever the hub says`(_ text: String) {
    #expect(throws: Failure.self) {
      try HubListing(json: try JSON.parse(text.replacing("SHA", with: TrialHub.commit), name: "hub"), name: "hub")
    }
  }

  @Test func `knows git's digests`() {
    #expect(SHA1.gitBlob([]) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
    #expect(SHA1.gitBlob(Array("what is up, doc?".utf8)) == "bd9dbf5aae1a3862dd1526723246b20206e5fc37")
    #expect(SHA1.gitBlob([UInt8](repeating: 0x61, count: 1000)) == "a50be72b20f0e3f078d252e8e56b11b4bec67509")
  }
}
