import Support

let goldens = Files.directory(of: #filePath) + "/Goldens"

/// A folder of its own for a test; it goes away with the value.
final class TrialFolder {
  let path: String

  init() throws(Failure) {
    path = "/tmp/foundations-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    try Files.makeDirectory(path)
  }

  deinit { try? Files.removeTree(path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }
}

/// The failure that a call ends in; nil where it succeeds.
func failure<T>(_ body: () throws(Failure) -> T) -> Failure? {
  do throws(Failure) {
    _ = try body()
    return nil
  } catch { return error }
}
