import Compute
import Support
import Telemetry
import Transformer

/// A run's folder held against its own digests: the chain of its log, and the weights of its checkpoints and of its result. Nothing is
/// computed again, and nothing is written.
package struct ProvenRun {
  package let folder: RunFolder
  /// `run.json`.
  package let record: JSON.Object
  package let log: ProofLog
  package let stage: String
  package private(set) var findings: [ProofFinding] = []
  /// What was found as it should be, a sentence each.
  package private(set) var proven: [String] = []

  package init(_ path: String) throws(Failure) {
    folder = RunFolder(Files.withoutTrailingSlashes(path))
    record = try Self.record(folder)
    guard let stage = record["stage"]?.string, let run = record["run"]?.string, let start = Digest(hex: run) else {
      throw .badData("\(folder.path)/run.json: has no \"stage\" or no \"run\" of 64 hexadecimal digits: not a run that this program can prove")
    }
    self.stage = stage
    guard Files.exists(folder.metrics) else { throw .missingInput("\(folder.metrics): no step is finished yet") }
    // Before the log: a run that goes on writes a step's line before its checkpoint.
    let checkpoints = try CheckpointStore(run: folder.path).steps()
    log = try ProofLog(folder, stage: stage, start: start)
    if log.steps.isEmpty, log.findings.isEmpty {
      throw .badData(
        "\(folder.metrics): \(log.unproven > 0 ? "its lines have no \"\(StepDigests.key)\": a version of this program wrote them that proved nothing" : "no step is finished yet")")
    }
    findings = log.findings
    if log.unproven > 0 { findings.append(ProofFinding("metrics.jsonl", "its first \(log.unproven) lines have no \"\(StepDigests.key)\"")) }
    if findings.isEmpty { proven.append("metrics.jsonl: \(log.steps.count) \(log.steps.count == 1 ? "step" : "steps"), every link of the chain holds") }
    checkIdentity()
    checkCheckpoints(checkpoints)
    do throws(Failure) { try checkResult() } catch { add(error) }
    do throws(Failure) { try checkBest() } catch { add(error) }
  }

  /// A file that cannot be read as what it should be.
  private mutating func add(_ error: Failure) {
    let message = error.message.hasPrefix(folder.path + "/") ? error.message.dropFirst(folder.path.count + 1) : error.message[...]
    guard let mark = message.firstRange(of: ": ") else { return findings.append(ProofFinding("result", String(message))) }
    findings.append(ProofFinding(String(message[..<mark.lowerBound]), String(message[mark.upperBound...])))
  }

  /// `run.json` of a folder that holds a run.
  static func record(_ folder: RunFolder) throws(Failure) -> JSON.Object {
    guard folder.holdsRun else {
      let below = ["sft", "rl"].filter { RunFolder("\(folder.path)/\($0)").holdsRun }
      let hint = below.isEmpty ? "" : "; there is one in \(below.map { "\(folder.path)/\($0)" }.joined(separator: " and in "))"
      throw .missingInput("\(folder.path): no run here (no run.json)\(hint)")
    }
    let json = try JSON.read(folder.path + "/run.json")
    guard let object = json.object, object["identity"]?.object != nil else {
      throw .badData("\(folder.path)/run.json: has no \"identity\"; this is no run of this program")
    }
    return object
  }

  // MARK: run.json

  /// `identity` as it was in force in a step: what `--allow-changed` let differ later is taken back.
  package func identity(ofStep step: Int) -> JSON.Object {
    var identity = record["identity"]?.object ?? [:]
    for change in (record["changes"]?.array ?? []).reversed() {
      guard let name = change["name"]?.string, let after = change["after_step"]?.int, after >= step else { continue }
      identity[name] = change["was"].flatMap { $0.isNull ? nil : $0 }
    }
    return identity
  }

  private mutating func checkIdentity() {
    let began = SHA256.hex(Array(JSON.object(identity(ofStep: 0)).text().utf8))
    if began == record["run"]?.string { return proven.append("run.json: its settings are those that the chain began with") }
    findings.append(ProofFinding("run.json", "\"identity\" is not what the run began with: \"run\" is the digest of something else"))
  }

  // MARK: Weights

  private mutating func checkCheckpoints(_ steps: [Int]) {
    let store = CheckpointStore(run: folder.path)
    var whole: [String] = []
    for step in steps {
      let path = store.path(step: step)
      let name = "checkpoints/\(Files.name(of: path))"
      let before = findings.count
      do throws(Failure) {
        _ = try TrainingState(from: path, step: step, run: record["run"]?.string)
        guard let line = log[step] else {
          findings.append(ProofFinding(name, "metrics.jsonl has no line of this step; its last is of step \(log.steps.last?.record.step ?? 0)"))
          continue
        }
        let held = Self.digests(of: try SafetensorsFile(path + "/state.safetensors"))
        compare(held.weights, "weights", line, name, "its values")
        compare(held.state, "state", line, name, "its moments, critic or plugin state")
        if Files.exists("\(path)/adapter") {
          compare(try Self.weights(ofAdapter: path + "/adapter"), "weights", line, name + "/adapter", "its values")
        }
      } catch {
        // A run that goes on removes old ones.
        if !Files.exists(path) { continue }
        findings.append(ProofFinding(name, error.message.hasPrefix(path + "/") ? String(error.message.dropFirst(path.count + 1)) : error.message))
      }
      if findings.count == before { whole.append(name) }
    }
    if !whole.isEmpty { proven.append("\(whole.joined(separator: ", ")): weights and moments of \(whole.count == 1 ? "its step" : "their steps")") }
  }

  private mutating func compare(_ held: Digest, _ stage: String, _ line: ProofLog.Step, _ file: String, _ what: String) {
    guard let recorded = line.digests[stage]?.first, recorded == held else {
      return findings.append(
        ProofFinding(file, step: line.record.step, "\(what) are not those that the step left: \(StageDifference(line.digests[stage]?.first, held).text)"))
    }
  }

  /// The adapter or model that the run ended with.
  private mutating func checkResult() throws(Failure) {
    guard let last = log.steps.last else { return }
    let digest: Digest
    let name: String
    if Files.isDirectory(folder.adapter) {
      (name, digest) = ("adapter/", try Self.weights(ofAdapter: folder.adapter))
    } else if Files.isDirectory(folder.model) {
      let files = try Self.files(ofModel: folder.model)
      if files.contains(where: { file in file.entries.values.contains { $0.type != .float32 } }) { return try checkRounded(files, last) }
      (name, digest) = ("model/", Self.weights(of: files, prefix: ""))
    } else { return }
    check(name, digest, is: last)
  }

  /// A model that is written in fewer bits, as `pretrain` does, has no digest of its own: it is the values of the last checkpoint, rounded.
  private mutating func checkRounded(_ files: [SafetensorsFile], _ last: ProofLog.Step) throws(Failure) {
    let step = last.record.step
    let path = CheckpointStore(run: folder.path).path(step: step) + "/state.safetensors"
    guard Files.exists(path) else {
      return findings.append(ProofFinding("model/", step: step, "is rounded, and no checkpoint of the step is there to hold it against"))
    }
    let values = try SafetensorsFile(path)
    var left = Set(values.names.filter { $0.hasPrefix(Optimizer.valuePrefix) })
    for file in files {
      for name in file.names {
        let value = Optimizer.valuePrefix + name
        guard let entry = file.entries[name], left.remove(value) != nil,
          unsafe file.withBytes(entry, { unsafe Array($0) }) == SafetensorsStream.bytes(try values.floats(value), as: entry.type)
        else { return findings.append(ProofFinding("model/", step: step, "its tensor \"\(name)\" is not what the step left, rounded")) }
      }
    }
    if let name = left.min() { return findings.append(ProofFinding("model/", step: step, "lacks the tensor \"\(name.dropFirst(Optimizer.valuePrefix.count))\"")) }
    proven.append("model/: the weights of step \(step), rounded")
  }

  private mutating func check(_ name: String, _ digest: Digest, is step: ProofLog.Step) {
    if step.digests["weights"] == [digest] { return proven.append("\(name): the weights of step \(step.record.step)") }
    if let other = log.steps.last(where: { $0.digests["weights"] == [digest] }) {
      return findings.append(ProofFinding(name, "holds the weights of step \(other.record.step), not those of step \(step.record.step)"))
    }
    findings.append(
      ProofFinding(name, step: step.record.step, "its weights are not those that the step left, nor those of any other: \(StageDifference(step.digests["weights"]?.first, digest).text)"))
  }

  private mutating func checkBest() throws(Failure) {
    let path = folder.path + "/best"
    guard Files.exists(path + "/best.json") else { return }
    guard let number = try JSON.read(path + "/best.json")["step"]?.int, let step = log[number] else {
      return findings.append(ProofFinding("best/best.json", "\"step\" names no step of metrics.jsonl"))
    }
    let isAdapter = Files.exists(path + "/adapter_model.safetensors")
    check("best/", isAdapter ? try Self.weights(ofAdapter: path) : Self.weights(of: try Self.files(ofModel: path), prefix: ""), is: step)
  }

  /// Of a checkpoint's values and of the rest, as the optimiser gives them.
  private static func digests(of file: SafetensorsFile) -> (weights: Digest, state: Digest) {
    var (weights, state) = (TensorDigests(), TensorDigests())
    for name in file.names {
      guard let entry = file.entries[name] else { continue }
      if name.hasPrefix(Optimizer.valuePrefix), !name.hasPrefix(Optimizer.valuePrefix + ValueHead.prefix) {
        weights.add(String(name.dropFirst(Optimizer.valuePrefix.count)), entry, of: file, threads: CPUBackend.availableCores)
      } else {
        state.add(name, entry, of: file, threads: CPUBackend.availableCores)
      }
    }
    return (weights.digest, state.digest)
  }

  private static func weights(ofAdapter path: String) throws(Failure) -> Digest {
    weights(of: [try SafetensorsFile(path + "/adapter_model.safetensors")], prefix: Adapter.prefix)
  }

  private static func files(ofModel path: String) throws(Failure) -> [SafetensorsFile] {
    var files: [SafetensorsFile] = []
    for name in try Files.list(path) where name.hasSuffix(".safetensors") { files.append(try SafetensorsFile("\(path)/\(name)")) }
    return files
  }

  private static func weights(of files: [SafetensorsFile], prefix: String) -> Digest {
    var weights = TensorDigests()
    for file in files {
      for name in file.names {
        guard let entry = file.entries[name] else { continue }
        weights.add(name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name, entry, of: file, threads: CPUBackend.availableCores)
      }
    }
    return weights.digest
  }
}

/// Two digests of a stage for people.
package struct StageDifference {
  package let text: String

  package init(_ recorded: Digest?, _ found: Digest?) {
    text = "recorded \(Self.short(recorded)), found \(Self.short(found))"
  }

  /// As many digits as tell digests apart at a glance.
  package static func short(_ digest: Digest?) -> String { digest.map { "\($0.hex.prefix(16))…" } ?? "nothing" }
}
