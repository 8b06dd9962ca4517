import PluginHost
import Support
import Telemetry

/// Algorithms that watch a run: each is asked what it would make of a step's last pass, and nothing it says reaches the model.
package final class ShadowAlgorithms {
  private var members: [(label: String, algorithm: any LossAlgorithm)]
  /// Told why one is asked no more.
  var onFailure: (String) -> Void = { _ in }

  package init(_ members: [(label: String, algorithm: any LossAlgorithm)]) { self.members = members }

  package var needs: PluginNeeds { members.reduce(into: []) { $0.formUnion($1.algorithm.needs) } }

  /// A shadow's numbers as metrics `shadow/LABEL/…`: its loss, the length of its gradient by the log-probabilities, the share of tokens that it
  /// clips, the groups that it would keep, and the cosine between its gradient and the run's.
  func metrics(of result: RLStepResult) -> Metrics {
    var metrics = Metrics()
    guard let pass = result.pass else { return metrics }
    members.removeAll { label, algorithm in
      do throws(Failure) {
        let needs = algorithm.needs
        let found = try PluginEvaluation(
          result.rollout.packed, current: pass.current, entropy: needs.contains(.entropy) ? pass.entropy : nil,
          values: needs.contains(.critic) ? pass.values : nil, algorithm, name: "shadow \(label)")
        let place = "shadow/\(label)"
        metrics["\(place)/loss"] = found.loss
        metrics["\(place)/gradient_norm"] = PluginComparison.norm(found.dCurrent)
        metrics["\(place)/clipped"] = found.clippedShare
        metrics["\(place)/groups"] = Double(found.keep.count { $0 })
        if let cosine = PluginComparison.cosine(found.dCurrent, pass.dCurrent) { metrics["\(place)/cosine"] = cosine }
        return false
      } catch {
        onFailure("shadow \(label) is asked no more: \(error.message)")
        return true
      }
    }
    return metrics
  }
}
