import Support
import TestSupport
import Testing

/// Runs whose digests are recomputed, broken and held against each other, as a user does it.
@Suite(.serialized) struct ProofTests {
  private static let base = Place.repository + "/Models/base"

  /// Python without any package.
  private static let hasPython = shell("python3 -c 'import hashlib'").status == 0

  /// Generated questions, and an adapter that has learned to box its answers.
  private struct Questions {
    let data: String
    let adapter: String

    init(_ folder: TrialFolder) throws {
      data = folder.file("questions.jsonl")
      adapter = folder.file("sft/adapter")
      #expect(try tool("data", "make", "--out", data, "--count", "40", "--seed", "3").code == 0)
      let result = try tool(
        "sft", "--model", ProofTests.base, "--data", data, "--out", folder.file("sft"), "--epochs", "6", "--lr", "2e-3", "--quiet", "--no-tensorboard")
      #expect(result.code == 0, "\(result.error)")
    }
  }

  private func options(_ questions: Questions, _ out: String, algo: String = "grpo", steps: Int = 4) -> [String] {
    [
      "rl", "--model", Self.base, "--adapter", questions.adapter, "--data", questions.data, "--algo", algo, "--out", out, "--steps",
      "\(steps)", "--group-size", "4", "--prompts-per-step", "2", "--max-new-tokens", "48", "--lr", "1e-3", "--checkpoint-every", "2",
      "--quiet", "--no-tensorboard",
    ]
  }

  private func sft(_ out: String, _ more: String...) throws -> ToolResult {
    try tool(
      ["sft", "--model", Place.model, "--data", Place.texts, "--lr", "1e-3", "--epochs", "2", "--checkpoint-every", "3", "--out", out, "--quiet", "--no-tensorboard"]
        + more)
  }

  private func run(_ words: [String]) throws {
    let result = try tool(words)
    #expect(result.code == 0, "\(result.error)")
  }

  /// A line of metrics.jsonl with something else in its proof.
  private func changed(_ line: String, _ change: (inout JSON.Object) throws -> Void) throws -> String {
    var object = try #require(try JSON.parse(line, name: "line").object)
    var proof = try #require(object["proof"]?.object)
    try change(&proof)
    object["proof"] = .object(proof)
    return JSON.object(object).text()
  }

  /// Everything below a folder, by path.
  private func contents(_ folder: String, below: String = "") throws -> [String: [UInt8]] {
    var found: [String: [UInt8]] = [:]
    for name in try Files.list(folder + below) {
      let path = "\(below)/\(name)"
      if Files.isDirectory(folder + path) { try found.merge(contents(folder, below: path)) { $1 } } else { found[path] = try Files.read(folder + path) }
    }
    return found
  }

  private func expectProven(_ run: String, _ more: String..., at location: SourceLocation = #_sourceLocation) throws {
    let before = try contents(run)
    let place = try TrialFolder()
    let result = try tool(["verify", run, "--quiet"] + more, environment: ["TMPDIR": place.path])
    #expect(result.code == 0, "\(result.output)\(result.error)", sourceLocation: location)
    #expect(result.output.contains("the same, bit for bit") && result.output.contains("proven: \(run)"), "\(result.output)", sourceLocation: location)
    #expect(result.error.isEmpty, "\(result.error)", sourceLocation: location)
    #expect(try contents(run) == before, "the run is only read", sourceLocation: location)
    #expect(try Files.list(place.path) == [], "nothing is left behind", sourceLocation: location)
  }

