import Rollouts
import Support
import Tasks

/// A thread that judges completions, as many together as are waiting, while others are still being drawn.
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
    var isAbandoned = false
    var isDone = false
  }

  private let state = WaitableState(State())

  /// A completion and the number of the request it is of.
  typealias Drawn = (request: Int, completion: Completion)

  /// - Parameters:
  ///   - total: the completions that will come.
  ///   - batch: how many are judged together, at most.
  ///   - judge: called on the thread.
  init(
    of total: Int, batch: Int, _ judge: @escaping @Sendable ([Drawn], RewardAllowance) throws(Failure) -> [Reward]
  ) throws(Failure) {
    let state = state
    let started = BackgroundThread.start {
      var allowance = RewardAllowance(of: total) { state.change { !$0.isAbandoned } }
      while let attempts = state.wait(until: { !$0.waiting.isEmpty || $0.isClosed }, { Self.take(batch, of: &$0) }) {
        do throws(Failure) {
          let rewards = try judge(attempts.map { ($0.request, $0.completion) }, allowance)
          for case let fault? in rewards.map(\.fault) { try allowance.add(fault) }
          state.change { state in
            for (attempt, reward) in zip(attempts, rewards) { state.rewards[attempt.request, default: [:]][attempt.sample] = reward }
          }
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

  private static func take(_ batch: Int, of state: inout State) -> [Attempt]? {
    if state.waiting.isEmpty { return nil }
    let count = min(max(1, batch), state.waiting.count)
    defer { state.waiting.removeFirst(count) }
    return Array(state.waiting.prefix(count))
  }

  func add(_ completion: Completion, request: Int, sample: Int) {
    state.change { state in
      if !state.isClosed { state.waiting.append(Attempt(completion: completion, request: request, sample: sample)) }
    }
  }

  /// Nothing of it is wanted any more; what is being judged is waited for, or ends soon.
  func abandon() {
    state.change { ($0.waiting, $0.isClosed, $0.isAbandoned) = ([], true, true) }
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

  /// Waits until all is judged, or until it is not to go on.
  func finish(while goesOn: () -> Bool) throws(Failure) -> Rewards {
    state.change { $0.isClosed = true }
    while !state.wait(until: { $0.isDone }, within: 0.1) {
      if goesOn() { continue }
      abandon()
      throw failure ?? Failure(.interrupted, "interrupted while completions were judged")
    }
    if let failure { throw failure }
    return Rewards(byRequest: state.change { $0.rewards })
  }
}
