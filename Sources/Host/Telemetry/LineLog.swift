import Support

/// A file of JSON objects, one a line, that only grows: each line is written whole by one call, so that whoever reads
/// along, or after a crash, sees whole lines.
struct LineLog: ~Copyable {
  private let path: String
  private let descriptor: Int32
  private var length: Int

  /// Begins a new file, in place of one that is there.
  init(creating path: String) throws(Failure) {
    try self.init(path: path, flags: O_TRUNC, length: 0)
  }

  /// Goes on behind the last line of `stage` with at most `step`; where there is none, before the first line of the
  /// stage. What stands behind, a half-written line too, is cut off by replacing the file in one go.
  init(resuming path: String, stage: String, step: Int) throws(Failure) {
    let bytes = Files.exists(path) ? try Files.read(path) : []
    let kept = try Self.length(of: bytes, through: stage, step: step, name: path)
    if kept < bytes.count { try AtomicFile.write(Array(bytes[..<kept]), to: path) }
    try self.init(path: path, flags: 0, length: kept)
  }

  private init(path: String, flags: Int32, length: Int) throws(Failure) {
    self.path = path
    self.length = length
    descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0o666)
    if descriptor < 0 { throw .inputOutput("\(path): cannot write: \(lastSystemError())") }
  }

  deinit { close(descriptor) }

  /// What tells the file that is written from another of its name.
  var identity: FileIdentity? { FileIdentity(descriptor: descriptor) }

  /// Writes one line through to the file. On a failure (a full disk) no half of it stays behind.
  mutating func append(_ json: JSON) throws(Failure) { try append(lines: Array(json.text().utf8) + [0x0A]) }

  /// Writes lines that end in a line feed each, all or none of them.
  mutating func append(lines: [UInt8]) throws(Failure) {
    do throws(Failure) {
      try AtomicFile.write(lines, descriptor: descriptor, name: path)
    } catch {
      ftruncate(descriptor, off_t(length))
      throw error
    }
    length += lines.count
  }

  /// Makes sure that all lines survive a power failure; a checkpoint calls it before it is given its name.
  func sync() throws(Failure) {
    if fsync(descriptor) != 0 { throw .inputOutput("\(path): cannot sync: \(lastSystemError())") }
  }

  /// The whole lines of a file, parsed; a half-written last line is left out.
  static func read(_ path: String) throws(Failure) -> [JSON] {
    let bytes = try Files.read(path)
    var values: [JSON] = []
    for line in lines(of: bytes) {
      values.append(try JSON.parse(Array(bytes[line]), name: "\(path): record \(values.count + 1)"))
    }
    return values
  }

  /// The bytes that stay when a run goes on behind `step` of `stage`. A broken line is an error only before the cut.
  private static func length(of bytes: [UInt8], through stage: String, step: Int, name: String) throws(Failure) -> Int {
    var kept: Int?
    var firstOfStage: Int?
    var end = 0
    var broken: Failure?
    for (index, line) in lines(of: bytes).enumerated() {
      end = line.upperBound + 1
      var record = JSON.null
      do throws(Failure) {
        record = try JSON.parse(Array(bytes[line]), name: "\(name): record \(index + 1)")
      } catch { broken = broken ?? error }
      guard record["stage"]?.string == stage, let at = record["step"]?.int else { continue }
      if let broken, firstOfStage == nil || at <= step { throw broken }
      if firstOfStage == nil { firstOfStage = line.lowerBound }
      if at <= step { kept = end }
    }
    if let kept = kept ?? firstOfStage { return kept }
    if let broken { throw broken }
    return end
  }

  /// The step a line begins with, without parsing all of it.
  static func step(of line: ArraySlice<UInt8>) -> Int? {
    let head = String(decoding: line.prefix(120), as: UTF8.self)
    guard let mark = head.firstRange(of: "\"step\":") else { return nil }
    return Int(head[mark.upperBound...].drop { $0 == " " }.prefix { $0.isNumber })
  }

  /// The ranges of the lines that end in a line feed, without it.
  static func lines(of bytes: [UInt8]) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    for (index, byte) in bytes.enumerated() where byte == 0x0A {
      if index > start { ranges.append(start..<index) }
      start = index + 1
    }
    return ranges
  }
}
