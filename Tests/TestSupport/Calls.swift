import Support

/// The failure that a call ends in; nil where it succeeds.
package func failure<T>(_ body: () throws(Failure) -> T) -> Failure? {
  do throws(Failure) {
    _ = try body()
    return nil
  } catch { return error }
}

/// Runs a command by the shell; its output is standard output and error together.
package func shell(_ command: String) -> (status: Int32, output: String) {
  guard let stream = unsafe popen("{ \(command) ; } 2>&1", "r") else { return (-1, lastSystemError()) }
  let output = unsafe try? Files.readAll(fileno(stream), name: command)
  let status = unsafe pclose(stream)
  return (status & 0x7F == 0 ? (status >> 8) & 0xFF : -1, String(decoding: output ?? [], as: UTF8.self))
}

package let hasCompiler = shell("command -v cc").status == 0

/// Makes a plugin of C source: a file beside the library.
///
/// - Parameter options: of the compiler.
package func compilePlugin(_ source: String, to library: String, options: String = "") throws(Failure) {
  try AtomicFile.write(source, to: library + ".c")
  let result = shell(
    "cc -std=c11 -shared -fPIC -O1 -w -I '\(Place.pluginHeader)' \(options) -o '\(library)' '\(library).c'")
  if result.status != 0 { throw .internalError("cc failed: \(result.output)") }
}
