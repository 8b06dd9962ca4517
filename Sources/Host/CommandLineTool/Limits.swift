import Arguments
import Support

/// How large the numbers of options may be, and why. Each is far above what anybody has use for and far below what overflows:
/// products of them that the program forms stay under 2^63, and whatever is allocated by one is checked against memory.
enum Limits {
  /// What `run.json` says must be read back by every JSON reader, and many keep whole numbers to 2^53 only.
  static let seed = 0...(1 << 53) - 1
  /// Steps, updates, rows of a file: a thousand a second for eleven days.
  static let count = 1...1_000_000_000
  static let countOrNone = 0...1_000_000_000
  /// Passes over data.
  static let epochs = 1...1_000_000
  /// Passes over one rollout, and its updates per pass: with `count` steps their product stays under 2^63.
  static let innerEpochs = 1...10_000
  static let minibatches = 1...65_536
  /// Completions of one prompt, and prompts of one step.
  static let group = 1...65_536
  /// Completions that are held at once, of one step or of one evaluation.
  static let heldCompletions = 1 << 22
  /// Sequences of one update.
  static let batch = 1...1_000_000
  /// Tokens of one sequence: the longest contexts of published models.
  static let tokens = 1...10_000_000
  /// The largest vocabulary has under a million tokens.
  static let topK = 0...10_000_000
  /// Generated problems and texts, which are made and held before they are used.
  static let generated = 1...10_000_000
  /// Over a thousand logits hardly differ; a row of float32 still tells their order.
  static let temperature = 0.0...1e6
  /// RL divides gradients by the temperature: under a thousandth they are noise or nothing. (Greedy decoding is for `eval`.)
  static let smallestTrainingTemperature = 1e-3
  /// AdamW moves a weight by about the rate in each update.
  static let learningRate = 0.0...1e3
  static let weightDecay = 0.0...1e3
  /// Far above any norm that is no overflow; float32 ends at 3e38.
  static let gradientNorm = 0.0...1e30

  /// Refuses more completions than are held at once.
  static func checkCompletions(_ count: Int, times: Int, _ what: String) throws(Failure) {
    let (product, overflow) = count.multipliedReportingOverflow(by: times)
    if overflow || product > heldCompletions {
      throw .usage("\(what): \(count) × \(times) completions are more than the \(heldCompletions) that are held at once")
    }
  }
}
