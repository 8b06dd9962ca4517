import Support

/// Where NVIDIA's libraries may lie on this machine: in a CUDA toolkit, or in the packages that `pip` brings.
package struct CUDALibraries: Sendable {
  /// The driver, which comes with the card; nil where this machine has none.
  package let driver: DynamicLibrary?

  package init() {
    let own = environmentVariable("NR_CUDA_LIBRARIES").map { $0 + "/libcuda.so.1" }
    driver = DynamicLibrary.first(of: [own, "libcuda.so.1"].compactMap { $0 })
  }

  /// Folders where libraries besides the driver may lie, the likeliest first.
  private static func folders() -> [String] {
    var folders = [environmentVariable("NR_CUDA_LIBRARIES")].compactMap { $0 }
    for name in ["CUDA_HOME", "CUDA_PATH"] {
      if let home = environmentVariable(name) { folders.append(home + "/lib64") }
    }
    folders += Self.folders(in: "/usr/local") { $0.hasPrefix("cuda") }.reversed().map { $0 + "/lib64" }
    if let environment = environmentVariable("VIRTUAL_ENV") { folders += ofPackages(packages(ofEnvironment: environment)) }
    return folders
  }

  private static func ofPackages(_ packages: [String]) -> [String] {
    packages.flatMap { packages in ["cu13/lib", "cuda_nvrtc/lib", "cublas/lib"].map { "\(packages)/nvidia/\($0)" } }
  }

  private static func folders(in path: String, where isWanted: (String) -> Bool) -> [String] {
    ((try? Files.list(path)) ?? []).filter(isWanted).sorted().map { "\(path)/\($0)" }
  }

  private static func packages(ofEnvironment path: String) -> [String] {
    folders(in: path + "/lib") { $0.hasPrefix("python") }.map { $0 + "/site-packages" }
  }

  private static func packagesOfPython() -> [String] {
    let script = "import site, json; print(json.dumps(site.getsitepackages() + [site.getusersitepackages()]))"
    guard let process = try? HelperProcess(PythonHelper.words("-c", script), log: nil), let line = process.readLine(within: 30),
      let answer = try? JSON.parse(line, name: "python")
    else { return [] }
    return (answer.array ?? []).compactMap(\.string)
  }

  /// The run-time compiler of kernels, of a version that the driver understands (0: any), the newest first; nil where there is none. The
  /// `python3` on the path is asked for its packages, which starts a process, where there is none in other places.
  package func compiler(forDriver version: Int = 0) -> DynamicLibrary? {
    // NVRTC 13 opens its built-in functions by name alone: what has been loaded by path is found by that name.
    func openBuiltins(_ folder: String, _ major: Int) {
      for builtins in (try? Files.list(folder)) ?? [] where builtins.hasPrefix("libnvrtc-builtins.so.\(major)") {
        _ = try? DynamicLibrary("\(folder)/\(builtins)")
      }
    }
    let majors = Self.majors(forDriver: version)
    return Self.library("libnvrtc", majors, in: Self.folders(), named: true, before: openBuiltins)
      ?? Self.library("libnvrtc", majors, in: Self.ofPackages(Self.packagesOfPython()), named: false, before: openBuiltins)
  }

  /// NVIDIA's matrix products, where a toolkit has them or beside the compiler that was found; nil where there are none.
  package func products(beside compiler: DynamicLibrary, forDriver version: Int = 0) -> DynamicLibrary? {
    let folder = Files.directory(of: compiler.path)
    let packages = Files.directory(of: Files.directory(of: folder))
    return Self.library(
      "libcublasLt", Self.majors(forDriver: version), in: Self.folders() + [folder, packages + "/cublas/lib"], named: true) { _, _ in }
  }

  /// What a driver understands, the newest first.
  private static func majors(forDriver version: Int) -> [Int] { [13, 12].filter { version == 0 || version / 1000 >= $0 } }

  /// - Parameter named: whether the loader is asked too.
  private static func library(
    _ name: String, _ majors: [Int], in folders: [String], named: Bool, before: (_ folder: String, _ major: Int) -> Void
  ) -> DynamicLibrary? {
    for major in majors {
      for folder in folders {
        let path = "\(folder)/\(name).so.\(major)"
        guard Files.exists(path) else { continue }
        before(folder, major)
        if let library = try? DynamicLibrary(path) { return library }
      }
      if named, let library = try? DynamicLibrary("\(name).so.\(major)") { return library }
    }
    return nil
  }

  /// What to install where there are no products.
  package static func packageOfProducts(forDriver version: Int) -> String { version / 1000 >= 13 ? "nvidia-cublas" : "nvidia-cublas-cu12" }

  /// What to install where there is no compiler.
  package static func packageOfCompiler(forDriver version: Int) -> String {
    version / 1000 >= 13 ? "nvidia-cuda-nvrtc" : "nvidia-cuda-nvrtc-cu12"
  }
}
