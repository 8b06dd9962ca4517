import Arguments
import Compute
import Hub
import PluginHost
import Support

/// `doctor`: what this machine offers and what is missing.
enum DoctorCommand {
  static let spec = CommandSpec(
    name: "doctor", summary: "what this machine offers and what is missing",
    discussion:
      "With --kernels it compiles every GPU kernel with NVRTC, which needs no GPU, and prints what ptxas says of them; it fails where one does not compile, spills registers or takes more than it may.",
    examples: ["nano-reasoner doctor", "nano-reasoner doctor --kernels --arch sm_80,sm_90"],
    options: [
      .flag("kernels", "compile all GPU kernels and print their registers"),
      .value(
        "arch", .text, "architectures to compile for, as in sm_80,sm_90; default: the card's, or sm_80 and sm_90", placeholder: "LIST"),
      ModelOptions.json,
    ])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    if try arguments.flag("kernels") { return try KernelGate.run(arguments) }
    if try arguments.isGiven("arch") { throw .usage("--arch goes with --kernels") }
    let backend = try CPUBackend()
    let gpu = GPU()
    let registry = PluginRegistry()
    let python = PythonHelper.packages(["pyarrow", "huggingface_hub"])
    func package(_ name: String, _ use: String) -> (String, String, Bool) {
      let version = python?[name] ?? nil
      return (name, version ?? "not in \(PythonHelper.interpreter) (NR_PYTHON names another); \(use)", version != nil)
    }
    func system(_ name: String, _ names: [String], _ use: String) -> (String, String, Bool) {
      let library = DynamicLibrary.first(of: names)
      return (name, library?.path ?? "\(names[0]) not found; \(use)", library != nil)
    }
    let findings: [(String, String, Bool)] = [
      ("program", Files.program ?? "unknown", true),
      ("cpu", backend.name, true),
      ("memory", memory(), true),
      ("weights", "float32, bfloat16, nf4 (--precision, --quantize)", true),
    ] + gpu.findings + [
      ("plugins", plugins(registry), true),
      ("swift compiler", command("swiftc"), command("swiftc") != "not found"),
      ("C compiler", command("cc"), command("cc") != "not found"),
      ("python", python == nil ? "\(PythonHelper.interpreter) does not answer" : PythonHelper.interpreter, python != nil),
      package("pyarrow", "Parquet files are read with it"),
      package("huggingface_hub", "`download` takes it where it is there"),
      system("libcurl", HubDownload.curlNames, "`download` takes it where huggingface_hub is missing"),
      system("zlib", CompressedFile.gzipNames, ".gz files are read with it"),
      system("zstd", CompressedFile.zstandardNames, ".zst files are read with it"),
      ("hub cache", HubCache.user.path, true),
    ]
    if try arguments.flag("json") {
      var object = JSON.Object()
      for (name, value, isFine) in findings { object[name] = ["found": .bool(isFine), "value": .string(value)] }
      return try Output.json(.object(object))
    }
    for (name, value, isFine) in findings {
      let padded = name + String(repeating: " ", count: max(0, 16 - name.count))
      try Output.line("\(isFine ? "yes" : "no ")  \(padded)\(value)")
    }
    try Output.line("\n\(gpu.conclusion)")
  }

  /// What there is for computing on a GPU.
  private struct GPU {
    let findings: [(String, String, Bool)]
    let conclusion: String

    init() {
      let libraries = CUDALibraries()
      var driver: CUDADriver?
      var findings: [(String, String, Bool)] = []
      var cards: [CUDADeviceProperties] = []
      if let library = libraries.driver {
        do throws(Failure) {
          let found = try CUDADriver(library)
          driver = found
          findings.append(("cuda driver", "\(found.versionText) (\(found.path))", true))
          for ordinal in 0..<found.deviceCount { cards.append(try found.device(ordinal)) }
        } catch { findings.append(("cuda driver", error.message, false)) }
      } else {
        findings.append(("cuda driver", "libcuda.so.1 not found; it comes with the driver of an NVIDIA card", false))
      }
      for card in cards {
        let isNewEnough = card.capability >= CUDADeviceProperties.leastCapability
        findings.append(
          ("cuda:\(card.ordinal)",
            "\(card.name), sm_\(card.capability), \(card.multiprocessors) multiprocessors, \(card.memoryBytes >> 30) GiB\(isNewEnough ? "" : "; kernels need sm_\(CUDADeviceProperties.leastCapability) or newer")",
            isNewEnough))
      }
      if let driver, driver.deviceCount == 0 { findings.append(("cuda:0", "the driver sees no card", false)) }
      let library = libraries.compiler(forDriver: driver?.version ?? 0)
      let compiler = library.flatMap { try? KernelCompiler($0) }
      let package = CUDALibraries.packageOfCompiler(forDriver: driver?.version ?? 13000)
      findings.append(
        ("nvrtc", compiler.map { "\($0.version) (\($0.path))" } ?? "libnvrtc.so not found; it compiles kernels for a GPU: pip install \(package)", compiler != nil))
      let products = library.flatMap { libraries.products(beside: $0, forDriver: driver?.version ?? 0) }
      findings.append(
        ("cublasLt",
          products?.path
            ?? "libcublasLt.so not found; with it gradients in bfloat16 are faster, without it kernels of ours make them: pip install \(CUDALibraries.packageOfProducts(forDriver: driver?.version ?? 13000))",
          products != nil))
      findings.append(("kernel cache", KernelCache.user.folder ?? "none: HOME is not set", KernelCache.user.folder != nil))
      self.findings = findings
      conclusion =
        if driver == nil {
          "No CUDA driver: everything runs on the CPU."
        } else if cards.contains(where: { $0.capability >= CUDADeviceProperties.leastCapability }) {
          compiler != nil ? "--device auto takes cuda:0." : "With NVRTC (pip install \(package)) --device auto would take cuda:0; without, everything runs on the CPU."
        } else {
          "No card that kernels are written for: everything runs on the CPU."
        }
    }
  }


  private static func plugins(_ registry: PluginRegistry) -> String {
    let names = registry.plugins.map(\.id)
    return names.isEmpty ? "none found; see `nano-reasoner plugin list`" : names.joined(separator: ", ")
  }

  private static func memory() -> String {
    return "\(Format.fixed(Double(physicalMemory()) / 1_073_741_824, 1)) GiB"
  }

  private static func command(_ name: String) -> String {
    for folder in (environmentVariable("PATH") ?? "").split(separator: ":") where Files.exists("\(folder)/\(name)") {
      return "\(folder)/\(name)"
    }
    return "not found"
  }
}