  /// - Parameter parts: what standard output says.
  private func expectDoubt(_ run: String, _ words: [String] = ["--no-step"], _ parts: String..., at location: SourceLocation = #_sourceLocation) throws {
    let result = try tool(["verify", run, "--quiet"] + words)
    #expect(result.code == 65, "\(result.output)\(result.error)", sourceLocation: location)
    #expect(result.error.contains("not proven") && result.error.split(separator: "\n").count == 1, "\(result.error)", sourceLocation: location)
    let findings = result.output.split(separator: "\n").filter { $0.hasPrefix("NOT PROVEN: ") }.joined(separator: "\n")
    for part in parts { #expect(findings.contains(part), "expected \(part) in: \(findings)", sourceLocation: location) }
  }

  // MARK: Python

  /// docs/proof.md says of which bytes each digest is; this reads it again, in another language.
  @Test(.enabled(if: hasPython)) func pythonComesToTheSameDigestsByTheDocumentAlone() throws {
    let folder = try TrialFolder()
    let questions = try Questions(folder)
    try run(options(questions, folder.file("ppo"), algo: "ppo") + ["--eval-data", questions.data, "--eval-limit", "2", "--eval-every", "3"])
    #expect(try sft(folder.file("full"), "--full").code == 0)
    for (name, steps) in [("ppo", 4), ("full", 8), ("sft", 60)] {
      let script = Place.tests + "/CommandLineTests/Goldens/proof/check_proof.py"
      let result = shell("python3 '\(script)' '\(folder.file(name))'")
      #expect(result.status == 0, "\(result.output)")
      let said = try JSON.parse(result.output, name: script)
      #expect(said["steps"]?.int == steps && said["results"]?.int == 1, "\(result.output)")
      #expect((said["checkpoints"]?.int ?? 0) > 0)
      let last = try #require(try Files.readText(folder.file("\(name)/metrics.jsonl")).split(separator: "\n").last)
      #expect(try JSON.parse(String(last), name: "")["proof"]?["chain"] == said["chain"])
    }
  }

  // MARK: Proven

  @Test(arguments: ["grpo", "ppo", "dapo"]) func everyStepOfARunIsComputedAgainToTheSameBits(_ algo: String) throws {
    let folder = try TrialFolder()
    let questions = try Questions(folder)
    let out = folder.file("run")
    try run(options(questions, out, algo: algo) + (algo == "grpo" ? ["--set", "beta=0.1"] : []))
    try expectProven(out)
    for step in 1...4 { try expectProven(out, "--step", "\(step)") }
    let result = try tool("verify", out, "--json", "--quiet")
    #expect(result.json["proven"]?.bool == true && result.json["steps"]?.int == 4 && result.json["step"]?["same"]?.bool == true, "\(result.output)")
    // The newest checkpoint that has a step behind it.
    #expect(result.json["step"]?["step"]?.int == 3 && result.json["step"]?["computed"]?.string == "from checkpoints/step-2", "\(result.output)")
    expectRefusal(try tool("verify", out, "--step", "5", "--json"), 64, "--step 5", "1 to 4")
  }

  @Test func soIsASupervisedRunOfAnAdapterAndOfAWholeModel() throws {
    let folder = try TrialFolder()
    for (name, more) in [("adapter", []), ("full", ["--full"]), ("nf4", ["--quantize", "nf4"])] {
      let out = folder.file(name)
      #expect(try tool(["sft", "--model", Place.model, "--data", Place.texts, "--lr", "1e-3", "--checkpoint-every", "3", "--out", out, "--quiet"] + more).code == 0)
      try expectProven(out)
      try expectProven(out, "--step", "1")
    }
  }

  /// Relative paths are those of where the run was started, wherever it is verified from.
  @Test func aRunWithRelativePathsIsVerifiedFromElsewhere() throws {
    let folder = try TrialFolder()
    try folder.write(Files.readText(Place.texts), "data.jsonl")
    let made = try RunningTool(
      ["-c", "cd '\(folder.path)' && '\(Place.tool)' sft --model '\(Place.model)' --data data.jsonl --out run --checkpoint-every 2 --quiet"], program: "/bin/sh"
    ).wait()
    #expect(made.code == 0, "\(made.error)")
    try expectProven(folder.file("run"))
  }

  @Test func aRunThatWasStoppedAndResumedHasTheChainOfTheOneThatWasNot() throws {
    let folder = try TrialFolder()
    let questions = try Questions(folder)
    try run(options(questions, folder.file("whole"), algo: "ppo"))
    let stopped = try tool(options(questions, folder.file("parts"), algo: "ppo") + ["--stop-after", "3"])
    #expect(stopped.code == 75 && stopped.error.contains("stopped after step 3") && !stopped.error.contains("--stop-after"), "\(stopped.error)")
    expectRefusal(try tool(options(questions, folder.file("parts"), algo: "ppo") + ["--stop-after", "3", "--resume"]), 64, "--stop-after 3", "step 3 already")
    try expectProven(folder.file("parts"))
    try run(options(questions, folder.file("parts"), algo: "ppo") + ["--resume", "--threads", "1", "--checkpointing", "on"])
    #expect(try deterministicRecords(folder.file("whole/metrics.jsonl")) == deterministicRecords(folder.file("parts/metrics.jsonl")))
    try expectProven(folder.file("parts"), "--step", "4")
    let same = try tool("bisect", folder.file("whole"), folder.file("parts"), "--json")
    #expect(same.code == 0 && same.json["same_steps"]?.int == 4 && same.json["parting"]?.isNull == true, "\(same.output)")
  }

  @Test func aRunThatWentOnWithAnotherLearningRateIsProvenOnBothSidesOfTheChange() throws {
    let folder = try TrialFolder()
    let out = folder.file("run")
    let words = ["sft", "--model", Place.model, "--data", Place.texts, "--out", out, "--checkpoint-every", "2", "--quiet"]
    #expect(try tool(words + ["--lr", "1e-3", "--max-steps", "3"]).code == 0)
    #expect(try tool(words + ["--lr", "2e-3", "--resume", "--allow-changed", "lr", "--epochs", "2"]).code == 0)
    for step in ["2", "3", "4", "8"] { try expectProven(out, "--step", step) }
  }

  @Test func theStagesOfAQuickstartAreProvenAsFarAsTheyCanBe() throws {
    let folder = try TrialFolder()
    let result = try tool("quickstart", "--out", folder.file("q"), "--sft-steps", "2", "--rl-steps", "2", "--held-out", "3", "--base", Self.base, "--quiet")
    #expect(result.code == 0, "\(result.error)")
    expectRefusal(try tool("verify", folder.file("q")), 66, "no run here", "/q/sft", "/q/rl")
    for stage in ["sft", "rl"] {
      let verified = try tool("verify", folder.file("q/\(stage)"))
      #expect(verified.code == 0 && verified.output.contains("no step is computed again") && verified.output.contains("every link"), "\(verified.output)\(verified.error)")
      try expectDoubt(folder.file("q/\(stage)"), ["--step", "1"], "cannot be computed again")
    }
  }

  // MARK: Tampered

  enum Edit: String, CaseIterable {
    case rewardsDigest, chain, number, newNumber, nonfinite, removed, removedFirst, cutAtTheEnd, swapped, twice, noProof, otherStage, notJSON
  }

  @Test func everyEditOfTheLogIsFoundAndNamed() throws {
    let folder = try TrialFolder()
    let questions = try Questions(folder)
    let out = folder.file("run")
    try run(options(questions, out))
    let path = out + "/metrics.jsonl"
    let lines = try Files.readText(path).split(separator: "\n").map(String.init)
    #expect(lines.count == 4)
    func line(_ number: Int, _ change: (inout JSON.Object) throws -> Void) throws -> String {
      var object = try #require(try JSON.parse(lines[number - 1], name: "").object)
      try change(&object)
      return JSON.object(object).text()
    }
    /// Another last digit.
    func other(_ hex: JSON?) throws -> JSON {
      let text = try #require(hex?.string)
      return .string(text.dropLast() + (text.hasSuffix("0") ? "1" : "0"))
    }
    for edit in Edit.allCases {
      var edited = lines
      var parts: [String] = []
      switch edit {
      case .rewardsDigest:
        edited[1] = try changed(lines[1]) { $0["rewards"] = try other($0["rewards"]) }
        parts = ["step 2: it does not continue the chain: one of its digests was changed"]
      case .chain:
        edited[1] = try changed(lines[1]) { $0["chain"] = try other($0["chain"]) }
        parts = ["step 2: it does not continue the chain: its \"chain\" was changed"]
      case .number:
        edited[2] = try line(3) { $0["reward"] = 1.0 }
        parts = ["step 3: its numbers are not those that were digested"]
      case .newNumber:
        edited[2] = try line(3) { $0["accuracy_of_another"] = 1.0 }
        parts = ["step 3: its numbers"]
      case .nonfinite:
        edited[0] = try line(1) { $0["held_out_accuracy"] = 1.0 }
        parts = ["step 1: its held-out numbers"]
      case .removed:
        edited.remove(at: 1)
        parts = ["the line of step 2 is missing"]
      case .removedFirst:
        edited.removeFirst()
        parts = ["the line of step 1 is missing"]
      case .cutAtTheEnd:
        edited.removeLast()
        parts = ["checkpoints/step-4: metrics.jsonl has no line of this step; its last is of step 3", "adapter/", "nor those of any other"]
      case .swapped:
        edited.swapAt(1, 2)
        parts = ["step 2: stands in line 3, behind step 3"]
      case .twice:
        edited.insert(lines[1], at: 2)
        parts = ["step 2: stands 2 times, in lines 2, 3"]
      case .noProof:
        edited[2] = try line(3) { $0["proof"] = nil }
        parts = ["step 3: line 3: has no \"proof\""]
      case .otherStage:
        edited[2] = try line(3) { $0["stage"] = "sft" }
        parts = ["line 3: is of \"sft\""]
      case .notJSON:
        edited[2] += "}"
        parts = ["line 3", "not JSON"]
      }
      try AtomicFile.write(edited.joined(separator: "\n") + "\n", to: path)
      let result = try tool("verify", out, "--no-step", "--quiet")
      #expect(result.code == 65, "\(edit): \(result.output)")
      for part in parts { #expect(result.output.contains(part), "\(edit): expected \(part) in: \(result.output)") }
      // What is right is not blamed with it; a line that is gone is missed by its checkpoint, or leaves a gap.
      let findings = result.output.split(separator: "\n").filter { $0.hasPrefix("NOT PROVEN") }
      let isSeenTwice = [.removed, .cutAtTheEnd, .otherStage, .notJSON].contains(edit)
      #expect(findings.count == (isSeenTwice ? 2 : 1), "\(edit): \(result.output)")
    }
    // Which digest it was, the step itself says; and times are nobody's business.
    var edited = lines
    edited[1] = try changed(lines[1]) { $0["rewards"] = try other($0["rewards"]) }
    try AtomicFile.write(edited.joined(separator: "\n") + "\n", to: path)
    try expectDoubt(out, ["--step", "2"], "step 2: parts first in rewards: recorded")
    edited = lines
    edited[2] = try line(3) {
      $0["time"] = "1970-01-01T00:00:00Z"
      $0["seconds/step"] = 1e-3
    }
    try AtomicFile.write(edited.joined(separator: "\n") + "\n", to: path)
    try expectProven(out, "--step", "3")
  }

  enum Damage: CaseIterable { case checkpoint, forgedCheckpoint, adapter, otherAdapter, cutAdapter, settings, allOfTheLog }

  @Test func whatWasTrainedIsHeldAgainstTheLog() throws {
    let folder = try TrialFolder()
    let questions = try Questions(folder)
    try run(options(questions, folder.file("run")))
    try run(options(questions, folder.file("other")) + ["--seed", "7"])
    for damage in Damage.allCases {
      let out = folder.file("\(damage)")
      #expect(shell("cp -r '\(folder.file("run"))' '\(out)'").status == 0)
      func flip(_ path: String) throws {
        var bytes = try Files.read(path)
        bytes[bytes.count - 9] ^= 1
        try AtomicFile.write(bytes, to: path)
      }
      switch damage {
      case .checkpoint:
        try flip(out + "/checkpoints/step-2/state.safetensors")
        try expectDoubt(out, ["--no-step"], "checkpoints/step-2: state.safetensors: its contents are not those that were written")
      case .forgedCheckpoint:
        // With digests of its own that fit.
        let place = out + "/checkpoints/step-2"
        try flip(place + "/state.safetensors")
        var state = try #require(try JSON.read(place + "/state.json").object)
        state["state.safetensors sha256"] = .string(try SHA256.hex(file: place + "/state.safetensors"))
        state["sha256"] = nil
        state["sha256"] = .string(SHA256.hex(Array(JSON.object(state).text().utf8)))
        try AtomicFile.write(JSON.object(state).text(pretty: true) + "\n", to: place + "/state.json")
        try expectDoubt(out, ["--no-step"], "checkpoints/step-2: step 2: its ")
        // A step is not computed again from it.
        try expectDoubt(out, ["--step", "3"], "checkpoints/step-2: step 2: its ")
      case .adapter:
        try flip(out + "/adapter/adapter_model.safetensors")
        try expectDoubt(out, ["--no-step"], "adapter/: step 4: its weights are not those that the step left")
      case .otherAdapter:
        try Files.copy(out + "/checkpoints/step-2/adapter/adapter_model.safetensors", to: out + "/adapter/adapter_model.safetensors")
        try expectDoubt(out, ["--no-step"], "adapter/: holds the weights of step 2, not those of step 4")
      case .cutAdapter:
        try AtomicFile.write(Array(Files.read(out + "/adapter/adapter_model.safetensors").prefix(1000)), to: out + "/adapter/adapter_model.safetensors")
        try expectDoubt(out, ["--no-step"], "adapter/adapter_model.safetensors: not a safetensors file, or cut off")
      case .settings:
        let text = try Files.readText(out + "/run.json")
        let mark = try #require(text.firstRange(of: "\"identity\": {"))
        try AtomicFile.write(text[..<mark.upperBound] + "\n    \"forged\": 1," + text[mark.upperBound...], to: out + "/run.json")
        try expectDoubt(out, ["--no-step"], "run.json: \"identity\" is not what the run began with")
      case .allOfTheLog:
        // Another run's log is whole by itself.
        try Files.copy(folder.file("other/metrics.jsonl"), to: out + "/metrics.jsonl")
        try expectDoubt(out, ["--no-step"], "step 1: it does not continue the chain", "checkpoints/step-4: step 4: its values", "adapter/: step 4")
      }
    }
  }

  @Test func whatTheRunBeganWithAndIsAnotherNowIsNamed() throws {
    let folder = try TrialFolder()
    let questions = try Questions(folder)
    let library = folder.file("libnr-own.so")
    try Files.copy(Place.library("grpo"), to: library)
    let model = try folder.copy(Self.base, "model")
    let out = folder.file("run")
    var words = options(questions, out, algo: library)
    words[words.firstIndex(of: "--model")! + 1] = model
    try run(words)
    try expectProven(out)
    for step in ["1", "3"] {
      let data = try Files.readText(questions.data)
      try AtomicFile.write(data + data.split(separator: "\n")[0] + "\n", to: questions.data)
      try expectDoubt(out, ["--step", step], "step \(step): cannot be computed again: the data \(questions.data) changed since the run: \"data_sha256\" was")
      try AtomicFile.write(data, to: questions.data)
      let template = try Files.readText(model + "/generation_config.json")
      try AtomicFile.write(template + " ", to: model + "/generation_config.json")
      try expectDoubt(out, ["--step", step], "the model \(model) changed since the run: \"generation_config.json sha256\" was")
      try AtomicFile.write(template, to: model + "/generation_config.json")
      // Another algorithm under the same id parts in what it says; another build that says the same, in nothing but its digest.
      try AtomicFile.write(try Files.read(Place.library("grpo")) + [0], to: library)
      try expectDoubt(out, ["--step", step], "step \(step): parts first in plugin", "the library of the plugin is another one since")
      try Files.copy(Place.library("grpo"), to: library)
    }
    Files.remove(questions.data)
    try expectDoubt(out, ["--step", "1"], "cannot be computed again", questions.data)
  }

  /// What `pretrain` writes in bfloat16 is held against the values of its last checkpoint.
  @Test func aModelThatIsWrittenRoundedIsProvenToo() throws {
    let folder = try TrialFolder()
    let out = folder.file("run")
    try run([
      "pretrain", "--out", out, "--documents", "320", "--vocabulary", "400", "--layers", "1", "--hidden", "32", "--heads", "2", "--kv-heads", "2",
      "--intermediate", "32", "--checkpoint-every", "4", "--quiet",
    ])
    try expectProven(out)
    #expect(try tool("verify", out, "--no-step").output.contains("model/: the weights of step 10, rounded"))
    var bytes = try Files.read(out + "/model/model.safetensors")
    bytes[bytes.count - 9] ^= 1
    try AtomicFile.write(bytes, to: out + "/model/model.safetensors")
    try expectDoubt(out, ["--no-step"], "model/: step 10: its tensor", "is not what the step left, rounded")
    try Files.removeTree(out + "/checkpoints/step-10")
    try expectDoubt(out, ["--no-step"], "model/: step 10: is rounded, and no checkpoint")
  }

  // MARK: Bisected

  @Test func twoRunsPartInTheStageThatWasPlanted() throws {
    let folder = try TrialFolder()
    let questions = try Questions(folder)
    let one = folder.file("one")
    try run(options(questions, one))
    func part(_ name: String, _ algo: String = "grpo", _ more: String..., lr: String = "1e-3") throws -> JSON {
      let out = folder.file(name)
      try run(options(questions, out, algo: algo, steps: 3).map { $0 == "1e-3" ? lr : $0 } + more)
      let result = try tool("bisect", one, out, "--json")
      #expect(result.code == 0, "\(result.error)")
      let text = try tool("bisect", one, out)
      #expect(text.code == 0 && text.output.contains(result.json["meaning"]?.string ?? "?"), "\(text.output)")
      return result.json
    }
    func expect(_ json: JSON, _ stage: String, step: Int? = 1, update: Int? = nil, _ parts: String..., at location: SourceLocation = #_sourceLocation) {
      #expect(json["parting"]?["stage"]?.string == stage, "\(json.text())", sourceLocation: location)
      let found = json["parting"]?["step"]?.int ?? 0
      #expect(found > 0 && found == step ?? found && json["parting"]?["update"]?.int == update, "\(json.text())", sourceLocation: location)
      #expect(json["same_steps"]?.int == found - 1, sourceLocation: location)
      let meaning = json["meaning"]?.string ?? ""
      for part in parts { #expect(meaning.contains(part), "expected \(part) in: \(meaning)", sourceLocation: location) }
    }
    expect(try part("seed", "grpo", "--seed", "43"), "data", "seed 42 and 43")
    expect(try part("hot", "grpo", "--temperature", "1.2"), "ids", "temperature 0.8 and 1.2")
    // In the first step with groups whose rewards differ.
    expect(try part("drgrpo", "dr-grpo", "--set", "variant=paper"), "advantages", step: nil, "the same rollouts, other advantages: the plugins or their parameters differ", "plugin sha256")
    expect(try part("rate", lr: "2e-3"), "gradients", update: 1, "lr 0.001 and 0.002")
    expect(try part("decay", "grpo", "--weight-decay", "0.5"), "gradients", update: 1, "weight-decay")
    // One is the beginning of the other.
    let prefix = try part("prefix")
    #expect(prefix["parting"]?.isNull == true && prefix["same_steps"]?.int == 3, "\(prefix.text())")
    #expect(prefix["meaning"]?.string?.contains("the same 3 steps, bit for bit; the second run ends there") == true)
    // Something that no setting explains.
    let forged = folder.file("forged")
    #expect(shell("cp -r '\(one)' '\(forged)'").status == 0)
    var lines = try Files.readText(forged + "/metrics.jsonl").split(separator: "\n").map(String.init)
    lines[2] = try changed(lines[2]) { $0["state"] = $0["weights"] }
    try AtomicFile.write(lines.joined(separator: "\n") + "\n", to: forged + "/metrics.jsonl")
    expect(try tool("bisect", one, forged, "--json").json, "state", step: 3, "run.json names nothing that explains it")
    expectRefusal(try tool("bisect", one, folder.file("sft")), 65, "a run of `rl`", "one of `sft`")
    expectRefusal(try tool("bisect", one, folder.path), 66, "no run here")
  }
}
