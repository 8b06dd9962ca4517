import Support

/// What a plugin is built with: header, Swift overlay, build script, templates.
enum PluginInterface {
  /// `NR_PLUGIN_API`; beside the source tree the program was built in; or where `make install` puts it.
  static func folder() throws(Failure) -> String {
    if let named = environmentVariable("NR_PLUGIN_API") { return named }
    var folder = Files.directory(of: Files.program ?? ".")
    for _ in 0..<6 {
      for candidate in ["\(folder)/Sources/PluginAPI", "\(folder)/share/nano-reasoner/plugin-api"] {
        if Files.exists(candidate + "/C/include/nr_plugin.h") { return candidate }
      }
      folder = Files.directory(of: folder)
    }
    throw .missingInput(
      "nr_plugin.h was not found in Sources/PluginAPI or share/nano-reasoner/plugin-api above \(Files.program ?? "the program"); name its folder with NR_PLUGIN_API"
    )
  }
}
