import Support
import TestSupport
import Testing

/// `download` from a hub on the loopback interface, and what is fetched used by its name.
@Suite struct DownloadCommandTests {
  private static let hasCurl = DynamicLibrary.first(of: ["libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.so", "libcurl.4.dylib"]) != nil

  private static func hub(gated: Bool = false) throws -> TrialHub {
    var files: [String: [UInt8]] = [:]
    for name in try Files.list(Place.model) { files[name] = try Files.read("\(Place.model)/\(name)") }
    var model = TrialHub.Repository(files)
    model.isGated = gated
    let lines = try Files.read(Place.texts)
    return try TrialHub([
      "models/ann/tiny": model, "datasets/ann/lines": .init(["train.jsonl": lines, "test.jsonl": lines]), "models/ann/both": model,
      "datasets/ann/both": .init(["train.jsonl": lines]),
    ])
  }

  /// Without Python, and with nothing of whoever runs the tests.
  private func environment(_ hub: TrialHub, _ folder: TrialFolder) -> [String: String] {
    [
      "HF_ENDPOINT": hub.address + "/", "HF_HOME": folder.file("home"), "HF_HUB_CACHE": "", "NR_PYTHON": "/no/such/python", "HF_TOKEN": "",
      "HUGGING_FACE_HUB_TOKEN": "", "HF_TOKEN_PATH": "", "HF_HUB_OFFLINE": "", "http_proxy": "", "HTTP_PROXY": "", "all_proxy": "", "ALL_PROXY": "",
    ]
  }

  @Test(.enabled(if: hasCurl, "libcurl")) func whatIsFetchedIsUsedByItsName() throws {
    let (hub, folder) = (try Self.hub(), try TrialFolder())
    let environment = environment(hub, folder)
    let model = try tool(["download", "ann/tiny"], environment: environment)
    #expect(model.code == 0 && model.error.contains("from \(hub.address), with libcurl"), "\(model.error)")
    #expect(model.output.contains(folder.file("home/hub/models--ann--tiny/snapshots/\(TrialHub.commit)")) && model.output.hasSuffix("--model ann/tiny\n"))
    let data = try tool(["download", "ann/lines:train", "--json", "--quiet"], environment: environment)
    #expect(data.code == 0 && data.json["type"]?.string == "dataset" && data.json["with"]?.string == "libcurl", "\(data.error)")
    #expect(data.json["files"]?.array?.compactMap { $0["path"]?.string } == ["train.jsonl"])
    let run = try tool(
      ["sft", "--model", "ann/tiny@main", "--data", "ann/lines", "--max-steps", "1", "--out", folder.file("named"), "--quiet"], environment: environment)
    #expect(run.code == 0, "\(run.error)")
    let same = try tool("sft", "--model", Place.model, "--data", Place.texts, "--max-steps", "1", "--out", folder.file("plain"), "--quiet")
    #expect(same.code == 0, "\(same.error)")
    #expect(try Files.read(folder.file("named/adapter/adapter_model.safetensors")) == Files.read(folder.file("plain/adapter/adapter_model.safetensors")))
    // The other split was not asked for.
    expectRefusal(
      try tool(["eval", "--model", "ann/tiny", "--data", "ann/lines:test"], environment: environment), 66, "ann/lines: has no split", "train")
    // As an interrupted download leaves it.
    Files.remove(folder.file("home/hub/models--ann--tiny/snapshots/\(TrialHub.commit)/model.safetensors"))
    expectRefusal(
      try tool(["plan", "--model", "ann/tiny"], environment: environment), 66, "no model.safetensors", "nano-reasoner download ann/tiny")
  }

