import Support

/// How the learning rate goes over the updates of a run: a linear warm-up, then constant, linear or cosine to zero.
package struct LearningRateSchedule: Sendable, Equatable {
  package enum Shape: String, Sendable, CaseIterable {
    case constant, linear, cosine
  }

  package var shape: Shape
  package var warmupSteps: Int
  package var totalSteps: Int

  package init(shape: Shape, warmupSteps: Int, totalSteps: Int) {
    self.shape = shape
    self.warmupSteps = warmupSteps
    self.totalSteps = totalSteps
  }

  /// The factor on the learning rate of update `step`, counted from 0. As the schedules of transformers.
  package func factor(step: Int) -> Double {
    if step < warmupSteps { return Double(step) / Double(max(1, warmupSteps)) }
    let rest = Double(max(1, totalSteps - warmupSteps))
    let progress = min(1, Double(step - warmupSteps) / rest)
    switch shape {
    case .constant: return 1
    case .linear: return max(0, 1 - progress)
    case .cosine: return max(0, 0.5 * (1 + cos(Double.pi * progress)))
    }
  }
}
