import Foundations

/// A checkpoint's contents: `state.safetensors` (values, moments) and `state.json` (where the run stands), beside the
/// adapter in PEFT's form, so that a checkpoint can be evaluated like a finished run.
struct TrainingState {
  var step: Int
  var cursor = 0
  var pluginID: String?
  var pluginVersion: String?
  var pluginDigest: String?
  var pluginStateVersion: Int?
  var pluginState: [UInt8]?

  init(step: Int) { self.step = step }

  func write(to folder: String, policy: Policy) throws(Failure) {
    var writer = SafetensorsWriter(metadata: [:])
    try policy.save(to: &writer)
    if let pluginState { writer.add("plugin.state", pluginState, shape: [pluginState.count]) }
    try writer.write(to: folder + "/state.safetensors")
    var json = JSON.Object()
    json["step"] = .integer(step)
    json["cursor"] = .integer(cursor)
    if let pluginID {
      json["plugin"] = [
        "id": .string(pluginID), "version": .string(pluginVersion ?? ""), "sha256": .string(pluginDigest ?? ""),
        "state_version": .integer(pluginStateVersion ?? 0),
      ]
    }
    try AtomicFile.write(JSON.object(json).text(pretty: true) + "\n", to: folder + "/state.json")
  }

  /// Reads a checkpoint into a policy.
  init(from folder: String, into policy: Policy) throws(Failure) {
    let path = folder + "/state.json"
    let json = try JSON.read(path)
    guard let step = json["step"]?.int, let cursor = json["cursor"]?.int, step >= 0, cursor >= 0 else {
      throw .badData("\(path): expected \"step\" and \"cursor\"; this is no checkpoint of this program")
    }
    self.step = step
    self.cursor = cursor
    pluginID = json["plugin"]?["id"]?.string
    pluginVersion = json["plugin"]?["version"]?.string
    pluginDigest = json["plugin"]?["sha256"]?.string
    pluginStateVersion = json["plugin"]?["state_version"]?.int
    let file = try SafetensorsFile(folder + "/state.safetensors")
    try policy.restore(from: file)
    if file.entries["plugin.state"] != nil {
      pluginState = try file.integers("plugin.state").map { UInt8(truncatingIfNeeded: $0) }
    }
  }
}
