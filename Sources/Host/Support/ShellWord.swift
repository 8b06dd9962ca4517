/// Words of a command line that is shown to be copied into a shell.
package enum ShellWord {
  /// The program as it was called, so that the line works where this one did.
  package static var program: String { quoted(CommandLine.arguments.first ?? "nano-reasoner") }

  /// The word as a POSIX shell reads it back.
  static func quoted(_ word: String) -> String {
    let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,+@%".utf8)
    if !word.isEmpty, word.utf8.allSatisfy(plain.contains) { return word }
    return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
  }

  package static func line(_ words: [String]) -> String { words.map(quoted).joined(separator: " ") }
}
