import Support
import Synchronization

/// How a program of the user's is begun and asked.
protocol RewardDialect: Sendable {
  /// Completions that it is asked for together, at most.
  var largestBatch: Int { get }

  /// A process that is ready to be asked.
  func start() throws(Failure) -> HelperProcess
  /// - Parameters:
  ///   - seconds: what the answer may take.
  ///   - goesOn: whether the answer is still wanted.
  func ask(_ process: HelperProcess, _ requests: [JSON.Object], within seconds: Double, while goesOn: () -> Bool) -> RewardAnswer
}

/// What came of a question to a program.
enum RewardAnswer {
  case scores([PartScore])
  /// No scores, and why; the process can be asked again.
  case refused(String)
  /// The process hangs, or cannot be relied on.
  case hangs(String)
  /// The process has ended.
  case ended(String)
}

/// A part of the reward that a function or a program of the user's gives, in a process of its own. Where it fails for several completions
/// they are asked for one by one, so that the one to blame is alone with its error.
final class RewardProgram: RewardPart {
  private struct State {
    var process: HelperProcess?
    /// Completions that are asked for together: fewer where together they take too long.
    var largest: Int
  }

  private let name: String
  private let dialect: any RewardDialect
  private let rows: RewardRows
  private let seconds: Double
  private let state: Mutex<State>

  /// Begins the process: what cannot be loaded ends the run before its first step.
  ///
  /// - Parameter seconds: what one question may take.
  init(_ name: String, _ dialect: any RewardDialect, rows: RewardRows, seconds: Double) throws(Failure) {
    // A program that is gone is an error of writing, not of this process.
    signal(SIGPIPE, SIG_IGN)
    self.name = name
    self.dialect = dialect
    self.rows = rows
    self.seconds = seconds
    state = Mutex(State(process: try dialect.start(), largest: dialect.largestBatch))
  }

  func scores(_ attempts: [Attempt], _ allowance: RewardAllowance) throws(Failure) -> [PartScore] {
    let requests = attempts.map(rows.request)
    return try state.withLock { state in
      Result { () throws(Failure) in
        var scores: [PartScore] = []
        var allowance = allowance
        while scores.count < requests.count {
          let end = min(requests.count, scores.count + state.largest)
          scores += try self.scores(Array(requests[scores.count..<end]), &state, &allowance)
        }
        return scores
      }
    }.get()
  }

  private func scores(_ requests: [JSON.Object], _ state: inout State, _ allowance: inout RewardAllowance) throws(Failure) -> [PartScore] {
    let answer = try ask(requests, &state, allowance)
    if case .scores(let scores) = answer { return scores }
    var scores: [PartScore] = []
    for request in requests {
      let score = try requests.count == 1 ? self.score(answer, request, &state, allowance) : self.score(ask([request], &state, allowance), request, &state, allowance)
      if case .failed(let cause) = score { try allowance.add(RewardFault(part: name, cause: cause)) }
      scores.append(score)
    }
    // None is to blame, so there were too many at once.
    if case .hangs = answer, !scores.contains(where: { if case .failed = $0 { true } else { false } }) {
      state.largest = max(1, requests.count / 2)
    }
    return scores
  }

  /// The score of a completion that was asked for alone. A process that ended may have had reasons of its own, so it is asked once more.
  private func score(_ answer: RewardAnswer, _ request: JSON.Object, _ state: inout State, _ allowance: RewardAllowance) throws(Failure) -> PartScore {
    switch answer {
    case .scores(let scores): scores[0]
    case .refused(let cause), .hangs(let cause): .failed(cause)
    case .ended:
      switch try ask([request], &state, allowance) {
      case .scores(let scores): scores[0]
      case .refused(let cause), .hangs(let cause), .ended(let cause): .failed(cause)
      }
    }
  }

  private func ask(_ requests: [JSON.Object], _ state: inout State, _ allowance: RewardAllowance) throws(Failure) -> RewardAnswer {
    let process = if let process = state.process, !process.ends(within: 0) { process } else { try dialect.start() }
    state.process = process
    let answer = dialect.ask(process, requests, within: seconds, while: allowance.isWanted)
    guard allowance.isWanted() else {
      process.endAtOnce()
      state.process = nil
      throw Failure(.interrupted, "interrupted while the reward \(name) was asked")
    }
    switch answer {
    case .scores(let scores) where scores.count != requests.count:
      return .refused("\(scores.count) scores for \(requests.count) completions")
    case .hangs, .ended:
      process.endAtOnce()
      state.process = nil
    case .scores, .refused: break
    }
    return answer
  }
}

extension HelperProcess {
  /// The next line; nil also where it is no longer wanted.
  func readLine(within seconds: Double, while goesOn: () -> Bool) -> String? {
    let watch = Stopwatch()
    repeat {
      if let line = readLine(within: max(0, min(0.2, seconds - watch.seconds))) { return line }
      // Where its output is closed and it is still there, that came at once.
      if ends(within: 0.01) { return readLine(within: 0) }
    } while watch.seconds < seconds && goesOn()
    return nil
  }
}

extension RewardDialect {
  /// Why there was no answer.
  func silence(of process: HelperProcess, after seconds: Double, at place: @autoclosure () -> String? = nil) -> RewardAnswer {
    // Whoever has closed its output is about to end.
    if process.ends(within: 0.2), let ending = process.ending { return .ended("its process \(ending)") }
    return .hangs("no answer within \(Format.significant(seconds)) s, --reward-timeout" + (place().map { " (\($0))" } ?? ""))
  }
}

extension PartScore {
  /// A score as programs write it: a number, null, or an object that says why there is none.
  static func read(_ json: JSON) -> PartScore {
    if json.isNull { return .silent }
    if let error = json["error"]?.string { return .failed(error) }
    guard let number = json.double else { return .failed("expected a number or null, found \(OneLine.text(String(json.text().prefix(80))))") }
    let value = Float(number)
    return value.isFinite ? .value(value) : .failed("expected a finite number in 32 bits, found \(number)")
  }
}
