import Rollouts
import Support
import Tasks

/// A thread that judges completions one after another while others are still being drawn.
final class JudgingThread: Sendable {
  private struct Attempt: Sendable {
    let completion: Completion
    let request: Int
    let sample: Int
  }

  private struct State {
    var waiting: [Attempt] = []
    var rewards: [Int: [Int: Reward]] = [:]
    var failure: Failure?
    var isClosed = false
    var isDone = false
  }

  private let state = WaitableState(State())

  /// - Parameter judge: called on the thread with a request's number and a completion of it.
  init(_ judge: @escaping @Sendable (Int, Completion) throws(Failure) -> Reward) throws(Failure) {
    let state = state
    let started = BackgroundThread.start {
      while let attempt = state.wait(until: { !$0.waiting.isEmpty || $0.isClosed }, { $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }) {
        do throws(Failure) {
          let reward = try judge(attempt.request, attempt.completion)
          state.change { $0.rewards[attempt.request, default: [:]][attempt.sample] = reward }
        } catch {
          state.change { state in
            state.failure = state.failure ?? error
            (state.waiting, state.isClosed) = ([], true)
          }
        }
      }
      state.change { $0.isDone = true }
    }
    if !started { throw .internalError("cannot start a thread: \(lastSystemError())") }
  }

  func add(_ completion: Completion, request: Int, sample: Int) {
    state.change { state in
      if !state.isClosed { state.waiting.append(Attempt(completion: completion, request: request, sample: sample)) }
    }
  }

  /// Nothing of it is wanted any more; what is being judged is waited for.
  func abandon() {
    state.change { ($0.waiting, $0.isClosed) = ([], true) }
    state.wait(until: { $0.isDone }, { _ in })
  }

  /// Why it has stopped; nil where it has not.
  var failure: Failure? { state.change { $0.failure } }

  struct Rewards {
    fileprivate let byRequest: [Int: [Int: Reward]]

    func of(_ request: Int, samples: Int) throws(Failure) -> [Reward] {
      let rewards = (0..<samples).compactMap { byRequest[request]?[$0] }
      guard rewards.count == samples else { throw .internalError("\(samples - rewards.count) completions were not judged") }
      return rewards
    }
  }

  /// Waits until all is judged.
  func finish() throws(Failure) -> Rewards {
    state.change { $0.isClosed = true }
    state.wait(until: { $0.isDone }, { _ in })
    if let failure { throw failure }
    return Rewards(byRequest: state.change { $0.rewards })
  }
}
