import Arguments
import Compute
import Hub
import PluginHost
import Support

/// `doctor`: what this machine offers and what is missing.
enum DoctorCommand {
  static let spec = CommandSpec(
    name: "doctor", summary: "what this machine offers and what is missing", options: [ModelOptions.json])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let backend = try Backends.open()
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
      ("cuda driver", library("libcuda.so.1"), isThere("libcuda.so.1")),
      ("nvrtc", library("libnvrtc.so"), isThere("libnvrtc.so")),
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
    if !isThere("libcuda.so.1") { try Output.line("\nNo CUDA driver: everything runs on the CPU.") }
  }

  private static func plugins(_ registry: PluginRegistry) -> String {
    let names = registry.plugins.map(\.id)
    return names.isEmpty ? "none found; see `nano-reasoner plugin list`" : names.joined(separator: ", ")
  }

  private static func isThere(_ name: String) -> Bool { (try? DynamicLibrary(name)) != nil }
  private static func library(_ name: String) -> String { isThere(name) ? name : "\(name) not found" }

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
