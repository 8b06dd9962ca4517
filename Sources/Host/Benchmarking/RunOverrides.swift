import Support
import Training

/// What of a run's settings an algorithm of a benchmark has of its own: `grpo:lr=2e-5:group-size=16`. The number of steps is not among them:
/// curves are compared step by step.
package struct RunOverrides: Sendable, Equatable {
  /// The options of `rl` that may differ from algorithm to algorithm, by their names there.
  package enum Option: String, CaseIterable, Sendable {
    case learningRate = "lr"
    case weightDecay = "weight-decay"
    case gradientNorm = "clip-grad-norm"
    case valueLearningRate = "value-lr"
    case groupSize = "group-size"
    case promptsPerStep = "prompts-per-step"
    case temperature = "temperature"
    case maxNewTokens = "max-new-tokens"
    case innerEpochs = "inner-epochs"
    case minibatches = "minibatches"
    case refillRounds = "refill-rounds"

    /// What it may be called besides.
    package var shortName: String? {
      switch self {
      case .groupSize: "group"
      case .promptsPerStep: "prompts"
      default: nil
      }
    }
  }

  package private(set) var values: [Option: Double] = [:]

  package init() {}

  package subscript(option: Option) -> Double? {
    get { values[option] }
    set { values[option] = newValue }
  }

  package var isEmpty: Bool { values.isEmpty }

  /// By name, in a fixed order.
  package var json: JSON {
    var object = JSON.Object()
    for option in Option.allCases { if let value = values[option] { object[option.rawValue] = .number(value) } }
    return .object(object)
  }

  package func applied(to settings: RLSettings) -> RLSettings {
    var settings = settings
    for (option, value) in values {
      switch option {
      case .groupSize: settings.groupSize = Int(value)
      case .promptsPerStep: settings.promptsPerStep = Int(value)
      case .temperature: settings.temperature = value
      case .maxNewTokens: settings.maxNewTokens = Int(value)
      case .innerEpochs: settings.innerEpochs = Int(value)
      case .minibatches: settings.minibatches = Int(value)
      case .refillRounds: settings.refillRounds = Int(value)
      case .learningRate, .weightDecay, .gradientNorm, .valueLearningRate: break
      }
    }
    return settings
  }

  /// - Parameter updates: of the run with these settings, which a schedule ends with.
  func applied(to policy: PolicySettings, updates: Int) -> PolicySettings {
    var policy = policy
    policy.schedule = LearningRateSchedule(shape: policy.schedule.shape, warmupSteps: policy.schedule.warmupSteps, totalSteps: updates)
    if let value = values[.learningRate] { policy.learningRate = value }
    if let value = values[.weightDecay] { policy.weightDecay = value }
    if let value = values[.gradientNorm] { policy.maximumGradientNorm = value }
    if let value = values[.valueLearningRate] { policy.valueLearningRate = value }
    return policy
  }
}
