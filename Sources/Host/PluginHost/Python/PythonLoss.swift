import Support

/// A loss in a Python file, packed as a plugin's library: `libnr-python`, the bridge, with the file behind its own bytes. From there on it is a
/// plugin like any other: its SHA-256 is that of bridge and source together, and it can be given away as it is.
///
/// What stands in such a library is described in `Sources/PluginAPI/Python/bridge.h`.
package enum PythonLoss {
  private static let magic = Array("NRPYLOSS".utf8)
  private static let longestSource = 1 << 20
  /// Seconds in which an interpreter must have run the file once: importing torch may take some.
  private static let patience = 120.0

  package static func isSource(_ path: String) -> Bool { path.hasSuffix(".py") }

  /// Whether a library's file holds a Python loss.
  package static func isPacked(_ path: String) -> Bool {
    guard let file = try? MappedFile(path), file.byteCount > 16 else { return false }
    return unsafe file.withBytes { bytes in unsafe bytes.suffix(8).elementsEqual(magic) }
  }

  /// The author's file of a packed library, as it was named then; nil where it is none.
  package static func source(ofLibrary path: String) -> String? {
    guard isPacked(path), let bytes = try? Files.read(path) else { return nil }
    func number(at place: Int) -> Int? {
      guard place >= 0, place + 8 <= bytes.count else { return nil }
      return bytes[place..<(place + 8)].reversed().reduce(0) { $0 << 8 | Int($1) }
    }
    guard let length = number(at: bytes.count - 16), length > 0, length < bytes.count else { return nil }
    let start = bytes.count - 16 - length
    guard let helper = number(at: start), helper >= 0, helper < length, let count = number(at: start + 8 + helper), count >= 0, count < length
    else { return nil }
    return String(decoding: bytes[(start + 16 + helper)...].prefix(count), as: UTF8.self)
  }

  /// Whether a file of a search folder is the bridge itself, which is no plugin.
  static func isBridge(_ name: String) -> Bool { bridgeNames.contains(name) }
  private static let bridgeNames = ["libnr-python.so", "libnr-python.dylib"]

  /// The packed library of a file, in the user's cache: made where it is not there yet. The file has then run once, on a small batch.
  package static func library(of path: String) throws(Failure) -> String {
    guard let resolved = Files.resolved(path) else { throw .missingInput("\(path): no such file; a loss in Python is needed") }
    guard Files.size(resolved) <= longestSource else {
      throw .badData("\(path): has \(Files.size(resolved)) bytes; a loss in Python has no more than \(longestSource >> 20) MiB")
    }
    let source = try Files.read(resolved)
    guard String(validating: source, as: UTF8.self) != nil else { throw .badData("\(path): is not UTF-8") }
    let bridge = try bridge()
    let helper = PythonHelper.script(PackageResources.python_loss_py)
    let parts = [try SHA256.hex(file: bridge), SHA256.hex(helper), SHA256.hex(source), resolved, PythonHelper.interpreter]
    let key = SHA256.hex(Array(parts.joined(separator: "\n").utf8))
    let folder = try cache() + "/" + key.prefix(32)
    let stem = Files.name(of: resolved).dropLast(".py".count)
    let library = "\(folder)/libnr-\(stem).so"
    if isPacked(library) { return library }
    var payload: [UInt8] = []
    for text in [helper, Array(resolved.utf8), source] { payload += bytes(text.count) + text }
    payload += try describe(resolved, helper)
    try Files.makeDirectory(folder)
    try AtomicFile.write(try Files.read(bridge) + payload + bytes(payload.count) + magic, to: library)
    return library
  }

  private static func bytes(_ number: Int) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }

  private static func bridge() throws(Failure) -> String {
    let folders = PluginRegistry.standardSearchPath()
    for folder in folders {
      for name in bridgeNames where Files.exists("\(folder)/\(name)") { return "\(folder)/\(name)" }
    }
    throw .missingInput("a loss in Python needs \(bridgeNames[0]), which is built with the program and was not found in \(folders.joined(separator: ", "))")
  }

  /// Where packed libraries are kept; a folder of this user's where there is no cache.
  private static func cache() throws(Failure) -> String {
    let folder = Files.userCache ?? "\(environmentVariable("TMPDIR") ?? "/tmp")/nano-reasoner-\(getuid())"
    return folder + "/python"
  }

  /// What a file says of itself, in the form of the payload.
  private static func describe(_ path: String, _ helper: [UInt8]) throws(Failure) -> [UInt8] {
    let words = PythonHelper.words("-c", String(decoding: helper, as: UTF8.self), "describe", path)
    let child: ChildProcess
    do throws(Failure) { child = try ChildProcess.run(words[0], Array(words.dropFirst()), seconds: patience) } catch {
      throw .missingInput("\(path): \(error.message); a loss in Python needs an interpreter: install one, or set NR_PYTHON to its path")
    }
    let said = child.output.split(separator: "\n").last.map { "; the last it printed: \(OneLine.text(String($0.suffix(200))))" } ?? ""
    // A word in a line of its own, and what it tells behind it.
    let parts = child.report.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
    let word = String(decoding: parts[0], as: UTF8.self)
    if word == "refused", parts.count == 2 { throw .badData(OneLine.text(String(decoding: parts[1], as: UTF8.self))) }
    switch child.end {
    case .timedOut: throw .badData("\(path): did not run once within \(Format.shortest(patience)) s\(said)")
    case .flooded: throw .badData("\(path): writes to descriptor \(ChildProcess.reportDescriptor), which is not its business")
    case .signalled(let number): throw .badData("\(path): ended its Python process by \(PluginChecker.name(ofSignal: number))\(said)")
    case .exited(let code):
      guard code == 0, word == "described", parts.count == 2 else {
        throw .badData("\(path): \(words[0]) ended with exit code \(code) before it had described the file\(said)")
      }
      return Array(parts[1])
    }
  }
}