  @Test(.enabled(if: hasCurl, "libcurl")) func theKindThatIsMeantCanBeSaid() throws {
    let (hub, folder) = (try Self.hub(), try TrialFolder())
    for (type, expected) in [("auto", "model"), ("model", "model"), ("dataset", "dataset")] {
      let result = try tool(["download", "ann/both", "--type", type, "--json", "--quiet"], environment: environment(hub, folder))
      #expect(result.json["type"]?.string == expected, "\(result.error)")
    }
    expectRefusal(try tool(["download", "ann/both:train", "--type", "model"], environment: environment(hub, folder)), 64, "a model has no \":train\"")
    expectRefusal(try tool(["download", "both"], environment: environment(hub, folder)), 64, "NAME", "owner/name")
  }

  @Test(.enabled(if: hasCurl, "libcurl")) func aTokenComesFromTheUsualPlaces() throws {
    let hub = try Self.hub(gated: true)
    let folder = try TrialFolder()
    var environment = environment(hub, folder)
    let refused = try tool(["download", "ann/tiny", "--quiet"], environment: environment)
    expectRefusal(refused, 66, "accept its licence at \(hub.address)/ann/tiny", "HF_TOKEN", folder.file("home/token"))
    try Files.makeDirectory(folder.file("home"))
    try folder.write(TrialHub.token + "\n", "home/token")
    #expect(try tool(["download", "ann/tiny", "--quiet"], environment: environment).code == 0)
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
      let other = try TrialFolder()
      environment["HF_HOME"] = other.file("home")
      environment[name] = TrialHub.token
      #expect(try tool(["download", "ann/tiny", "--quiet"], environment: environment).code == 0)
      environment[name] = "hf_wrong\r\nX-Evil: 1"
      let wrong = try TrialFolder()
      environment["HF_HOME"] = wrong.file("home")
      expectRefusal(try tool(["download", "ann/tiny", "--quiet"], environment: environment), 66, "the token of $\(name) may not read it")
      environment[name] = ""
    }
    #expect(hub.requests.allSatisfy { $0.headers["x-evil"] == nil })
  }

  @Test func whatCannotBeFetchedFromIsSaid() throws {
    let (hub, folder) = (try Self.hub(), try TrialFolder())
    var environment = environment(hub, folder)
    expectRefusal(try tool(["download", "a/b", "--with", "huggingface-hub", "--quiet"], environment: environment), 66, "/no/such/python")
    environment["HF_HUB_OFFLINE"] = "1"
    expectRefusal(try tool(["download", "a/b", "--quiet"], environment: environment), 64, "HF_HUB_OFFLINE is set")
    environment["HF_HUB_OFFLINE"] = ""
    environment["HF_ENDPOINT"] = "file:///etc"
    expectRefusal(try tool(["download", "a/b", "--quiet"], environment: environment), 64, "HF_ENDPOINT", "https://")
  }

  @Test(.enabled(if: hasCurl, "libcurl")) func ctrlCKeepsWhatHasCome() throws {
    var moods = TrialHub.Moods()
    moods.busy = 1000
    let hub = try TrialHub(["models/ann/tiny": .init([:])], moods)
    let folder = try TrialFolder()
    let running = try RunningTool(["download", "ann/tiny"], environment: environment(hub, folder))
    #expect(running.wait { hub.requests.count > 0 })
    running.signal(SIGINT)
    let result = running.wait()
    #expect(result.code == 75 && result.error.contains("the same command goes on with it"), "\(result.code) \(result.error)")
  }

  @Test func doctorSaysWhatIsThere() throws {
    let there = try tool("doctor", "--json").json
    #expect(there["libcurl"]?["found"]?.bool == Self.hasCurl)
    for name in ["python", "pyarrow", "huggingface_hub", "zlib", "zstd", "hub cache"] { #expect(there[name]?["found"]?.bool != nil, "\(name)") }
    let without = try tool(["doctor", "--json"], environment: ["NR_PYTHON": "/no/such/python"]).json
    for name in ["python", "pyarrow", "huggingface_hub"] { #expect(without[name]?["found"]?.bool == false, "\(name)") }
  }
}
