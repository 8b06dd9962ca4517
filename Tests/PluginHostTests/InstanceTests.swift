import PluginHost
import Support
import TestSupport
import Testing

@Suite("Binding parameters")
struct ParameterTests {
  let descriptor: PluginDescriptor

  init() throws { descriptor = try Place.plugin("grpo").descriptor }

  @Test func refusesWithOneClearLine() {
    let cases: [(String, String)] = [
      ("clip_hihg=0.3", "did you mean clip_high?"), ("zzz=1", "Known: variant, clip_low, clip_high, beta, epsilon"),
      ("clip_low=2", "clip_low=2: expected a number from 0 to 1"), ("clip_low=nan", "expected a number"),
      ("clip_low=0.2x", "expected a number"), ("variant=papre", "expected one of default, paper; did you mean paper?"),
      ("beta", "expected key=value"), ("=3", "expected key=value"),
    ]
    for (setting, expected) in cases {
      let found = message { () throws(Failure) in try PluginParameters([setting], for: descriptor) }
      #expect(found?.contains(expected) == true, "\(setting): \(found ?? "nothing was thrown")")
      #expect(found?.contains("\n") == false)
    }
  }

  @Test func survivesARecord() throws {
    let bound = try PluginParameters(["variant=paper", "clip_low = 0.1", "clip_low=0.3"], for: descriptor)
    #expect(bound["clip_low"] == 0.3)
    #expect(bound.given == ["variant", "clip_low"])
    #expect(bound.json["variant"] == "paper")
    #expect(try PluginParameters(json: bound.json, for: descriptor).values == bound.values)
    #expect(try PluginParameters(bound.settings, for: descriptor).values == bound.values)
  }
}

@Suite("Instances")
struct InstanceTests {
  let folder: TrialFolder

  init() throws { folder = try TrialFolder() }

  func instance(_ definitions: [String: String] = [:], settings: [String] = []) throws(Failure) -> PluginInstance {
    let path = folder.path + "/libnr-test.so"
    try compilePlugin(definitions, to: path)
    return try PluginInstance(PluginLibrary(path), settings: settings, log: { _, _ in })
  }

