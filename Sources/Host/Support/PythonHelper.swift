/// How Python processes of this program are started: `$NR_PYTHON` or `python3`, with `-I`, so that what lies in the current folder or
/// beside the script, such as a json.py, is not imported.
package enum PythonHelper {
  package static var interpreter: String { environmentVariable("NR_PYTHON") ?? "python3" }

  /// A script with what all of ours share in front: `find_user_packages()`.
  package static func script(_ own: [UInt8]) -> [UInt8] { PackageResources.python_packages_py + own }

  /// The words that run a script, given as a path or behind `-c`.
  package static func words(_ script: String...) -> [String] { [interpreter, "-I"] + script }

  /// The versions of packages that the interpreter has; nil where there is no interpreter.
  package static func packages(_ names: [String]) -> [String: String?]? {
    let own = """
      import json
      from importlib import metadata

      def version(name):
          try:
              return metadata.version(name)
          except metadata.PackageNotFoundError:
              return None

      find_user_packages()
      print(json.dumps({name: version(name) for name in sys.argv[1:]}))
      """
    let script = String(decoding: script(Array(own.utf8)), as: UTF8.self)
    guard let process = try? HelperProcess(words("-c", script) + names, log: nil), let line = process.readLine(within: 30),
      let answer = try? JSON.parse(line, name: "python")
    else { return nil }
    return Dictionary(uniqueKeysWithValues: names.map { ($0, answer[$0]?.string) })
  }
}
