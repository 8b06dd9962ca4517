import Support
import Synchronization

/// What a backend on a GPU asks of it, in the order of the calls: a card (``CUDADevice``), or one that only counts what would be taken.
package protocol DeviceQueue: AnyObject, Sendable {
  var properties: CUDADeviceProperties { get }
  var driverVersion: Int { get }
  var memory: MemoryUse { get }
  /// Whether anything is computed, so that what is uploaded is there.
  var computes: Bool { get }
  /// Keeps what went wrong for whoever asks something of the device next.
  func fail(_ failure: Failure)
  /// Cleared memory.
  func allocate(_ byteCount: Int) throws(Failure) -> Storage
  /// Copies bytes to the device; they are staged when it returns.
  func upload(_ bytes: UnsafeRawBufferPointer, to address: UInt)
  /// A copy of what lies on the device, which is there when it is asked for.
  func download<Element: BitwiseCopyable & Sendable>(_ address: UInt, count: Int, as type: Element.Type) throws(Failure) -> Pending<[Element]>
  func copy(from source: UInt, to destination: UInt, byteCount: Int)
  func clear(_ address: UInt, byteCount: Int)
  /// Until everything that is queued is done.
  func wait() throws(Failure)
  /// Queues a kernel over a grid of blocks; an empty grid is no launch.
  func launch<Arguments>(_ name: StaticString, grid x: Int, y: Int, z: Int, shared: Int, _ arguments: Arguments)
  /// Lets a library queue work of its own on the device's stream; `body` says what came of it, 0 where all is well.
  func queue(_ what: String, _ body: (_ stream: UnsafeMutableRawPointer?) -> Int32)
  /// What `body` queues, as one piece of work that can be queued again; it is not queued now. nil: the device keeps none.
  func graph(_ body: () throws(Failure) -> Void) throws(Failure) -> (any Sendable & AnyObject)?
  /// Queues such work.
  func launch(graph: any Sendable & AnyObject) throws(Failure)
}

extension DeviceQueue {
  package var computes: Bool { true }

  package func launch<Arguments>(_ name: StaticString, grid x: Int, y: Int = 1, z: Int = 1, shared: Int = 0, _ arguments: Arguments) {
    launch(name, grid: x, y: y, z: z, shared: shared, arguments)
  }
}

/// A card that does nothing and takes no memory: it counts what a program would take of one like another. What is read from it is zeros.
final class CountingDevice: DeviceQueue {
  let properties: CUDADeviceProperties
  let driverVersion: Int
  private let use = Mutex(MemoryUse())

  /// Like a card that is not here.
  init(memoryBytes: Int) {
    properties = CUDADeviceProperties(
      ordinal: 0, handle: 0, name: "a card that is not here", capability: 90, multiprocessors: 132, memoryBytes: memoryBytes, sharedBytes: 227 << 10)
    driverVersion = 0
  }

  init(like device: any DeviceQueue) {
    properties = device.properties
    driverVersion = device.driverVersion
  }

  var memory: MemoryUse { use.withLock { $0 } }
  var computes: Bool { false }

  func allocate(_ byteCount: Int) -> Storage {
    let size = CUDADevice.rounded(byteCount)
    use.withLock { $0.take(size) }
    return Storage(address: 0, byteCount: size) { [self] _, size in use.withLock { $0.bytes -= size } }
  }

  func upload(_ bytes: UnsafeRawBufferPointer, to address: UInt) {}
  func download<Element: BitwiseCopyable & Sendable>(_ address: UInt, count: Int, as type: Element.Type) -> Pending<[Element]> {
    let zero = unsafe [UInt8](repeating: 0, count: MemoryLayout<Element>.size).withUnsafeBytes { unsafe $0.loadUnaligned(as: Element.self) }
    return Pending(Array(repeating: zero, count: count))
  }
  func copy(from source: UInt, to destination: UInt, byteCount: Int) {}
  func clear(_ address: UInt, byteCount: Int) {}
  func wait() {}
  func launch<Arguments>(_ name: StaticString, grid x: Int, y: Int, z: Int, shared: Int, _ arguments: Arguments) {}
  func queue(_ what: String, _ body: (_ stream: UnsafeMutableRawPointer?) -> Int32) {}
  func fail(_ failure: Failure) {}
  func graph(_ body: () throws(Failure) -> Void) -> (any Sendable & AnyObject)? { nil }
  func launch(graph: any Sendable & AnyObject) {}
}
