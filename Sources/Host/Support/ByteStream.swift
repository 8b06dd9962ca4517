/// Bytes that come one part after another: of a file, a pipe or a decompressor. What has been taken is not kept.
package struct ByteStream {
  /// The next part; empty at the end, and from there on.
  package let next: () throws(Failure) -> [UInt8]

  package init(_ next: @escaping () throws(Failure) -> [UInt8]) { self.next = next }

  /// All bytes in one part.
  init(_ bytes: [UInt8]) {
    var rest = bytes
    next = {
      defer { rest = [] }
      return rest
    }
  }
}

/// A file, or what a shell hands over, read from its start to its end once.
package final class ByteFile {
  package let path: String
  private let input: InputFile
  private static let part = 1 << 20
  /// Of what is no file, which can be read but once.
  private var digest: SHA256?

  package init(_ path: String) throws(Failure) {
    self.path = path
    input = try InputFile(path, orPipe: true)
    try input.checkHoles()
    if let kind = input.endlessKind { throw .missingInput("\(path): is \(kind); a file or a pipe is needed") }
    if !input.isRegular { digest = SHA256() }
  }

  package var isRegular: Bool { input.isRegular }
  package var byteCount: Int { input.byteCount }
  var descriptor: Int32 { input.descriptor }

  /// Goes back to the first byte of a file.
  func rewind() { lseek(input.descriptor, 0, SEEK_SET) }

  package func next() throws(Failure) -> [UInt8] {
    let path = path
    while true {
      var failed: Int32 = 0
      let part = unsafe [UInt8](unsafeUninitializedCapacity: Self.part) { buffer, count in
        let got = unsafe read(input.descriptor, buffer.baseAddress!, buffer.count)
        if got < 0 { failed = errno }
        count = max(0, got)
      }
      if failed == EINTR { continue }
      if failed != 0 { throw .inputOutput("\(path): cannot read: \(unsafe String(cString: strerror(failed)))") }
      if digest != nil { unsafe part.withUnsafeBytes { unsafe digest!.update($0) } }
      return part
    }
  }

  var stream: ByteStream { ByteStream { () throws(Failure) in try self.next() } }

  /// The digest of all bytes: of a pipe as they came, of a file as it lies on disk, remembered while it does not change.
  package func sha256(progress: (Int, Int) -> Void = { _, _ in }) throws(Failure) -> String {
    if let digest {
      while try !next().isEmpty {}
      return (self.digest ?? digest).hexDigest()
    }
    return try DigestCache.user.hex(file: path, progress: progress)
  }
}
