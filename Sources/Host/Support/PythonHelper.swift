/// How Python processes of this program are started: `$NR_PYTHON` or `python3`, with `-I`, so that what lies in the current folder or
/// beside the script, such as a json.py, is not imported.
package enum PythonHelper {
  package static var interpreter: String { environmentVariable("NR_PYTHON") ?? "python3" }

  /// A script with what all of ours share in front: `find_user_packages()`.
  package static func script(_ own: [UInt8]) -> [UInt8] { PackageResources.python_packages_py + own }

  /// The words that run a script, given as a path or behind `-c`.
  package static func words(_ script: String...) -> [String] { [interpreter, "-I"] + script }
}
