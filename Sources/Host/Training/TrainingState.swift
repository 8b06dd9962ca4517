import PluginHost
import Support

/// A checkpoint's contents: `state.safetensors` (values, moments) and `state.json` (where the run stands), beside the
/// adapter in PEFT's form, so that a checkpoint can be evaluated like a finished run.
///
/// `state.json` says which run and step it is of, what the digest of `state.safetensors` is, and has a digest of itself: what was cut,
/// changed, swapped or left by another run is no checkpoint.
struct TrainingState {
  var step: Int
  var cursor = 0
  /// What computed the loss of a reinforcement learning run.
  var algorithm: AlgorithmIdentity?
  var algorithmState: [UInt8]?

  init(step: Int) { self.step = step }

  /// The key of the digest of everything else in `state.json`.
  private static let digestKey = "sha256"
  private static let valuesKey = "state.safetensors sha256"
  private static let algorithmStateName = "plugin.state"

  /// - Parameter run: the identity of the run; nil in a run that an older version began.
  func write(to folder: String, policy: Policy, run: String?) throws(Failure) {
    var parts = policy.parts
    for (name, bytes) in beside { parts.append(SafetensorsStream.Part(name, bytes: bytes)) }
    let values = folder + "/state.safetensors"
    try SafetensorsStream.write(parts, metadata: [:], to: values)
    var json = JSON.Object()
    json["step"] = .integer(step)
    json["cursor"] = .integer(cursor)
    if let algorithm {
      json["plugin"] = [
        "id": .string(algorithm.id), "version": .string(algorithm.version), "sha256": .string(algorithm.sha256),
        "state_version": .integer(algorithm.stateVersion),
      ]
    }
    if let run { json["run"] = .string(run) }
    json[Self.valuesKey] = .string(try SHA256.hex(file: values))
    json[Self.digestKey] = .string(Self.digest(json))
    try AtomicFile.write(JSON.object(json).text(pretty: true) + "\n", to: folder + "/state.json")
  }

  /// What stands in `state.safetensors` beside values and moments.
  fileprivate var beside: [(name: String, bytes: [UInt8])] { algorithmState.map { [(Self.algorithmStateName, $0)] } ?? [] }

  private static func digest(_ json: JSON.Object) -> String {
    var rest = json
    rest[digestKey] = nil
    return SHA256.hex(Array(JSON.object(rest).text().utf8))
  }

  /// Reads where a checkpoint stands. Everything that can be wrong with it is found here, before anything of it is used.
  ///
  /// - Parameters:
  ///   - step: the step that the folder's name says.
  ///   - run: the identity of the run; nil in a run that an older version began, whose checkpoints have no digests.
  init(from folder: String, step: Int, run: String?) throws(Failure) {
    let path = folder + "/state.json"
    let json = try JSON.read(path)
    guard let recorded = json["step"]?.int, let cursor = json["cursor"]?.int, (0...CheckpointStore.largestStep).contains(cursor) else {
      throw .badData("\(path): expected \"step\" and \"cursor\"; this is no checkpoint of this program")
    }
    guard recorded == step else { throw .badData("\(path): \"step\": expected \(step), as the folder's name says, found \(recorded)") }
    self.step = step
    self.cursor = cursor
    if let plugin = json["plugin"], let id = plugin["id"]?.string {
      algorithm = AlgorithmIdentity(
        id: id, version: plugin["version"]?.string ?? "", sha256: plugin["sha256"]?.string ?? "",
        stateVersion: plugin["state_version"]?.int ?? 0)
    }
    let values = folder + "/state.safetensors"
    if let run, let object = json.object {
      guard json[Self.digestKey]?.string == Self.digest(object) else {
        throw .badData("\(path): its contents are not those that were written: the digest in it is another")
      }
      guard json["run"]?.string == run else { throw .badData("\(path): is of another run") }
      guard let digest = json[Self.valuesKey]?.string, try SHA256.hex(file: values) == digest else {
        throw .badData("\(values): its contents are not those that were written: state.json has another digest")
      }
    }
    let file = try SafetensorsFile(values)
    guard let updates = try file.integers("optimizer.step").first, (0...Int64(CheckpointStore.largestStep)).contains(updates) else {
      throw .badData("\(values): tensor \"optimizer.step\": expected a count of updates from 0 to \(CheckpointStore.largestStep)")
    }
    // What was written by this run is taken as it was.
    for name in run == nil ? file.names : [] {
      if let place = file.firstNonFinite(try file.entry(name)) {
        throw .badData("\(values): tensor \"\(name)\": value \(place) is not a finite number")
      }
    }
    if file.entries[Self.algorithmStateName] != nil {
      algorithmState = try file.integers(Self.algorithmStateName).map { UInt8(truncatingIfNeeded: $0) }
    }
  }

  /// Takes values and moments of the checkpoint.
  func restore(_ folder: String, into policy: Policy) throws(Failure) {
    try policy.restore(from: try SafetensorsFile(folder + "/state.safetensors"))
  }
}

extension Policy {
  /// The digests of what a checkpoint of a state holds: the values that a result holds, and the rest.
  func digests(_ state: TrainingState) throws(Failure) -> (weights: Digest, state: Digest) { try digests(beside: state.beside) }
}

extension CheckpointStore {
  /// The newest checkpoint that is whole, and what is wrong with each that is newer; nil where there is none at all.
  func newestWhole(run: String?, damaged: (Failure) -> Void) throws(Failure) -> TrainingState? {
    let steps = try steps()
    var last: Failure?
    for step in steps.reversed() {
      do throws(Failure) { return try TrainingState(from: path(step: step), step: step, run: run) } catch {
        damaged(error)
        last = error
      }
    }
    guard let last else { return nil }
    throw Failure(last.code, "\(last.message); no checkpoint of this run is whole: take it back from a copy, or remove checkpoints/ and --resume begins again at step 1")
  }
}
