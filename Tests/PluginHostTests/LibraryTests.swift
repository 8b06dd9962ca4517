import PluginHost
import Support
import TestSupport
import Testing

@Suite("Opening plugins")
struct LibraryTests {
  @Test func describesGRPO() throws {
    let library = try Place.plugin("grpo")
    #expect(library.id == "grpo")
    #expect(library.path.hasPrefix("/"))
    #expect(library.sha256.count == 64)
    #expect(library.descriptor.parameters.map(\.name) == ["variant", "clip_low", "clip_high", "beta", "epsilon"])
    let text = PluginDescription(library).text
    for word in [
      "grpo 1.0.0", library.sha256, "default | paper", "preset 0 (paper: 0.04)", "aggregation", "clamped_tokens",
    ] {
      #expect(text.contains(word))
    }
    let json = PluginDescription(library).json
    #expect(try JSON.parse(json.text(pretty: true), name: "description") == json)
    #expect(json["parameters"]?.array?.count == 5)
    #expect(json["needs"] == [])
  }

  @Test func refusesWhatIsNoLibrary() throws {
    let folder = try TrialFolder()
    #expect(
      message { () throws(Failure) in try PluginLibrary(folder.path + "/none.so") }?.contains("no such plugin file")
        == true)
    #expect(message { () throws(Failure) in try PluginLibrary(folder.path) }?.contains("is a directory") == true)
    try AtomicFile.write("not a library", to: folder.path + "/text.so")
    #expect(
      message { () throws(Failure) in try PluginLibrary(folder.path + "/text.so") }?.contains("cannot load the library")
        == true)
    try AtomicFile.write("", to: folder.path + "/empty.so")
    #expect(
      message { () throws(Failure) in try PluginLibrary(folder.path + "/empty.so") }?.contains(
        "cannot load the library") == true)
    let whole = try Files.read("\(Place.build)/libnr-grpo.so")
    try AtomicFile.write(Array(whole.prefix(40)), to: folder.path + "/cut.so")
    #expect(
      message { () throws(Failure) in try PluginLibrary(folder.path + "/cut.so") }?.contains("cannot load the library")
        == true)
  }

  @Test(
    "A library whose table is wrong is refused with what is wrong",
    arguments: [
      (["MAGIC": "1"], "begins with 0x1, expected 0x4e524c50"),
      (["MAJOR": "7"], "speaks plugin ABI 7, this host speaks 1"),
      (["SIZE": "8"], "its table has 8 bytes"),
      (["REFUSE": "1"], "refuses this host, which speaks plugin ABI 1.1"),
      (["ID": "NULL"], "its id is NULL"),
      (["ID": "\"Bad id\""], "its id \"Bad id\" must be"),
      (["TITLE": "NULL"], "its title is NULL"),
      (["TITLE": "\"\\xff\""], "its title is not UTF-8"),
      (["VERSION": "\"\""], "its version is empty"),
      (["PARAMETER": "NULL"], "parameter 1: name is NULL"),
      (["PARAMETER": "\"variant\""], "declares the parameter variant twice"),
      (["PRESET": "1.5"], "its preset 1.5 lies outside 0 to 1"),
      (["PRESET": "NAN"], "its preset"),
      (["PAPER_PRESET": "-0.5"], "its preset -0.5 lies outside 0 to 1"),
      (["LOSS": "NULL"], "its function loss is NULL"),
    ] as [([String: String], String)])
  func malformed(definitions: [String: String], expected: String) throws {
    let folder = try TrialFolder()
    let path = folder.path + "/libnr-test.so"
    try compilePlugin(definitions, to: path)
    let found = message { () throws(Failure) in try PluginLibrary(path) }
    #expect(found?.contains(expected) == true, "\(found ?? "nothing was thrown")")
    #expect(found?.hasPrefix(path) == true)
  }

  @Test("A library without the entry is refused")
  func withoutEntry() throws {
    let folder = try TrialFolder()
    try AtomicFile.write("int nothing(void) { return 0; }\n", to: folder.path + "/a.c")
    #expect(shell("\(compiler) -shared -fPIC -o '\(folder.path)/a.so' '\(folder.path)/a.c'").status == 0)
    let found = message { () throws(Failure) in try PluginLibrary(folder.path + "/a.so") }
    #expect(found?.contains("does not export nr_plugin_entry") == true)
  }
}

@Suite("A rebuilt plugin")
struct ReloadTests {
  @Test func isOpenedAnewUnderTheSamePath() throws {
    let folder = try TrialFolder()
    let path = folder.path + "/libnr-test.so"
    try compilePlugin(["VERSION": "\"1.0.0\""], to: path)
    let first = try PluginLibrary(path)
    let before = try PluginInstance(first)
    try compilePlugin(["VERSION": "\"2.0.0\"", "FAULT": "1"], to: path)
    let second = try PluginLibrary(path)
    #expect(first.descriptor.version == "1.0.0")
    #expect(second.descriptor.version == "2.0.0")
    #expect(first.sha256 != second.sha256)
    #expect(second.path == first.path)
    // Each computes with its own code: that of the second fails in its advantages.
    let rollout = Example(seed: 1).rollout
    let after = try PluginInstance(second)
    #expect(message { () throws(Failure) in try after.advantages(rollout) }?.contains("luck") == true)
    for instance in [before, try PluginInstance(first)] {
      #expect(try instance.advantages(rollout).advantages == Array(repeating: 1, count: rollout.tokenCount))
    }
  }
}

