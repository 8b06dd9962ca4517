import Arguments
import Support

/// `plugin new`: a folder with a plugin that passes `plugin check`, to begin an algorithm from.
enum PluginNewCommand {
  enum Language: String, CaseIterable {
    case swift, python, c, rust

    var template: String {
      switch self {
      case .swift: "Plugin.swift"
      case .python: "plugin.py"
      case .c: "plugin.c"
      case .rust: "plugin.rs"
      }
    }

    func source(_ name: String) -> String {
      switch self {
      case .swift: PluginNewCommand.typeName(name) + ".swift"
      case .python: name + ".py"
      case .c: name + ".c"
      case .rust: name + ".rs"
      }
    }
  }

  static let spec = CommandSpec(
    name: "new", summary: "write a folder with a plugin to begin from: source, build command, test",
    discussion:
      "The plugin is REINFORCE with a group baseline in one file and passes `plugin check` as it is. It is built with the compiler and the files of nano-reasoner alone, in Python it is not built at all: nothing of the host is rebuilt.",
    examples: ["nano-reasoner plugin new my-loss", "nano-reasoner plugin new my-loss --lang python", "nano-reasoner plugin new my-loss --lang c --out ~/my-loss"],
    options: [
      .positional("name", .checked("lower-case letters, digits, - and _, beginning with a letter", isName), "the plugin's id"),
      .value("lang", .choice(Language.self), default: "swift", "the language of its source"),
      .value("out", .path, "the folder to write; default: the name", group: .output, placeholder: "DIR"),
    ])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let name = try arguments.text("name")
    let language: Language = try arguments.choice("lang")
    let folder = try arguments.optionalText("out") ?? name
    let content = Files.isDirectory(folder) ? try Files.list(folder) : []
    if !content.isEmpty || (Files.exists(folder) && !Files.isDirectory(folder)) {
      throw .usage("\(folder): is there already; choose another --out or remove it")
    }
    let interface = try PluginInterface.folder()
    let source = language.source(name)
    var values = [
      "ID": name, "TYPE": typeName(name), "SOURCE": source, "LIBRARY": "libnr-\(name).so", "API": interface, "BUILD": "./build.sh",
      "PROGRAM": Files.program ?? "nano-reasoner",
    ]
    let templates = interface + "/Templates/"
    var files = [("\(language.rawValue)/\(language.template)", source), ("test.sh", "test.sh")]
    if language == .python {
      // A derivative is written where torch is not there to find it.
      let hasTorch = PythonHelper.packages(["torch"])?["torch"].map { $0 != nil } ?? false
      values["RESULT"] = hasTorch ? "value  # without torch: return value, -batch.advantages / batch.update_tokens" : "value, -batch.advantages / batch.update_tokens  # with torch: return value"
      // The source is what is run.
      (values["LIBRARY"], values["BUILD"]) = (source, "")
      files.append(("python/README.md", "README.md"))
    } else {
      files += [("\(language.rawValue)/build.sh", "build.sh"), ("README.md", "README.md")]
    }
    if language == .rust { files.append(("rust/nr_plugin.rs", "nr_plugin.rs")) }
    try Files.makeDirectory(folder)
    for (template, file) in files {
      try AtomicFile.write(filled(try Files.readText(templates + template), values), to: "\(folder)/\(file)")
      if file.hasSuffix(".sh"), unsafe chmod("\(folder)/\(file)", 0o755) != 0 {
        throw .inputOutput("\(folder)/\(file): cannot make it executable: \(lastSystemError())")
      }
    }
    try example().write(to: folder + "/example.safetensors")
    let build = language == .python ? "" : "build it with \(folder)/build.sh, "
    try Output.line("\(folder)/\(source) is the plugin; \(build)prove it with \(folder)/test.sh")
  }

  /// The batch that `test.sh` knows the loss of.
  private static func example() -> SafetensorsWriter {
    var writer = SafetensorsWriter()
    writer.add("group_offsets", [0, 2, 4] as [Int64], shape: [3])
    writer.add("token_offsets", [0, 2, 3, 4, 4] as [Int64], shape: [5])
    writer.add("rewards", [1, 0, 1, 1] as [Float], shape: [4])
    writer.add("sequence_flags", [2, 0, 2, 2] as [UInt8], shape: [4])
    for name in ["current", "old", "reference", "sampler"] {
      writer.add(name, [-1, -2, -0.5, -3] as [Float], shape: [4])
    }
    for name in ["entropy", "values", "old_values"] { writer.add(name, [1, 1, 1, 1] as [Float], shape: [4]) }
    return writer
  }

  private static func filled(_ template: String, _ values: [String: String]) -> String {
    var parts = template.split(separator: "@", omittingEmptySubsequences: false).map(String.init)
    // Odd parts stand between two marks; one that is no name, as in Swift's attributes, keeps its marks.
    var text = parts.removeFirst()
    while !parts.isEmpty {
      let part = parts.removeFirst()
      if let value = values[part], !parts.isEmpty { text += value + parts.removeFirst() } else { text += "@" + part }
    }
    return text
  }

  /// my-loss as MyLoss.
  fileprivate static func typeName(_ name: String) -> String {
    name.split { $0 == "-" || $0 == "_" }.map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
  }

  private static func isName(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count) && (97...122).contains(text.utf8.first ?? 0)
      && text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 95 || $0 == 45 }
  }
}
