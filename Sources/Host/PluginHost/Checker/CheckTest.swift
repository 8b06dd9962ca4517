import Support

/// The tests of `plugin check`, in the order they are run and reported.
package enum CheckTest: String, CaseIterable, Sendable {
  case loading
  case description
  case runs
  case bounds
  case inputs
  case written
  case overwrites
  case lifeCycle = "life-cycle"
  case parameters
  case metrics
  case shapes
  case permutation
  case select
  case gradientCurrent = "gradient-current"
  case gradientValues = "gradient-values"
  case gradientEntropy = "gradient-entropy"
  case split
  case onPolicy = "on-policy"
  case extremes
  case sameBits = "same-bits"
  case isolation
  case state
  case garbageState = "garbage-state"
  case foreignSizes = "foreign-sizes"
  case rewardOrder = "reward-order"
  case hiddenState = "hidden-state"
  case referencePull = "reference-pull"
  case clipSide = "clip-side"
  case cost

  package var summary: String {
    switch self {
    case .loading: "the library opens and agrees on versions with older and newer hosts"
    case .description: "title, reference, help and needs are there; presets make an instance"
    case .runs: "select, advantages and loss work on a usual rollout and give finite numbers"
    case .bounds: "nothing outside the arrays is touched"
    case .inputs: "inputs are not written to"
    case .written: "every element of every output is written"
    case .overwrites: "outputs are overwritten, not added to"
    case .lifeCycle: "instances come and go without leaving memory behind"
    case .parameters: "values that are no number, out of range or no choice are refused"
    case .metrics: "metrics are finite and their weights are not negative"
    case .shapes: "no group to a million tokens; all right, all wrong, one right; empty completions"
    case .permutation: "the order of groups and sequences does not matter"
    case .select: "select answers the same twice and changes nothing"
    case .gradientCurrent: "d_current is the derivative of the loss, by finite differences"
    case .gradientValues: "d_values is the derivative of the loss, by finite differences"
    case .gradientEntropy: "d_entropy is the derivative of the loss, by finite differences"
    case .split: "micro-batches add up to the undivided loss"
    case .onPolicy: "on the sampling policy the loss falls as tokens with A > 0 become likelier"
    case .extremes: "log-ratios of ±10000 and huge advantages give finite numbers"
    case .sameBits: "the same bits again, in another thread and another process"
    case .isolation: "instances do not disturb each other"
    case .state: "a saved and restored instance goes on as if nothing had happened"
    case .garbageState: "bytes that are no state are refused"
    case .foreignSizes: "structs of newer hosts are read, cut ones are refused"
    case .rewardOrder: "a completion whose reward rises is not worth less for it"
    case .hiddenState: "nothing is remembered that a checkpoint would lose"
    case .referencePull: "a KL term does not push away from the reference"
    case .clipSide: "pushes at ratios from .5 to 2 go the right way and end on the right side"
    case .cost: "time per million tokens"
    }
  }

  /// Whether the quick form before a training run includes it.
  package var isQuick: Bool { self != .cost }

  /// The tests without which this one says nothing: where one of them fails, this one is not run.
  package var prerequisites: [CheckTest] {
    switch self {
    case .loading: []
    case .description: [.loading]
    case .runs: [.loading, .description]
    case .bounds, .inputs, .written, .overwrites: [.loading, .description, .runs]
    default: [.loading, .description, .runs, .bounds, .inputs, .written, .overwrites]
    }
  }
}
