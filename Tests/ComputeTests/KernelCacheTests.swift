import Support
import TestSupport
import Testing

@testable import Compute

@Suite struct KernelCacheTests {
  @Test func whatIsKeptIsReadAndWhatIsDamagedIsNot() throws {
    let folder = try TrialFolder()
    let cache = KernelCache(folder.file("new/kernels"))
    #expect(cache.read("a") == nil)
    let image = (0..<5000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    cache.write(image, "a")
    #expect(cache.read("a") == image)
    #expect(cache.read("b") == nil)
    let path = folder.file("new/kernels/a.cubin")
    let bytes = try Files.read(path)
    for damage in [0, 30, 100, bytes.count - 1] {
      var damaged = bytes
      damaged[damage] ^= 1
      try AtomicFile.write(damaged, to: path)
      #expect(cache.read("a") == nil, "byte \(damage)")
    }
    for length in [0, 10, 87, bytes.count - 1] {
      try AtomicFile.write(Array(bytes.prefix(length)), to: path)
      #expect(cache.read("a") == nil, "\(length) bytes")
    }
    try AtomicFile.write(bytes + [0], to: path)
    #expect(cache.read("a") == nil)
    cache.write(image, "a")
    #expect(cache.read("a") == image)
  }

  @Test func withoutAPlaceNothingIsKept() throws {
    let folder = try TrialFolder()
    try AtomicFile.write("in the way", to: folder.file("file"))
    for cache in [KernelCache(nil), KernelCache(folder.file("file/kernels"))] {
      cache.write([1, 2, 3], "a")
      #expect(cache.read("a") == nil)
    }
  }

  /// Whatever the machine code depends on makes another key.
  @Test func aKeyIsOfTextHeadersArchitectureAndCompiler() throws {
    let sources = KernelSources(headers: [], files: [("a.cu", Array("one".utf8)), ("a.cu", Array("two".utf8)), ("b.cu", Array("one".utf8))])
    func key(_ file: Int, _ headers: [(String, String)] = [("h", "x")], _ architecture: String = "sm_90", _ compiler: String = "13.0") -> String {
      KernelCache.key(sources.files[file], headers: headers.map { (name: $0.0, text: $0.1) }, architecture: architecture, compiler: compiler)
    }
    let keys = [
      key(0), key(1), key(2), key(0, [("h", "y")]), key(0, [("hx", "")]), key(0, [("h", "x"), ("i", "")]), key(0, [("h", "x")], "sm_80"),
      key(0, [("h", "x")], "sm_90", "12.9"),
    ]
    #expect(Set(keys).count == keys.count)
    #expect(key(0) == key(0))
  }

  /// Machine code that a driver does not take, such as another machine's, is compiled again.
  @Test func machineCodeThatDoesNotLoadIsCompiledAgain() throws {
    let folder = try TrialFolder()
    let cache = KernelCache(folder.file("kernels"))
    let library = try Emulator.library()
    let compiler = try KernelCompiler(library)
    let sources = KernelSources.all.with(files: [("one.cu", Array(Self.one.utf8))])
    let key = KernelCache.key(sources.files[0], headers: sources.headers, architecture: "sm_90", compiler: compiler.version)
    cache.write(Array("no machine code of anything".utf8), key)
    var told: [Int] = []
    let device = try CUDADevice(CUDADriver(library), ordinal: 0, compiler: compiler, cache: cache, sources: sources) { told.append($0) }
    #expect(told.isEmpty, "what is kept is tried first")
    let storage = try device.allocate(4 * 64)
    device.launch("one", grid: 1, UInt64(storage.address))
    #expect(try device.download(storage.address, count: 64, as: Float.self).value() == (0..<64).map { Float($0) + 1 })
    #expect(cache.read(key).map { $0.count > 1000 } == true, "what was compiled is kept")
  }

  private static let one = """
    #include "device.cuh"
    KERNEL(64, 1) one(float *x) { x[threadIdx.x] += (float)threadIdx.x + 1; }
    """
}

@Suite struct KernelSourcesTests {
  @Test func everyKernelIsFoundOnce() throws {
    let sources = KernelSources.all
    let names = sources.files.flatMap(\.kernels).map(\.name)
    #expect(names.count == sources.files.reduce(0) { $0 + $1.text.split(separator: "KERNEL(").count - 1 })
    #expect(Set(names).count == names.count && names.count > 35)
    for kernel in sources.files.flatMap(\.kernels) {
      #expect(kernel.threads % 32 == 0 && kernel.threads <= 1024 && kernel.registerLimit >= 32 && kernel.registerLimit <= 255)
    }
    // No instruction of the machine stands outside device.cuh, and what is included is there.
    for file in sources.files {
      #expect(!file.text.contains("asm"), "\(file.name)")
      for line in file.text.split(separator: "\n") where line.hasPrefix("#include") {
        #expect(sources.headers.contains { line.contains("\"\($0.name)\"") }, "\(file.name): \(line)")
      }
    }
  }

  @Test func theLimitOfRegistersFollowsThreadsAndBlocks() {
    let sources = KernelSources(
      headers: [], files: [("a.cu", Array("x\nKERNEL(256, 2) first(A a) {}\n  KERNEL(1, 1) no\nKERNEL(512,1)   second_2(B b) { }\nKERNEL(128, 6) third(".utf8))])
    #expect(sources.files[0].kernels.map(\.name) == ["first", "second_2", "third"])
    #expect(sources.files[0].kernels.map(\.registerLimit) == [128, 128, 80])
  }

  @Test func whatPtxasSaysIsRead() {
    let log = """
      ptxas info    : 0 bytes gmem, 128 bytes cmem[3]
      ptxas info    : Compiling entry function 'first' for 'sm_90'
      ptxas info    : Function properties for first
      ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
      ptxas info    : Used 18 registers, used 1 barriers
      ptxas info    : Compiling entry function 'second_2' for 'sm_90'
      ptxas info    : Function properties for second_2
      ptxas         .     48 bytes stack frame, 20 bytes spill stores, 24 bytes spill loads
      ptxas info    : Used 255 registers, 16 bytes smem
      """
    #expect(
      KernelResources.parse(log) == [
        KernelResources(kernel: "first", registers: 18, spillBytes: 0, stackBytes: 0),
        KernelResources(kernel: "second_2", registers: 255, spillBytes: 44, stackBytes: 48),
      ])
    #expect(KernelResources.parse("").isEmpty)
  }
}
