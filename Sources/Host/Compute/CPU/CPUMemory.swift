import Support
import Synchronization

/// The host memory of a CPU backend: 64-byte aligned blocks, kept when freed and handed out again, so that a step of
/// training touches no fresh pages. What is kept is bounded.
final class CPUMemory: Sendable {
  private struct Shelf {
    var free: [Int: [UInt]] = [:]
    var keptBytes = 0
    var usedBytes = 0
    var peakBytes = 0
  }

  private static let keptLimit = 4 << 30
  private let shelf = Mutex(Shelf())

  var peakBytes: Int { shelf.withLock { $0.peakBytes } }

  /// The size class of a request: at most an eighth larger, so that steps of slightly different shapes share blocks.
  private static func sizeClass(_ byteCount: Int) -> Int {
    let wanted = max(byteCount, 64)
    let granule = max(64, 1 << max(0, wanted.bitWidth - wanted.leadingZeroBitCount - 4))
    return (wanted + granule - 1) / granule * granule
  }

  func allocate(_ byteCount: Int) throws(Failure) -> Storage {
    let size = Self.sizeClass(byteCount)
    let kept = shelf.withLock { shelf -> UInt? in
      shelf.usedBytes += size
      shelf.peakBytes = max(shelf.peakBytes, shelf.usedBytes)
      guard let address = shelf.free[size]?.popLast() else { return nil }
      shelf.keptBytes -= size
      return address
    }
    let address: UInt
    if let kept {
      address = kept
    } else {
      var pointer: UnsafeMutableRawPointer?
      guard unsafe posix_memalign(&pointer, 64, size) == 0, let pointer = unsafe pointer else {
        throw .internalError(
          "out of memory: cannot allocate \(size >> 20) MiB; use fewer sequences at a time, a shorter length or --precision bf16")
      }
      address = UInt(bitPattern: pointer)
    }
    return Storage(address: address, byteCount: byteCount) { [self] address, _ in give(back: address, size: size) }
  }

  private func give(back address: UInt, size: Int) {
    let keep = shelf.withLock { shelf -> Bool in
      shelf.usedBytes -= size
      guard shelf.keptBytes + size <= Self.keptLimit else { return false }
      shelf.keptBytes += size
      shelf.free[size, default: []].append(address)
      return true
    }
    if !keep { unsafe free(UnsafeMutableRawPointer(bitPattern: address)) }
  }

  deinit {
    shelf.withLock { shelf in
      for address in shelf.free.values.joined() { unsafe free(UnsafeMutableRawPointer(bitPattern: address)) }
    }
  }
}
