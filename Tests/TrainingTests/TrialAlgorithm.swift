import PluginHost
import Support
import TestSupport

/// An algorithm in Swift for what no shipped one needs: a critic trained on squared errors, and a `select` that drops groups of equal
/// rewards (or all of them) and asks for fresh ones. Its state counts the calls of its loss.
final class TrialAlgorithm: LossAlgorithm {
  enum Drop { case none, equal, all }

  let identity = AlgorithmIdentity(id: "trial", version: "1.0.0", sha256: "none", stateVersion: 1)
  let needs: PluginNeeds
  let metricFold = PluginMetricFold([])
  private let drop: Drop
  private let fails: (step: Int, epoch: Int)?
  private var calls = 0

  /// - Parameter fails: the step and epoch, counted from 0, whose loss is an error.
  init(needs: PluginNeeds = [], drop: Drop = .none, fails: (step: Int, epoch: Int)? = nil) {
    self.needs = needs
    self.drop = drop
    self.fails = fails
  }

  func select(_ rollout: PluginRollout) -> [Bool] {
    (0..<rollout.groupCount).map { group in
      let rewards = rollout.rewards[rollout.sequences(of: group)]
      return drop == .none || drop == .equal && rewards.contains { $0 != rewards.first }
    }
  }

  func advantages(_ rollout: PluginRollout) -> PluginAdvantages {
    let rewards = (0..<rollout.sequenceCount).flatMap { sequence in
      rollout.tokens(of: sequence).map { _ in rollout.rewards[sequence] }
    }
    return PluginAdvantages(
      advantages: rewards.indices.map { rewards[$0] - (rollout.values?[$0] ?? 0.5) },
      returns: needs.contains(.critic) ? rewards : nil, counted: Array(repeating: true, count: rollout.sequenceCount), metrics: [])
  }

  func loss(_ batch: PluginBatch) throws(Failure) -> PluginGradients {
    if let fails, batch.step == fails.step, batch.update.epoch == fails.epoch { throw .internalError("the trial fails") }
    calls += 1
    let count = Float(batch.update.tokens)
    var loss = 0.0
    var dValues: [Float] = []
    for token in 0..<batch.tokenCount {
      loss -= Double(batch.advantages[token] * batch.current[token] / count)
      guard let values = batch.values, let returns = batch.returns else { continue }
      let error = values[token] - returns[token]
      loss += Double(0.5 * error * error / count)
      dValues.append(error / count)
    }
    return PluginGradients(
      loss: loss, dCurrent: batch.advantages.map { -$0 / count }, dEntropy: nil, dValues: needs.contains(.critic) ? dValues : nil,
      metrics: [])
  }

  func save() -> [UInt8] { Array("\(calls)".utf8) }

  func restore(_ state: [UInt8]) throws(Failure) {
    guard let calls = Int(String(decoding: state, as: UTF8.self)) else { throw .badData("the trial's state: expected a count") }
    self.calls = calls
  }
}
