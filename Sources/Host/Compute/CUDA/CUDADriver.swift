import CCUDA
import Support

/// The driver of NVIDIA's GPUs: its entry points, and what went wrong in its words.
@safe package final class CUDADriver: @unchecked Sendable {
  let table: nrc_driver
  /// 13000 for CUDA 13.0.
  package let version: Int
  /// As in "13.0".
  package var versionText: String { "\(version / 1000).\(version % 1000 / 10)" }
  package let deviceCount: Int
  package let path: String

  package init(_ library: DynamicLibrary) throws(Failure) {
    var table = nrc_driver()
    if let missing = unsafe nrc_load_driver(library.handle, &table) {
      throw .badData("\(library.path): the driver lacks \(unsafe String(cString: missing)): it is older than CUDA 12; update it")
    }
    self.table = table
    path = library.path
    let started = table.initialize(0)
    guard started == 0 else { throw .badData("\(library.path): the driver does not start: \(Self.text(started, table))") }
    var version: Int32 = 0
    var count: Int32 = 0
    guard unsafe table.version(&version) == 0, unsafe table.device_count(&count) == 0 else {
      throw .badData("\(library.path): the driver does not answer")
    }
    self.version = Int(version)
    deviceCount = Int(count)
  }

  private static func text(_ status: nrc_status, _ table: nrc_driver) -> String {
    var (name, text): (UnsafePointer<CChar>?, UnsafePointer<CChar>?)
    unsafe (name, text) = (nil, nil)
    _ = unsafe table.error_name(status, &name)
    _ = unsafe table.error_text(status, &text)
    let words = unsafe [name, text].compactMap { unsafe $0.map { unsafe String(cString: $0) } }
    return words.isEmpty ? "error \(status)" : words.joined(separator: ": ")
  }

  func text(_ status: nrc_status) -> String { Self.text(status, table) }

  func check(_ status: nrc_status, _ what: @autoclosure () -> String) throws(Failure) {
    if status != 0 { throw .internalError("\(what()): \(text(status))") }
  }

  /// What a device is, without a context on it.
  package func device(_ ordinal: Int) throws(Failure) -> CUDADeviceProperties {
    guard ordinal < deviceCount else {
      throw .usage("cuda:\(ordinal): this machine has \(deviceCount == 0 ? "no card that the driver sees" : deviceCount == 1 ? "cuda:0 only" : "cuda:0 to cuda:\(deviceCount - 1)")")
    }
    var device: Int32 = 0
    try check(unsafe table.device(&device, Int32(ordinal)), "cuda:\(ordinal)")
    var name = [CChar](repeating: 0, count: 256)
    var bytes = 0
    try check(unsafe table.device_name(&name, 255, device), "cuda:\(ordinal)")
    try check(unsafe table.device_memory(&bytes, device), "cuda:\(ordinal)")
    func attribute(_ number: Int) throws(Failure) -> Int {
      var value: Int32 = 0
      try check(unsafe table.device_attribute(&value, Int32(number), device), "cuda:\(ordinal)")
      return Int(value)
    }
    return CUDADeviceProperties(
      ordinal: ordinal, handle: device, name: String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self),
      capability: 10 * (try attribute(NRC_CAPABILITY_MAJOR)) + (try attribute(NRC_CAPABILITY_MINOR)),
      multiprocessors: try attribute(NRC_MULTIPROCESSORS), memoryBytes: bytes, sharedBytes: try attribute(NRC_SHARED_MEMORY_OF_BLOCK))
  }
}

package struct CUDADeviceProperties: Sendable {
  package let ordinal: Int
  let handle: Int32
  package let name: String
  /// 90 for compute capability 9.0.
  package let capability: Int
  package let multiprocessors: Int
  package let memoryBytes: Int
  /// Shared memory that a block may take.
  package let sharedBytes: Int

  /// The oldest capability that kernels are written for: asynchronous copies and products of bfloat16.
  package static let leastCapability = 80
}