@Suite("Finding plugins")
struct RegistryTests {
  @Test func findsByIdAndByPathAndListsWhatIsBroken() throws {
    let folder = try TrialFolder()
    try compilePlugin(["ID": "\"first\""], to: folder.path + "/libnr-first.so")
    try compilePlugin(["ID": "\"second\""], to: folder.path + "/other-name.so")
    try compilePlugin(["MAJOR": "9"], to: folder.path + "/libnr-broken.so")
    try AtomicFile.write("no plugin", to: folder.path + "/unrelated.so")
    let registry = PluginRegistry(searchPath: ["/nonexistent", folder.path], program: Place.tool)
    #expect(registry.plugins.map(\.id).sorted() == ["first", "second"])
    #expect(registry.broken.map { Files.name(of: $0.path) } == ["libnr-broken.so"])
    #expect(try registry.find("second").id == "second")
    func find(_ name: String) throws(Failure) -> PluginCard {
      try PluginRegistry.find(name, searchPath: [folder.path], program: Place.tool)
    }
    #expect(try find(folder.path + "/other-name.so").id == "second")
    #expect(try find("second").id == "second" && find("First").id == "first")
    let missing = message { () throws(Failure) in try registry.find("frist") }
    #expect(missing?.contains("did you mean first?") == true, "\(missing ?? "")")
    #expect(message { () throws(Failure) in try registry.find("broken") }?.contains("speaks plugin ABI 9") == true)
    #expect(registry.text.contains("cannot be used"))
    #expect(registry.json["plugins"]?.array?.count == 2)
  }

  @Test func twoFilesOfOneIdAreAnErrorUnlessTheyAreTheSame() throws {
    let (here, there) = (try TrialFolder(), try TrialFolder())
    try compilePlugin([:], to: here.path + "/libnr-test.so")
    try Files.copy(here.path + "/libnr-test.so", to: there.path + "/libnr-test.so")
    let same = PluginRegistry(searchPath: [here.path, there.path], program: Place.tool)
    #expect(same.plugins.count == 1)
    #expect(try same.find("test").path.hasPrefix(here.path))
    try compilePlugin(["VERSION": "\"2.0.0\""], to: there.path + "/libnr-test.so")
    let different = PluginRegistry(searchPath: [here.path, there.path], program: Place.tool)
    let found = message { () throws(Failure) in try different.find("test") }
    #expect(found?.contains(here.path) == true && found?.contains(there.path) == true, "\(found ?? "")")
  }

  @Test func caseAndSeparatorsDoNotCountWhereOneIdIsMeant() throws {
    let folder = try TrialFolder()
    for id in ["dr-grpo", "grpo", "b-c", "b_c"] {
      try compilePlugin(["ID": "\"\(id)\""], to: folder.path + "/libnr-\(id).so")
    }
    let registry = PluginRegistry(searchPath: [folder.path], program: Place.tool)
    for name in ["DrGRPO", "drgrpo", "dr_grpo", "DR-GRPO"] { #expect(try registry.find(name).id == "dr-grpo") }
    #expect(try registry.find("GRPO").id == "grpo")
    #expect(try registry.find("b_c").id == "b_c")
    #expect(message { () throws(Failure) in try registry.find("bc") }?.contains("did you mean b") == true)
    #expect(message { () throws(Failure) in try registry.find("dr-gspo") }?.contains("did you mean dr-grpo?") == true)
  }

  /// The program finds what lies beside it, and nothing in the folder that somebody happens to be in unless that is asked for.
  @Test func standardSearchPathHasTheProgramsFolderAndNotTheCurrentOne() throws {
    let folder = try TrialFolder()
    try compilePlugin(["ID": "\"current\""], to: folder.path + "/libnr-current.so")
    try Files.makeDirectory(folder.file("plugins"))
    try compilePlugin(["ID": "\"below\""], to: folder.path + "/plugins/libnr-below.so")
    func ids(_ searchPath: String) throws -> [String] {
      let list = shell("cd '\(folder.path)' && NR_PLUGIN_PATH='\(searchPath)' '\(Place.tool)' plugin list --json")
      try #require(list.status == 0, "\(list.output)")
      let plugins = try #require(try JSON.parse(list.output, name: "list")["plugins"]?.array)
      return plugins.compactMap { $0["id"]?.string }
    }
    let shipped = ["dapo", "dr-grpo", "gspo", "grpo", "grpo-lead", "ppo"]
    for searchPath in ["", ":", "::/nonexistent:"] {
      let found = try ids(searchPath)
      #expect(Set(found).isSuperset(of: shipped), "\(found)")
      #expect(!found.contains("current") && !found.contains("below"), "\(searchPath): \(found)")
    }
    #expect(try ids(".").contains("current") && !ids(".").contains("below"))
    #expect(try ids(folder.file("plugins")).contains("below"))
  }
}
