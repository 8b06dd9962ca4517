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

/// The C compiler, as a word of a command of the shell: `cc`, or where there is none the clang that every Swift toolchain has beside its
/// swiftc. Where there is neither, what needs one fails by that name; it does not pass unseen.
package let compiler: String = {
  let clang = #"clang="$(dirname "$(readlink -f "$(command -v swiftc)")")/clang" && test -x "$clang" && echo "$clang""#
  let found = shell("command -v cc || { \(clang) ; } || command -v clang")
  return found.status == 0 ? "'\(String(found.output.split(separator: "\n").last ?? "cc"))'" : "cc"
}()

/// Makes a plugin of C source: a file beside the library.
///
/// - Parameter options: of the compiler.
package func compilePlugin(_ source: String, to library: String, options: String = "") throws(Failure) {
  try AtomicFile.write(source, to: library + ".c")
  let result = shell(
    "\(compiler) -std=c11 -shared -fPIC -O1 -w -I '\(Place.pluginHeader)' \(options) -o '\(library)' '\(library).c'")
  if result.status != 0 { throw .internalError("\(compiler) failed: \(result.output)") }
}
