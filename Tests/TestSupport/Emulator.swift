import Compute
import Support

/// The GPU that is none: a library that runs kernels on the CPU and shows itself as NVIDIA's driver and compiler.
package enum Emulator {
  /// As `swift build --build-tests` makes it.
  package static let path = Place.build + "/libnr-cuda-emulator.so"

  package static func library() throws(Failure) -> DynamicLibrary { try DynamicLibrary(path) }

  /// Where tests keep what the emulator compiled.
  package static let cache = KernelCache(Place.build + "/nr-cuda-emulator-kernels" + (isChecking ? "-checked" : ""))

  /// The order in which warps and lanes take turns, for all devices of this process.
  package static func set(schedule: Int) throws(Failure) {
    typealias Set = @convention(c) (Int32, UInt32, Int32) -> Void
    guard let set = unsafe try library().symbol("nremuSet") else { throw .internalError("\(path): no nremuSet") }
    unsafe unsafeBitCast(set, to: Set.self)(isChecking ? 1 : 0, UInt32(schedule), 1)
  }

  /// Whether every load and store of a kernel is looked at.
  package static var isChecking: Bool { environmentVariable("NREMU_CHECK") == "1" }

  /// A device of its own for a test: what goes wrong on it stays there.
  package static func device(_ ordinal: Int = 0, sources: KernelSources = .all) throws(Failure) -> CUDADevice {
    let library = try library()
    return try CUDADevice(
      CUDADriver(library), ordinal: ordinal, compiler: KernelCompiler(library), cache: cache, sources: sources)
  }

  /// Its stand-in for NVIDIA's matrix products, for the device that was opened last.
  package static func products() throws(Failure) -> CUBLASLt { try CUBLASLt(try library()) }
}
