import PluginHost
import Support

/// A plugin that a run went over to, as a line of `plugins.jsonl`.
struct PluginReload {
  /// The first step with it, counted from 1.
  let step: Int
  let identity: AlgorithmIdentity
  let path: String
  let hasKeptState: Bool

  func append(to run: String) throws(Failure) {
    let line: JSON = [
      "step": .integer(step), "plugin": .string(identity.id), "version": .string(identity.version), "sha256": .string(identity.sha256),
      "path": .string(path), "state": .string(hasKeptState ? "kept" : "new"),
    ]
    let file = run + "/plugins.jsonl"
    let before = Files.exists(file) ? try Files.readText(file) : ""
    try AtomicFile.write(before + line.text() + "\n", to: file)
  }
}
