import Arguments
import Compute
import Support

/// `doctor --kernels`: every kernel through NVRTC and ptxas, for every architecture asked for.
enum KernelGate {
  private struct Row {
    let file: String
    let architecture: String
    let kernel: KernelSources.Kernel
    let resources: KernelResources

    var fault: String? {
      if resources.spillBytes > 0 { return "spills \(resources.spillBytes) bytes" }
      if resources.stackBytes > 0 { return "keeps \(resources.stackBytes) bytes of a thread in memory" }
      return resources.registers > kernel.registerLimit ? "more than \(kernel.registerLimit) registers" : nil
    }
  }

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let libraries = CUDALibraries()
    let driver = libraries.driver.flatMap { try? CUDADriver($0) }
    guard let library = libraries.compiler(forDriver: driver?.version ?? 0) else {
      throw .missingInput("NVRTC (libnvrtc.so) not found: pip install \(CUDALibraries.packageOfCompiler(forDriver: driver?.version ?? 13000)), or name its folder with NR_CUDA_LIBRARIES")
    }
    let compiler = try KernelCompiler(library)
    let card = driver.flatMap { try? $0.device(0) }.map { ["sm_\($0.capability)"] }
    let architectures = try arguments.optionalText("arch").map { $0.split(separator: ",").map(String.init) } ?? card ?? ["sm_80", "sm_90"]
    let sources = KernelSources.all
    var rows: [Row] = []
    let watch = Stopwatch()
    for file in sources.files {
      for architecture in architectures {
        let output = try compiler.compile(file, headers: sources.headers, architecture: architecture)
        let resources = KernelResources.parse(output.log)
        for kernel in file.kernels {
          guard let found = resources.first(where: { $0.kernel == kernel.name }) else {
            throw .internalError("\(file.name) for \(architecture): ptxas says nothing of \(kernel.name)")
          }
          rows.append(Row(file: file.name, architecture: architecture, kernel: kernel, resources: found))
        }
      }
    }
    let faults = rows.filter { $0.fault != nil }
    if try arguments.flag("json") {
      try Output.json([
        "nvrtc": .string(compiler.version), "seconds": .number(watch.seconds),
        "kernels": .array(
          rows.map { row in
            [
              "file": .string(row.file), "kernel": .string(row.kernel.name), "architecture": .string(row.architecture),
              "threads": .integer(row.kernel.threads), "blocks": .integer(row.kernel.blocks), "registers": .integer(row.resources.registers),
              "register_limit": .integer(row.kernel.registerLimit), "spill_bytes": .integer(row.resources.spillBytes),
              "stack_bytes": .integer(row.resources.stackBytes),
            ]
          }),
      ])
    } else {
      var table = TextTable(
        ["kernel", "file"].map { TextTable.Column($0) } + (["threads", "blocks"] + architectures).map { TextTable.Column($0, .right) })
      for file in sources.files {
        for kernel in file.kernels {
          table.append(
            [kernel.name, file.name, "\(kernel.threads)", "\(kernel.blocks)"]
              + architectures.map { architecture in
                rows.first { $0.kernel.name == kernel.name && $0.architecture == architecture }.map {
                  "\($0.resources.registers) of \($0.kernel.registerLimit)\($0.fault.map { ", \($0)" } ?? "")"
                } ?? "–"
              })
        }
      }
      try Output.write(table.text())
      try Output.line("\(rows.count) kernels, NVRTC \(compiler.version), \(Format.fixed(watch.seconds, 1)) s; registers of a thread, and how many it may have")
    }
    guard faults.isEmpty else {
      throw .internalError(
        faults.map { "\($0.kernel.name) of \($0.file) for \($0.architecture): \($0.fault ?? "")" }.joined(separator: "; "))
    }
  }
}
