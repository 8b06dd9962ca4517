import Support
import Synchronization

/// The host memory of a CPU backend: blocks aligned to 64 bytes, cleared, given back to the system when they are not needed any more.
/// Steps take theirs from an ``Arena``, so nothing is kept here for later.
final class CPUMemory: Sendable {
  private let use = Mutex(MemoryUse())
  /// Larger blocks are mapped by themselves, so that all of them goes back, and are there at once: a run that has begun does not find
  /// later that there is no memory.
  private static let mapped = 256 << 10

  var now: MemoryUse { use.withLock { $0 } }

  func allocate(_ byteCount: Int) throws(Failure) -> Storage {
    let size = (max(byteCount, 1) + 63) / 64 * 64
    let address = size >= Self.mapped ? Self.map(size) : Self.small(size)
    guard let address else {
      throw .internalError(
        "out of memory: cannot allocate \(size >> 20) MiB; use fewer sequences at a time, a shorter length or --precision bf16")
    }
    use.withLock { $0.take(size) }
    return Storage(address: address, byteCount: size) { [self] address, size in
      use.withLock { $0.bytes -= size }
      if size >= Self.mapped {
        unsafe munmap(UnsafeMutableRawPointer(bitPattern: address), size)
      } else {
        unsafe free(UnsafeMutableRawPointer(bitPattern: address))
      }
    }
  }

  private static func map(_ size: Int) -> UInt? {
    let writable = PROT_READ | PROT_WRITE, own = MAP_PRIVATE | Int32(MAP_ANONYMOUS)
    #if os(Linux)
      guard size >= huge else { return mapped(unsafe mmap(nil, size, writable, own | Int32(MAP_POPULATE), -1, 0)) }
      // Large pages where the system has them: a model's weights are then a thousand entries of its page table instead of a million.
      // They begin at multiples of their size, so what is mapped before the first one goes back.
      guard let address = mapped(unsafe mmap(nil, size + huge, writable, own, -1, 0)) else { return nil }
      let page = UInt(sysconf(Int32(_SC_PAGESIZE)))
      let start = (address + UInt(huge) - 1) / UInt(huge) * UInt(huge), end = (start + UInt(size) + page - 1) / page * page
      let (before, after) = (Int(start - address), Int(address + UInt(size + huge) - end))
      if before > 0 { unsafe munmap(UnsafeMutableRawPointer(bitPattern: address), before) }
      if after > 0 { unsafe munmap(UnsafeMutableRawPointer(bitPattern: end), after) }
      let block = unsafe UnsafeMutableRawPointer(bitPattern: start)!
      unsafe madvise(block, size, Int32(MADV_HUGEPAGE))
      // MADV_POPULATE_WRITE; a kernel before 5.14 does not know it, there each page is touched.
      if unsafe madvise(block, size, 23) != 0 {
        if errno == ENOMEM {
          unsafe munmap(block, size)
          return nil
        }
        for offset in stride(from: 0, to: size, by: Int(page)) { unsafe block.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self) }
      }
      return start
    #else
      return mapped(unsafe mmap(nil, size, writable, own, -1, 0))
    #endif
  }

  /// Bytes of a large page.
  private static let huge = 2 << 20

  private static func mapped(_ pointer: UnsafeMutableRawPointer?) -> UInt? {
    guard let pointer = unsafe pointer, unsafe pointer != MAP_FAILED else { return nil }
    return UInt(bitPattern: pointer)
  }

  private static func small(_ size: Int) -> UInt? {
    var pointer: UnsafeMutableRawPointer?
    guard unsafe posix_memalign(&pointer, 64, size) == 0, let pointer = unsafe pointer else { return nil }
    unsafe pointer.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    return UInt(bitPattern: pointer)
  }
}
