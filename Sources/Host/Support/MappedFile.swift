/// A file mapped read-only into memory for as long as the value lives.
@safe package final class MappedFile: @unchecked Sendable {
  package let path: String
  package let byteCount: Int
  private let base: UnsafeRawPointer?

  package init(_ path: String) throws(Failure) {
    let input = try InputFile(path, orPipe: false)
    let size = input.byteCount
    var mapped: UnsafeRawPointer?
    if size > 0 {
      let address = unsafe mmap(nil, size, PROT_READ, MAP_PRIVATE, input.descriptor, 0)
      guard let address = unsafe address, unsafe address != MAP_FAILED else {
        throw .inputOutput("\(path): cannot map \(size) bytes: \(lastSystemError())")
      }
      unsafe mapped = UnsafeRawPointer(address)
    }
    self.path = path
    byteCount = size
    unsafe base = mapped
  }

  deinit {
    if let base = unsafe base { unsafe munmap(UnsafeMutableRawPointer(mutating: base), byteCount) }
  }

  /// Gives the memory back that reading some bytes has filled; they are read from the file again where they are needed again.
  package func release(_ range: Range<Int>) {
    guard let base = unsafe base else { return }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let start = (range.lowerBound + page - 1) / page * page
    let end = min(range.upperBound, byteCount) / page * page
    if end > start { unsafe madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, Int32(MADV_DONTNEED)) }
  }

  /// Lends the bytes of the file; the buffer is valid during the call only.
  package func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    unsafe try body(UnsafeRawBufferPointer(start: base, count: byteCount))
  }
}
