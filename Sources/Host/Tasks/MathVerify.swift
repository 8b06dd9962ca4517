import Support
import Synchronization

/// math-verify (PyPI) as the grader: a Python process that is asked pair by pair. It is begun by the first use and shared by all.
final class MathVerify: Sendable {
  static let shared = MathVerify()

  private struct State {
    var process: HelperProcess?
    /// Pairs come back often: several completions of a group give the same answer.
    var known: [[String]: Verdict] = [:]
  }

  private let state = Mutex(State())
  /// One pair takes milliseconds; math-verify itself gives up after some seconds.
  private static let patience = 60.0
  private static let mostKnown = 100_000

  /// Begins the process: a run without math-verify ends here, before its first step.
  func start() throws(Failure) {
    try state.withLock { state in Result { () throws(Failure) in _ = try Self.process(&state) } }.get()
  }

  func verdict(answer: String, gold: String) throws(Failure) -> Verdict {
    try state.withLock { state in Result { () throws(Failure) in try Self.verdict(answer, gold, &state) } }.get()
  }

  private static func process(_ state: inout State) throws(Failure) -> HelperProcess {
    if let process = state.process { return process }
    signal(SIGPIPE, SIG_IGN)
    let python = PythonHelper.interpreter
    let script = String(decoding: PythonHelper.script(PackageResources.math_verify_helper_py), as: UTF8.self)
    let process = try HelperProcess(PythonHelper.words("-c", script), log: nil)
    guard let line = process.readLine(within: patience), let hello = try? JSON.parse(line, name: "math-verify") else {
      throw .missingInput("--reward math-verify: \(python) does not answer; set NR_PYTHON to a Python that has math-verify")
    }
    if let problem = hello["error"]?.string { throw .missingInput("--reward math-verify: \(problem)") }
    state.process = process
    return process
  }

  private static func verdict(_ answer: String, _ gold: String, _ state: inout State) throws(Failure) -> Verdict {
    if let verdict = state.known[[answer, gold]] { return verdict }
    let question = JSON.array([.string(answer), .string(gold)]).text() + "\n"
    for attempt in 0..<2 {
      let process = try process(&state)
      let watch = Stopwatch()
      if process.write(Array(question.utf8), while: { watch.seconds < patience }), let line = process.readLine(within: patience),
        let reply = try? JSON.parse(line, name: "math-verify"), let isCorrect = reply["correct"]?.bool
      {
        let verdict = Verdict(extracted: answer, gold: gold, isCorrect: isCorrect, reason: reply["reason"]?.string ?? "math-verify")
        if state.known.count >= mostKnown { state.known.removeAll() }
        state.known[[answer, gold]] = verdict
        return verdict
      }
      // It has died or hangs: once more with a new one, then the pair is to blame.
      state.process = nil
      if attempt == 1 { break }
    }
    throw .inputOutput("--reward math-verify: its process does not answer for \(AnswerEquality.short(answer)) against \(AnswerEquality.short(gold))")
  }
}
