import Support

/// A function in a Python file with the signature of TRL's reward functions.
struct PythonDialect: RewardDialect {
  let path: String
  let function: String?
  /// Of the file as the run began with it.
  let sha256: String
  /// The columns that the function is given.
  let columns: [String]

  /// Importing may mean loading a model.
  private static let patience = 600.0

  var largestBatch: Int { 32 }
  private var label: String { path + (function.map { ":\($0)" } ?? "") }

  func start() throws(Failure) -> HelperProcess {
    guard try SHA256.hex(file: path) == sha256 else {
      throw .badData("--reward \(label): the file was changed while the run went on; go on with --resume as it was, or begin another run")
    }
    let script = String(decoding: PythonHelper.script(PackageResources.reward_helper_py), as: UTF8.self)
    let process = try HelperProcess(PythonHelper.words("-c", script), log: nil, endsChildren: true)
    let watch = Stopwatch()
    let first: JSON = ["path": .string(path), "function": function.map { .string($0) } ?? .null, "columns": .array(columns.map { .string($0) })]
    guard process.write(Array((first.text() + "\n").utf8), while: { watch.seconds < Self.patience }),
      let line = process.readLine(within: Self.patience), let hello = try? JSON.parse(line, name: "reward")
    else {
      let ending = process.ends(within: 1) ? process.ending.map { ": its process \($0)" } : nil
      process.endAtOnce()
      throw .missingInput("--reward \(label): \(PythonHelper.interpreter) does not load it\(ending ?? " within \(Int(Self.patience)) s"); set NR_PYTHON to a Python 3")
    }
    if let problem = hello["error"]?.string { throw .badData("--reward \(label): \(OneLine.text(problem))") }
    return process
  }

  func ask(_ process: HelperProcess, _ requests: [JSON.Object], within seconds: Double, while goesOn: () -> Bool) -> RewardAnswer {
    let watch = Stopwatch()
    let question: JSON = ["rows": .array(requests.map { .object($0) })]
    guard process.write(Array((question.text() + "\n").utf8), while: { watch.seconds < seconds && goesOn() }),
      let line = process.readLine(within: seconds - watch.seconds, while: goesOn)
    else { return silence(of: process, after: seconds, at: place(in: process)) }
    guard let answer = try? JSON.parse(line, name: label) else { return crash(of: process, line) }
    if let error = answer["error"]?.string { return .refused(error) }
    guard let rewards = answer["rewards"]?.array else { return .hangs("an answer of its process is none: \(OneLine.text(String(line.prefix(80))))") }
    return .scores(rewards.map(PartScore.read))
  }

  /// The line of a function that does not come back; nil where nobody says.
  private func place(in process: HelperProcess) -> String? {
    let watch = Stopwatch()
    guard process.write(Array("{\"where\": true}\n".utf8), while: { watch.seconds < 1 }), let line = process.readLine(within: 1) else { return nil }
    return (try? JSON.parse(line, name: label))?["place"]?.string
  }

  /// What the interpreter writes when it is ended from within: a line that says why, and its frames, the innermost first.
  private func crash(of process: HelperProcess, _ first: String) -> RewardAnswer {
    var place: String?
    while let line = process.readLine(within: 1) {
      let parts = line.split(separator: "\"", omittingEmptySubsequences: false)
      guard place == nil, parts.count == 3, parts[0].hasSuffix("File "), parts[2].hasPrefix(", line ") else { continue }
      place = "\(Files.name(of: String(parts[1]))):\(parts[2].dropFirst(7).prefix { $0.isNumber })"
    }
    return .ended(OneLine.text(String(first.prefix(80))) + (place.map { " (\($0))" } ?? ""))
  }
}
