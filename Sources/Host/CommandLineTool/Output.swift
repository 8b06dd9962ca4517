import Arguments
import Support

/// Standard output: results, and nothing else.
enum Output {
  /// On a terminal nothing in the text steers it; a file or a pipe gets the bytes as they are.
  static func write(_ text: String) throws(Failure) {
    try writeStyled(isTerminal ? OneLine.lines(text) : text)
  }

  /// Text whose colours are the program's own and whose other parts are escaped already.
  static func writeStyled(_ text: String) throws(Failure) {
    try AtomicFile.write(Array(text.utf8), descriptor: STDOUT_FILENO, name: AtomicFile.standardOutput)
  }

  static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

  /// A result in words beside a file that was written; where the file itself is standard output, the words go beside it.
  static func line(_ text: String, beside out: String) throws(Failure) {
    guard AtomicFile.isStandardOutput(out) else { return try line(text) }
    try AtomicFile.write(Array((OneLine.text(text) + "\n").utf8), descriptor: STDERR_FILENO, name: "standard error")
  }

  /// What is no result, on standard error; where that is closed there is nobody to tell.
  static func note(_ text: String) {
    try? AtomicFile.write(Array((OneLine.text(text) + "\n").utf8), descriptor: STDERR_FILENO, name: "standard error")
  }

  /// Refuses two results for one place.
  static func checkSeparate(_ arguments: ParsedArguments) throws(Failure) {
    guard try arguments.flag("json"), let out = try arguments.optionalText("out"), AtomicFile.isStandardOutput(out) else { return }
    throw .usage("--json and --out \(out) both write to standard output; name a file with --out, or leave --json out")
  }

  static func line(_ text: String) throws(Failure) { try write(text + "\n") }
  static func json(_ value: JSON) throws(Failure) { try line(value.text()) }
}
