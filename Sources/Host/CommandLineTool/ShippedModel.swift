import Support

/// The base model that ships with the program.
enum ShippedModel {
  /// Beside the source tree the program was built in, or where `make install` puts it.
  static func folder() throws(Failure) -> String {
    if let named = environmentVariable("NR_BASE_MODEL") { return named }
    var tried: [String] = []
    var folder = Files.directory(of: Files.program ?? ".")
    for _ in 0..<6 {
      for candidate in ["\(folder)/Models/base", "\(folder)/share/nano-reasoner/base"] {
        if Files.exists(candidate + "/config.json") { return candidate }
        tried.append(candidate)
      }
      folder = Files.directory(of: folder)
    }
    throw .missingInput(
      "the base model was not found (looked for \(tried[0]) and in the folders above); name it with --base or NR_BASE_MODEL, or make it: nano-reasoner pretrain --out DIR"
    )
  }
}
