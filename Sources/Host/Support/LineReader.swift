/// The lines of a stream, one by one, without their ends.
struct LineReader {
  private let stream: ByteStream
  private let name: String
  private var buffer: [UInt8] = []
  /// Where the next line begins, and how far no end has been found.
  private var start = 0
  private var searched = 0
  private var hasEnded = false

  init(_ stream: ByteStream, name: String) {
    self.stream = stream
    self.name = name
  }

  /// Takes another part in; false at the end.
  private mutating func fill() throws(Failure) -> Bool {
    if hasEnded { return false }
    let part = try stream.next()
    if part.isEmpty {
      hasEnded = true
      return false
    }
    if start > 0 {
      buffer.removeSubrange(..<start)
      searched -= start
      start = 0
    }
    if buffer.isEmpty { buffer = part } else { buffer += part }
    if buffer.count > physicalMemory() / 2 {
      throw .badData("\(name): a line or an array has more bytes than half of this machine's memory; write one object a line (jq -c '.[]')")
    }
    return true
  }

  /// The next bytes without taking them, as many as there are.
  mutating func peek(_ count: Int) throws(Failure) -> ArraySlice<UInt8> {
    while buffer.count - start < count, try fill() {}
    return buffer[start..<min(buffer.count, start + count)]
  }

  mutating func skip(_ count: Int) {
    start += count
    searched = max(searched, start)
  }

  /// The first byte for which the condition holds, without taking anything.
  mutating func first(where condition: (UInt8) -> Bool) throws(Failure) -> UInt8? {
    var place = 0
    while true {
      while start + place < buffer.count {
        if condition(buffer[start + place]) { return buffer[start + place] }
        place += 1
      }
      if try !fill() { return nil }
    }
  }

  mutating func next() throws(Failure) -> [UInt8]? {
    while true {
      let end = unsafe buffer.withUnsafeBytes { bytes -> Int? in
        guard searched < bytes.count, let found = unsafe memchr(bytes.baseAddress! + searched, 0x0A, bytes.count - searched) else { return nil }
        return unsafe UnsafeRawPointer(found) - bytes.baseAddress!
      }
      if let end {
        defer {
          start = end + 1
          searched = start
        }
        return Array(buffer[start..<end])
      }
      searched = buffer.count
      if try fill() { continue }
      if start == buffer.count { return nil }
      defer { start = buffer.count }
      return Array(buffer[start...])
    }
  }

  /// All that is left.
  mutating func rest() throws(Failure) -> [UInt8] {
    while try fill() {}
    defer {
      buffer = []
      (start, searched) = (0, 0)
    }
    return start == 0 ? buffer : Array(buffer[start...])
  }
}
