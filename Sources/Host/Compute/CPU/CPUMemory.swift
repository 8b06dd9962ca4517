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

  /// Pages of two megabytes where there may be: weights are read from one end to the other, and a processor looks up few of them.
  private static func map(_ size: Int) -> UInt? {
    let pointer = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | Int32(MAP_ANONYMOUS), -1, 0)
    guard let pointer = unsafe pointer, unsafe pointer != MAP_FAILED else { return nil }
    #if os(Linux)
      unsafe madvise(pointer, size, Int32(MADV_HUGEPAGE))
      // Fails where there is no memory for all of it, and where a kernel before 5.14 does not know it.
      let populate: Int32 = 23
      if unsafe madvise(pointer, size, populate) != 0, errno != EINVAL {
        unsafe munmap(pointer, size)
        return nil
      }
    #endif
    return UInt(bitPattern: pointer)
  }

  private static func small(_ size: Int) -> UInt? {
    var pointer: UnsafeMutableRawPointer?
    guard unsafe posix_memalign(&pointer, 64, size) == 0, let pointer = unsafe pointer else { return nil }
    unsafe pointer.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    return UInt(bitPattern: pointer)
  }
}
