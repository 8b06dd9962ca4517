import Support

/// A folder of its own for a test; it goes away with the value.
package final class TrialFolder: Sendable {
  package let path: String

  package init() throws(Failure) {
    path = "\(environmentVariable("TMPDIR") ?? "/tmp")/nr-test-\(getpid())-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
    try Files.makeDirectory(path)
  }

  deinit { try? Files.removeTree(path) }

  package func file(_ name: String) -> String { "\(path)/\(name)" }

  @discardableResult
  package func write(_ text: String, _ name: String) throws(Failure) -> String {
    try AtomicFile.write(text, to: file(name))
    return file(name)
  }

  /// A copy of a folder's files under another name.
  package func copy(_ folder: String, _ name: String) throws(Failure) -> String {
    try Files.makeDirectory(file(name))
    for entry in try Files.list(folder) where !Files.isDirectory("\(folder)/\(entry)") {
      try Files.copy("\(folder)/\(entry)", to: file("\(name)/\(entry)"))
    }
    return file(name)
  }
}
