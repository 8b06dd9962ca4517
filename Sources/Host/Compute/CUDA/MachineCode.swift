import Support

/// The machine code of files of kernels for one architecture: kept from before, or compiled now.
struct MachineCode {
  private let sources: KernelSources
  private let architecture: String
  private let compiler: KernelCompiler
  private let cache: KernelCache
  private let keys: [String]

  /// Of one file.
  struct Image {
    let bytes: [UInt8]
    let isKept: Bool
  }

  init(_ sources: KernelSources, architecture: String, _ compiler: KernelCompiler, _ cache: KernelCache) {
    self.sources = sources
    self.architecture = architecture
    self.compiler = compiler
    self.cache = cache
    keys = sources.files.map { KernelCache.key($0, headers: sources.headers, architecture: architecture, compiler: compiler.version) }
  }

  /// Compiles a file and keeps what came of it.
  func compiled(_ index: Int) throws(Failure) -> [UInt8] {
    let image = try compiler.compile(sources.files[index], headers: sources.headers, architecture: architecture).image
    cache.write(image, keys[index])
    return image
  }

  /// The machine code of each file; what is missing is compiled, several files at a time.
  ///
  /// - Parameter progress: called with the number of files that have to be compiled, where there are any.
  func images(_ progress: (Int) -> Void) throws(Failure) -> [Image] {
    var images = keys.map { cache.read($0).map { Image(bytes: $0, isKept: true) } }
    let missing = images.indices.filter { images[$0] == nil }
    if !missing.isEmpty { progress(missing.count) }
    let results = concurrently(missing.count) { index -> Result<[UInt8], Failure> in
      do throws(Failure) { return .success(try compiled(missing[index])) } catch { return .failure(error) }
    }
    for (index, result) in zip(missing, results) { images[index] = Image(bytes: try result.get(), isKept: false) }
    return images.compactMap { $0 }
  }
}
