import Support

/// A folder of its own for a test; it goes away with the value.
final class TrialFolder {
  let path: String

  init() throws(Failure) {
    path = "/tmp/telemetry-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    try Files.makeDirectory(path)
  }

  deinit { try? Files.removeTree(path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }
}
