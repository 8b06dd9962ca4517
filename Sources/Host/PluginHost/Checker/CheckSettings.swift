import Support

/// What a check is asked for; it travels to the child processes as one word of JSON.
package struct CheckSettings: Sendable, Equatable {
  /// The plugin's library.
  package let path: String
  /// `key=value` settings: every test runs with them. Choices that are not set are tried one after another.
  package var parameters: [String] = []
  package var seed: UInt64 = 42
  /// The form that runs before training: fewer points, one child process.
  package var isQuick = false
  package var tests: [CheckTest] = CheckTest.allCases
  /// Seconds that one child process may take.
  package var timeLimit = 60.0
  /// Seconds after which no further test is begun.
  package var wholeLimit = 900.0

  package init(path: String) { self.path = path }

  /// What the user knows the plugin by: of a loss in Python its file.
  package var shownPath: String { PythonLoss.source(ofLibrary: path) ?? path }

  package var json: JSON {
    [
      "path": .string(path), "parameters": .array(parameters.map { .string($0) }), "seed": .string(String(seed)),
      "quick": .bool(isQuick), "tests": .array(tests.map { .string($0.rawValue) }), "time_limit": .number(timeLimit),
    ]
  }

  init?(json: JSON) {
    guard let path = json["path"]?.string, let parameters = json["parameters"]?.array?.compactMap(\.string),
      let seed = json["seed"]?.string.flatMap({ UInt64($0) }), let isQuick = json["quick"]?.bool,
      let tests = json["tests"]?.array?.compactMap({ $0.string.flatMap(CheckTest.init) }),
      let timeLimit = json["time_limit"]?.double
    else { return nil }
    self.init(path: path)
    (self.parameters, self.seed, self.isQuick, self.tests) = (parameters, seed, isQuick, tests)
    self.timeLimit = timeLimit
  }
}
