import Support

/// Any program: it reads a JSON object a line and writes its score on a line, a number, null, or an object with "reward" or "error". It is
/// asked for one completion after another, so that no answer can be taken for another's.
struct CommandDialect: RewardDialect {
  /// For the shell.
  let line: String

  var largestBatch: Int { 1 }
  private var label: String { "command:\(line)" }

  func start() throws(Failure) -> HelperProcess {
    let process = try HelperProcess(["/bin/sh", "-c", guarded], log: nil, endsChildren: true)
    // A program that is not there ends at once; a moment says so before the first step.
    if process.ends(within: 0.2), let ending = process.ending {
      if ending == HelperProcess.ending(code: Self.missing) { throw .missingInput("--reward \(label): no such program, or none that can be run") }
      throw .missingInput("--reward \(label): \(ending) before it was asked anything; expected a program that reads a JSON object a line and answers each with a number")
    }
    return process
  }

  func ask(_ process: HelperProcess, _ requests: [JSON.Object], within seconds: Double, while goesOn: () -> Bool) -> RewardAnswer {
    let watch = Stopwatch()
    var scores: [PartScore] = []
    for request in requests {
      if let surplus = process.readLine(within: 0) { return .hangs("wrote a line that it was not asked for: \(Self.short(surplus))") }
      guard process.write(Array((Self.question(request) + "\n").utf8), while: { watch.seconds < seconds && goesOn() }),
        let line = process.readLine(within: seconds - watch.seconds, while: goesOn)
      else { return silence(of: process, after: seconds) }
      scores.append(Self.score(line))
    }
    return .scores(scores)
  }

  private static let missing: Int32 = 127

  /// The line behind a look for its program, so that this program says in its own words that there is none. Python keeps what it prints into
  /// a pipe to itself unless it is told not to, and its answer would come with the end of the run.
  private var guarded: String {
    let word = line.prefix { $0 != " " }
    let isPlain = word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_./+-".contains($0)) }
    let look = isPlain ? "command -v \(word) >/dev/null 2>&1 || exit \(Self.missing)\n" : ""
    return "export PYTHONUNBUFFERED=1\n\(look)\(line)"
  }

  /// Columns and completion side by side.
  private static func question(_ request: JSON.Object) -> String {
    var object = request["columns"]?.object ?? [:]
    for key in ["prompt", "completion", "completion_ids"] { object[key] = request[key] }
    return JSON.object(object).text()
  }

  private static func score(_ line: String) -> PartScore {
    guard let json = try? JSON.parse(line, name: "answer") else { return .failed("expected a number on a line, found \(short(line))") }
    guard let object = json.object, object["error"] == nil else { return PartScore.read(json) }
    guard let reward = object["reward"] else { return .failed("expected \"reward\", found \(short(line))") }
    return PartScore.read(reward)
  }

  private static func short(_ line: String) -> String { "\"\(OneLine.text(String(line.prefix(80))))\"" }
}
