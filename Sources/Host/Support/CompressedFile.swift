/// Compressed files as streams of what is in them, by the system's own libraries, which are opened when they are needed.
package enum CompressedFile {
  /// What the libraries are called on the systems there are.
  package static var gzipNames: [String] { GzipReader.names }
  package static var zstandardNames: [String] { ZstandardReader.names }

  /// The stream of a file that begins with the mark of a format; nil where it is none of these.
  static func stream(_ file: ByteFile, head: ArraySlice<UInt8>) throws(Failure) -> ByteStream? {
    if head.starts(with: [0x1F, 0x8B]) {
      let reader = try GzipReader(file)
      return ByteStream { () throws(Failure) in try reader.next() }
    }
    if head.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
      let reader = try ZstandardReader(file)
      return ByteStream { () throws(Failure) in try reader.next() }
    }
    return nil
  }

  static let part = 1 << 20
}

/// zlib's reading of gzip files: any number of members, one after another.
@safe final class GzipReader {
  static let names = ["libz.so.1", "libz.so", "libz.1.dylib"]

  private typealias Open = @convention(c) (Int32, UnsafePointer<CChar>) -> OpaquePointer?
  private typealias Read = @convention(c) (OpaquePointer, UnsafeMutableRawPointer, UInt32) -> Int32
  private typealias Describe = @convention(c) (OpaquePointer, UnsafeMutablePointer<Int32>) -> UnsafePointer<CChar>?
  private typealias Close = @convention(c) (OpaquePointer) -> Int32

  private let path: String
  private let handle: OpaquePointer
  private let read: Read
  private let describe: Describe
  private let close: Close
  private var hasEnded = false

  init(_ file: ByteFile) throws(Failure) {
    path = file.path
    guard let library = DynamicLibrary.first(of: Self.names), let open = unsafe library.symbol("gzdopen"),
      let read = unsafe library.symbol("gzread"), let describe = unsafe library.symbol("gzerror"), let close = unsafe library.symbol("gzclose_r")
    else {
      throw .missingInput("\(file.path): gzip-compressed data, and this machine has no \(Self.names[0]) to read it with; install zlib (Debian, Ubuntu: apt-get install zlib1g), or unpack it first: gunzip -k FILE")
    }
    file.rewind()
    // zlib closes what it is given.
    let descriptor = fcntl(file.descriptor, F_DUPFD_CLOEXEC, 0)
    guard descriptor >= 0, let handle = unsafe unsafeBitCast(open, to: Open.self)(descriptor, "rb") else {
      throw .inputOutput("\(file.path): cannot read: \(lastSystemError())")
    }
    unsafe self.handle = handle
    unsafe self.read = unsafe unsafeBitCast(read, to: Read.self)
    unsafe self.describe = unsafe unsafeBitCast(describe, to: Describe.self)
    unsafe self.close = unsafe unsafeBitCast(close, to: Close.self)
  }

  deinit { _ = unsafe close(handle) }

  func next() throws(Failure) -> [UInt8] {
    if hasEnded { return [] }
    let part = unsafe [UInt8](unsafeUninitializedCapacity: CompressedFile.part) { buffer, count in
      count = Int(max(0, unsafe read(handle, buffer.baseAddress!, UInt32(buffer.count))))
    }
    if part.count < CompressedFile.part {
      hasEnded = true
      // What is cut off or damaged shows here, behind all that could be read.
      var code: Int32 = 0
      let text = unsafe describe(handle, &code).map { unsafe String(cString: $0) } ?? ""
      if code != 0 { throw .badData("\(path): gzip-compressed data that is cut off or damaged: \(text)") }
    }
    return part
  }
}

/// Zstandard's streaming decompression: any number of frames, one after another.
@safe final class ZstandardReader {
  static let names = ["libzstd.so.1", "libzstd.so", "libzstd.1.dylib"]

  /// `ZSTD_inBuffer` and `ZSTD_outBuffer`, which are alike.
  @unsafe private struct Buffer {
    var bytes: UnsafeMutableRawPointer?
    var size: Int
    var place = 0
  }

  private typealias Create = @convention(c) () -> OpaquePointer?
  private typealias Free = @convention(c) (OpaquePointer) -> Int
  private typealias Decompress = @convention(c) (OpaquePointer, UnsafeMutableRawPointer, UnsafeMutableRawPointer) -> Int
  private typealias IsError = @convention(c) (Int) -> UInt32
  private typealias Name = @convention(c) (Int) -> UnsafePointer<CChar>?

  private let file: ByteFile
  private let handle: OpaquePointer
  private let free: Free
  private let decompress: Decompress
  private let isError: IsError
  private let name: Name
  private var input: [UInt8] = []
  private var place = 0
  /// Whether a frame has begun and not ended.
  private var isInFrame = true
  /// Whether there may be more in it that had no room.
  private var isFull = false

  init(_ file: ByteFile) throws(Failure) {
    guard let library = DynamicLibrary.first(of: Self.names), let create = unsafe library.symbol("ZSTD_createDStream"),
      let free = unsafe library.symbol("ZSTD_freeDStream"), let decompress = unsafe library.symbol("ZSTD_decompressStream"),
      let isError = unsafe library.symbol("ZSTD_isError"), let name = unsafe library.symbol("ZSTD_getErrorName")
    else {
      throw .missingInput("\(file.path): Zstandard-compressed data, and this machine has no \(Self.names[0]) to read it with; install it (Debian, Ubuntu: apt-get install libzstd1), or unpack it first: zstd -d FILE")
    }
    guard let handle = unsafe unsafeBitCast(create, to: Create.self)() else { throw .inputOutput("\(file.path): no memory to decompress it") }
    file.rewind()
    self.file = file
    unsafe self.handle = handle
    unsafe self.free = unsafe unsafeBitCast(free, to: Free.self)
    unsafe self.decompress = unsafe unsafeBitCast(decompress, to: Decompress.self)
    self.isError = unsafe unsafeBitCast(isError, to: IsError.self)
    unsafe self.name = unsafe unsafeBitCast(name, to: Name.self)
  }

  deinit { _ = unsafe free(handle) }

  func next() throws(Failure) -> [UInt8] {
    while true {
      if place == input.count, !isFull {
        input = try file.next()
        place = 0
        if input.isEmpty {
          if isInFrame { throw damaged("it ends within a frame") }
          return []
        }
      }
      var result = 0
      let part = unsafe [UInt8](unsafeUninitializedCapacity: CompressedFile.part) { output, count in
        var target = unsafe Buffer(bytes: UnsafeMutableRawPointer(output.baseAddress!), size: output.count)
        unsafe input.withUnsafeMutableBytes { bytes in
          var source = unsafe Buffer(bytes: bytes.baseAddress!, size: bytes.count, place: place)
          result = unsafe decompress(handle, &target, &source)
          place = unsafe source.place
        }
        count = unsafe target.place
      }
      if isError(result) != 0 { throw damaged(unsafe name(result).map { unsafe String(cString: $0) } ?? "unknown error") }
      isInFrame = result != 0
      isFull = part.count == CompressedFile.part
      if !part.isEmpty { return part }
    }
  }

  private func damaged(_ what: String) -> Failure { .badData("\(file.path): Zstandard-compressed data that is cut off or damaged: \(what)") }
}
