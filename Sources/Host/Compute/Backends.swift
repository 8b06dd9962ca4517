import Support

/// The one place that knows which backends there are.
package enum Backends {
  /// What `--device` may be.
  package static let devices = "auto, cpu, cuda or cuda:N"

  package static func isDevice(_ name: String) -> Bool {
    ["auto", "cpu", "cuda"].contains(name) || name.hasPrefix("cuda:") && Int(name.dropFirst(5)).map { $0 >= 0 } ?? false
  }

  /// - Parameters:
  ///   - device: where to compute; `auto` takes a GPU where there is one that can be used.
  ///   - bfloat16: whether a GPU computes in bfloat16; else in float32.
  ///   - onCPU: whether the CPU does as well: it is asked for by name, since float32 is exact there and everywhere.
  ///   - threads: of the CPU; nil takes one per core this process may run on.
  ///   - memory: bytes that may be taken; nil: what there is.
  ///   - plans: nothing is computed: a GPU need not be here where its memory is said.
  ///   - kernels: where machine code of kernels is kept.
  ///   - note: told in one line what was taken and why, where a GPU was asked for or is there.
  package static func open(
    device: String = "auto", bfloat16: Bool = false, onCPU: Bool = false, threads: Int? = nil, memory: Int? = nil, plans: Bool = false, kernels: KernelCache = .user,
    note: (String) -> Void = { _ in }
  ) throws(Failure) -> any Backend {
    if device == "cpu" { return try cpu(onCPU, threads: threads, memory: memory) }
    if plans, device != "auto", CUDALibraries().driver == nil {
      guard let memory else {
        throw .usage("--device \(device): no CUDA driver (libcuda.so.1) on this machine; --memory GIB says the memory of a card that is not here, to plan for it")
      }
      note("device: a card that is not here, of \(memory >> 30) GiB, \(bfloat16 ? "in bfloat16" : "in float32")")
      return bfloat16 ? try TensorCoreBackend(planningFor: memory, threads: threads) : try CUDABackend(planningFor: memory, threads: threads)
    }
    do throws(Failure) {
      let ordinal = device.hasPrefix("cuda:") ? Int(device.dropFirst(5)) ?? 0 : 0
      return try cuda(ordinal, bfloat16, threads: threads, memory: memory, kernels, note)
    } catch {
      if device != "auto" { throw Failure(.usage, "--device \(device): \(error.message)") }
      if CUDALibraries().driver != nil { note("device: cpu (\(error.message))") }
      return try cpu(onCPU, threads: threads, memory: memory)
    }
  }

  private static func cpu(_ bfloat16: Bool, threads: Int?, memory: Int?) throws(Failure) -> any Backend {
    bfloat16 ? try BFloat16CPUBackend(threads: threads, memory: memory) : try CPUBackend(threads: threads, memory: memory)
  }

  private static func cuda(_ ordinal: Int, _ bfloat16: Bool, threads: Int?, memory: Int?, _ kernels: KernelCache, _ note: (String) -> Void) throws(Failure)
    -> any Backend
  {
    let libraries = CUDALibraries()
    guard let library = libraries.driver else {
      throw .usage("no CUDA driver (libcuda.so.1) on this machine; it comes with the driver of an NVIDIA card")
    }
    let driver = try CUDADriver(library)
    let card = try driver.device(ordinal)
    guard let found = libraries.compiler(forDriver: driver.version) else {
      throw .usage("\(card.name) is there, but NVRTC (libnvrtc.so), which compiles its kernels, is not: pip install \(CUDALibraries.packageOfCompiler(forDriver: driver.version))")
    }
    let compiler = try KernelCompiler(found)
    let device = try CUDADevice(driver, ordinal: ordinal, compiler: compiler, cache: kernels) { count in
      note("compiling \(count) files of kernels for sm_\(card.capability); they are kept in \(kernels.folder ?? "no place") for the next time")
    }
    let backend: CUDABackend
    if bfloat16 {
      backend = try TensorCoreBackend(
        device, products: { libraries.products(beside: found, forDriver: driver.version).flatMap { try? CUBLASLt($0) } }, threads: threads,
        memory: memory)
    } else {
      backend = try CUDABackend(device, threads: threads, memory: memory)
    }
    note("device: cuda:\(ordinal) (\(card.name), \(card.memoryBytes >> 30) GiB; driver \(driver.versionText), NVRTC \(compiler.version)), \(bfloat16 ? "in bfloat16; --precision fp32 computes as the CPU does" : "in float32; --precision bf16 computes on tensor cores")")
    return backend
  }
}
