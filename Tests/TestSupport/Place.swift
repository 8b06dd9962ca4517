import Support

/// Where tests find things.
package enum Place {
  package static let tests = Files.directory(of: Files.directory(of: #filePath))
  package static let repository = Files.directory(of: tests)
  /// The folder of the test program: program and plugins are there as they were built.
  package static let build = Files.directory(of: Files.program ?? ".")
  /// The program. It is what a child process is started from, too: a test cannot start itself.
  package static let tool = build + "/nano-reasoner"
  /// The header that plugins in C are made with.
  package static let pluginHeader = repository + "/Sources/PluginAPI/C/include"

  /// A small random model with a tokenizer, an adapter of it, and lines of text, by transformers and peft; see the README there.
  package static let model = tests + "/TrainingTests/Goldens/tied"
  package static let adapter = tests + "/TrainingTests/Goldens/lora_steps/initial_adapter"
  package static let texts = tests + "/TrainingTests/Goldens/data.jsonl"
  package static let transformerGoldens = tests + "/TransformerTests/Goldens"

  package static func library(_ id: String) -> String { "\(build)/libnr-\(id).so" }
}