  @Test func integersAndBooleansAreBound() throws {
    let descriptor = try instance().library.descriptor
    let bound = try PluginParameters(["rounds=3", "strict=true"], for: descriptor)
    #expect(bound.values == [0, 0.5, 3, 1])
    #expect(bound.json["rounds"] == 3 && bound.json["strict"] == true)
    for setting in ["rounds=2.5", "rounds=11", "strict=yes"] {
      #expect(
        message { () throws(Failure) in try PluginParameters([setting], for: descriptor) }?.contains(setting) == true)
    }
  }

  @Test func aRefusalCarriesThePluginsWords() throws {
    let found = message { () throws(Failure) in try instance(settings: ["amount=0.97"]) }
    #expect(found == "plugin test: bad parameter: amount above 0.95 makes no sense")
    let failing = try instance(["FAULT": "1"])
    let failure = message { () throws(Failure) in try failing.advantages(Example(seed: 1).rollout) }
    #expect(failure == "plugin test: advantages: internal error: out of luck")
  }

  @Test func needsOfALaterHostAreRefused() throws {
    #expect(message { () throws(Failure) in try instance(["NEEDS": "1024"]) }?.contains("bits 0x400") == true)
  }

  @Test func outputsAreChecked() throws {
    let example = Example(seed: 2)
    let advantages = [Float](repeating: 1, count: example.rollout.tokenCount)
    let batch = example.batch(Array(0..<example.rollout.sequenceCount), advantages: advantages)
    let cases: [(fault: String, expected: String)] = [
      ("2", "not a finite number"), ("3", "wrote past the end of advantages"), ("4", "left d_current[1]"),
      ("5", "wrote past the end of keep"), ("6", "metric size is"),
    ]
    for (fault, expected) in cases {
      let instance = try instance(["FAULT": fault])
      let found = message { () throws(Failure) in
        _ = try instance.select(example.rollout)
        _ = try instance.advantages(example.rollout)
        _ = try instance.loss(batch)
      }
      #expect(found?.contains(expected) == true, "fault \(fault): \(found ?? "nothing was thrown")")
      #expect(found?.hasPrefix("plugin test: ") == true)
    }
  }

  @Test func inputsAreChecked() throws {
    let instance = try instance(["NEEDS": "3"])
    var rollout = Example(seed: 3).rollout
    rollout.reference = nil
    #expect(message { () throws(Failure) in try instance.advantages(rollout) }?.contains("needs reference") == true)
    rollout = Example(seed: 3).rollout
    rollout.rewards[2] = .infinity
    #expect(
      message { () throws(Failure) in try instance.advantages(rollout) }?.contains("rewards: element 2 is inf") == true)
    rollout = Example(seed: 3).rollout
    rollout.groupOffsets[1] = 9
    #expect(message { () throws(Failure) in try instance.select(rollout) }?.contains("must not fall") == true)
  }

  @Test func stateGoesRound() throws {
    let (one, other) = (try instance(), try instance())
    let example = Example(seed: 4)
    _ = try one.loss(example.batch([0, 1], advantages: [Float](repeating: 1, count: example.rollout.tokenCount)))
    let state = try one.save()
    #expect(state == [1, 0, 0, 0, 0, 0, 0, 0])
    try other.restore(state)
    #expect(try other.save() == state)
    #expect(
      message { () throws(Failure) in try other.restore([1, 2]) } == "plugin test: restore: bad state: not eight bytes")
    let stateless = try PluginInstance(Place.plugin("grpo"))
    #expect(try stateless.save() == [])
    #expect(message { () throws(Failure) in try stateless.restore([1]) }?.contains("has none") == true)
  }

  @Test func thePluginsWordsReachTheLog() throws {
    final class Lines: @unchecked Sendable { var all: [String] = [] }
    let lines = Lines()
    let library = try instance().library
    _ = try PluginInstance(library, log: { level, text in lines.all.append("\(level) \(text)") })
    #expect(lines.all == ["warning test: made"])
  }

  @Test func evaluationDropsGroupsAndWritesEveryKey() throws {
    let instance = try instance(["NEEDS": "6"])
    var example = Example(seed: 5, groups: 3, size: 2)
    example.rollout.rewards = [1, 0, 1, 1, 0, 0.5]
    let values = example.rollout.values!
    let result = try PluginEvaluation(
      example.rollout, current: example.current, entropy: values, values: values.map { $0 + 1 }, instance)
    #expect(result.keep == [true, false, true])
    let dropped = example.rollout.tokens(of: 2).lowerBound..<example.rollout.tokens(of: 3).upperBound
    try #require(!dropped.isEmpty)
    for token in 0..<example.rollout.tokenCount {
      let isDropped = dropped.contains(token)
      #expect((result.dCurrent[token] == 0) == isDropped)
      #expect(result.dEntropy[token] == (isDropped ? 0 : 2))
      #expect(result.advantages[token] == (isDropped ? 0 : 1))
      #expect((result.returns[token] == 0) == isDropped)
    }
    #expect(result.metrics.map(\.name) == ["size", "top"])
    #expect(result.metrics.map(\.value) == [4, 1])
    let path = folder.path + "/out.safetensors"
    try result.write(to: path)
    let file = try SafetensorsFile(path)
    #expect(file.names == ["advantages", "d_current", "d_entropy", "d_values", "keep", "loss", "returns"])
    #expect(try file.integers("keep") == [1, 0, 1])
    #expect(try file.entry("loss").type == .float64)
  }

  @Test func evaluationNamesWhatIsWrongWithTheFile() throws {
    let instance = try PluginInstance(Place.plugin("grpo"), settings: ["variant=paper"])
    let path = folder.path + "/in.safetensors"
    func write(_ change: (inout [String: [Int64]], inout [String: [Float]]) -> Void) throws(Failure) {
      var integers: [String: [Int64]] = [
        "group_offsets": [0, 2], "token_offsets": [0, 1, 3], "sequence_flags": [0, 1],
      ]
      var floats: [String: [Float]] = ["rewards": [1, 0]]
      for name in ["current", "old", "reference"] { floats[name] = [-1, -2, -3] }
      change(&integers, &floats)
      var writer = SafetensorsWriter()
      for (name, values) in integers { writer.add(name, values, shape: [values.count]) }
      for (name, values) in floats { writer.add(name, values, shape: [values.count]) }
      try writer.write(to: path)
    }
    func failure() -> String? {
      message { () throws(Failure) in try PluginEvaluation(SafetensorsFile(path), instance) }
    }
    try write { _, _ in }
    #expect(failure() == nil)
    try write { _, floats in floats["reference"] = nil }
    #expect(failure()?.contains("has no array \"reference\"") == true)
    try write { _, floats in floats["current"] = [-1] }
    #expect(failure()?.contains("current: expected 3 elements, found 1") == true)
    try write { integers, _ in integers["token_offsets"] = [0, 3, 1] }
    #expect(failure()?.contains("must not fall") == true)
    try write { integers, _ in integers["group_offsets"] = [] }
    #expect(failure()?.contains("group_offsets: is empty") == true)
    try write { integers, _ in integers["group_offsets"] = [0, 3] }
    #expect(failure()?.contains("ends with 3, but there are 2 sequences") == true)
    try write { _, floats in floats["old"]?[1] = .nan }
    #expect(failure()?.contains("old: element 1 is nan") == true)
    #expect(failure()?.hasPrefix(path) == true)
  }
}

@Suite("A plugin from one file")
struct SingleFileTests {
  @Test("swiftc alone makes a plugin outside the package")
  func reinforce() throws {
    let folder = try TrialFolder()
    let source = folder.path + "/Reinforce.swift"
    try Files.copy("\(Place.repository)/Examples/Reinforce/Reinforce.swift", to: source)
    let built = shell("cd '\(folder.path)' && '\(Place.repository)/Sources/PluginAPI/build-plugin.sh' Reinforce.swift")
    try #require(built.status == 0, "\(built.output)")
    #expect(built.output == "")
    let library = try PluginLibrary(try PluginRegistry.find("reinforce", searchPath: [folder.path], program: Place.tool))
    let instance = try PluginInstance(library, settings: ["entropy_weight=0.5"])
    #expect(instance.needs == .entropy)
    var example = Example(seed: 6, groups: 1, size: 3)
    example.rollout.tokenOffsets = [0, 1, 2, 4]
    example.rollout.rewards = [1, 0, 0.5]
    example.rollout.old = [-1, -1, -1, -1]
    (example.rollout.reference, example.rollout.values) = (nil, nil)
    let result = try PluginEvaluation(
      example.rollout, current: [-1, -2, -3, -4], entropy: [1, 1, 1, 1], instance)
    #expect(result.advantages == [0.75, -0.75, 0, 0])
    #expect(abs(result.loss - (-(0.75 * -1 + -0.75 * -2) / 3 - 0.5 * 4 / 3)) < 1e-12)
    #expect(result.dEntropy == [Float](repeating: Float(-0.5 / 3), count: 4))
  }
}
