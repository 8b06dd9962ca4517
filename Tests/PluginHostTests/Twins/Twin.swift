// The losses of the six plugins once more, as expressions on a tape, by the table of docs/algorithms.md and not by their source: what they
// give must be what the hand-written derivatives give. One library; the first parameter says which loss it computes.

import PluginAPI

struct Twin: TapedLossPlugin {
  enum Algorithm: Int { case grpo, drGRPO, ppo, gspo, dapo, grpoLead, operation, misuse }

  static let algorithm = Parameter.choice(
    "algorithm", ["grpo", "dr-grpo", "ppo", "gspo", "dapo", "grpo-lead", "operation", "misuse"], "whose loss, as Algorithm")
  static let operation = Parameter.choice("operation", operations.map { $0.name }, "what operation's loss is a weighted sum of")
  static let misuse = Parameter.choice("misuse", misuses.map { $0.name }, "what misuse's loss does wrong")
  static let variant = Parameter.choice("variant", ["default", "paper"], "which form")
  static let lengthFactor = Parameter.choice("length_factor", ["divide", "multiply", "none"], "as of Dr. GRPO")
  static let clipLow = Parameter.real("clip_low", preset: 0.2, in: 0...1, "ratios count down to 1 - clip_low")
  static let clipHigh = Parameter.real("clip_high", preset: 0.2, in: 0...100, "ratios count up to 1 + clip_high")
  static let beta = Parameter.real("beta", preset: 0, in: 0...1000, "weight of the k3 KL")
  static let valueWeight = Parameter.real("value_weight", preset: 0.5, in: 0...1000, "weight of the value loss")
  static let valueClip = Parameter.real("value_clip", preset: 0, in: 0...1000, "how far V may gain; 0: freely")
  static let valueWarmup = Parameter.integer("value_warmup_steps", preset: 0, in: 0...1_000_000, "steps without the policy's part")

  static let valueLoss = Metric.mean("value_loss", "as of PPO")
  static let valueMean = Metric.mean("value_mean", "as of PPO")
  static let ratioMax = Metric.maximum("sequence_ratio_max", "as of GSPO")

  static let smallest = Metric.minimum("smallest", "of the operands x")
  static let largest = Metric.maximum("largest", "of the operands x")

  static let descriptor = Descriptor(
    id: "twin", version: "1.0.0", title: "The six losses on a tape", reference: "docs/algorithms.md",
    parameters: [
      algorithm, operation, misuse, variant, lengthFactor, clipLow, clipHigh, beta, valueWeight, valueClip, valueWarmup,
    ],
    metrics: ClipStatistics.metrics + [valueLoss, valueMean, ratioMax, smallest, largest])

  /// Parameters may be read at any time.
  let settings: Settings
  let algorithm: Algorithm
  let operation, misuse: Int
  let isPaper, divides, multiplies: Bool
  let clipLow, clipHigh, beta, valueWeight, valueClip: Double
  /// What each sequence of the rollout is multiplied by, as of Dr. GRPO.
  private var weights: [Double] = []
  /// What a misuse keeps of an earlier call.
  private var kept: Scalar?

  init(_ settings: Settings) throws(PluginError) {
    algorithm = Algorithm(rawValue: settings.integer(Self.algorithm)) ?? .grpo
    (operation, misuse) = (settings.integer(Self.operation), settings.integer(Self.misuse))
    isPaper = settings.choice(Self.variant, is: "paper")
    divides = settings.choice(Self.lengthFactor, is: "divide")
    multiplies = settings.choice(Self.lengthFactor, is: "multiply")
    (clipLow, clipHigh, beta) = (settings[Self.clipLow], settings[Self.clipHigh], settings[Self.beta])
    (valueWeight, valueClip) = (settings[Self.valueWeight], settings[Self.valueClip])
    self.settings = settings
  }

  var needs: Needs {
    switch algorithm {
    case .operation: [.critic, .entropy]
    case .ppo: .critic
    case .grpo: beta > 0 ? .reference : []
    default: []
    }
  }

  var stoppedGradients: StoppedGradients { algorithm == .operation ? Self.operations[operation].stops : [] }

  /// Only what the loss stage has to know of the rollout: advantages come from the plugin that this is compared with.
  mutating func advantages(_ rollout: Rollout, into result: Advantages, metrics: Metrics) throws(PluginError) {
    weights = Array(repeating: 1, count: rollout.sequenceCount)
    if algorithm != .drGRPO || !divides && !multiplies { return }
    for group in rollout.groups {
      let sequences = rollout.sequences(of: group)
      var total = 0.0
      for sequence in sequences { total += Double(rollout.tokens(of: sequence).count) }
      for sequence in sequences where !rollout.tokens(of: sequence).isEmpty {
        let factor = Double(rollout.tokens(of: sequence).count) * Double(sequences.count) / total
        weights[sequence] = multiplies ? factor : 1 / factor
      }
    }
  }

  mutating func loss(_ tape: Tape) throws(PluginError) -> Scalar {
    switch algorithm {
    case .grpo: return grpo(tape)
    case .drGRPO: return try drGRPO(tape)
    case .ppo: return ppo(tape)
    case .gspo: return gspo(tape)
    case .dapo: return dapo(tape)
    case .grpoLead: return -clipped(tape).sum() / tape.updateTokens
    case .operation:
      tape.record(Self.smallest, tape.current)
      tape.record(Self.largest, tape.current)
      return (tape.advantages * Self.operations[operation].of(Operands(tape))).sum()
    case .misuse: return Self.misuses[misuse].loss(tape, &kept)
    }
  }

  // MARK: - The losses

  /// min(ρ A, clip(ρ) A) of each token.
  private func clipped(_ tape: Tape, _ advantages: Tokens? = nil) -> Tokens {
    let a = advantages ?? tape.advantages
    let logRatio = tape.current - tape.old
    let ratio = exp(clamp(logRatio))
    record(ratio, a, abs(logRatio) .<= 20, tape)
    return min(ratio * a, clamp(ratio, 1 - clipLow, 1 + clipHigh) * a)
  }

  private func record<Shape>(_ ratio: Tensor<Shape>, _ a: Tensor<Shape>, _ inside: Condition<Shape>, _ tape: Tape) {
    ClipStatistics.record(
      low: (a .< 0) .& (ratio .< 1 - clipLow), high: (a .> 0) .& (ratio .> 1 + clipHigh), inside: inside, on: tape)
  }

  /// Default: −Σ s/N; paper: −(1/S) Σ_i (1/L_i) Σ_t (s − β k3), k3 of the reference.
  private func grpo(_ tape: Tape) -> Scalar {
    var objective = clipped(tape)
    if beta > 0 {
      let x = clamp(tape.reference - tape.current)
      objective -= beta * (exp(x) - x - 1)
    }
    return isPaper ? -objective.meanPerSequence().sum() / tape.updateSequences : -objective.sum() / tape.updateTokens
  }

  /// Default: −Σ_i (1/f_i) Σ_t s / N; paper: −(1/S) Σ_i Σ_t s / token_limit.
  private func drGRPO(_ tape: Tape) throws(PluginError) -> Scalar {
    let weights = try tape.constant(perSequence: { (sequence) throws(PluginError) in
      let id = Int(tape.batch.sequenceIDs[sequence])
      guard self.weights.indices.contains(id) else { throw .badArgument("a sequence that advantages did not see") }
      return self.weights[id]
    })
    let sum = (weights * clipped(tape).sumPerSequence()).sum()
    return isPaper ? -sum / tape.updateSequences / tape.tokenLimit : -sum / tape.updateTokens
  }

  /// −Σ s/N + value_weight Σ (V − R)²/N, with a clip the larger of it and that of V held near the rollout's.
  private func ppo(_ tape: Tape) -> Scalar {
    let isWarm = tape.batch.step >= settings.integer(Self.valueWarmup)
    let policy = clipped(tape, isWarm ? nil : 0 * tape.advantages)
    var squares = square(tape.values - tape.returns)
    if valueClip > 0 {
      let held = min(max(tape.values, tape.oldValues - valueClip), tape.oldValues + valueClip)
      squares = max(squares, square(held - tape.returns))
    }
    squares = valueWeight * squares
    tape.record(Self.valueLoss, squares)
    tape.record(Self.valueMean, tape.values)
    return (squares - policy).sum() / tape.updateTokens
  }

  /// ρ_i = exp(Σ_t (current − old) / L_i); −(1/S) Σ_i min(ρ_i A, clip(ρ_i) A).
  private func gspo(_ tape: Tape) -> Scalar {
    let logRatio = (tape.current - tape.old).meanPerSequence()
    let ratio = exp(clamp(logRatio))
    let a = tape.advantages.meanPerSequence()
    record(ratio, a, abs(logRatio) .<= 20, tape)
    tape.record(Self.ratioMax, ratio)
    return -min(ratio * a, clamp(ratio, 1 - clipLow, 1 + clipHigh) * a).sum() / tape.updateSequences
  }

  /// The upper clip is clip_high where A > 0, otherwise clip_low.
  private func dapo(_ tape: Tape) -> Scalar {
    let a = tape.advantages
    let logRatio = tape.current - tape.old
    let ratio = exp(clamp(logRatio))
    record(ratio, a, abs(logRatio) .<= 20, tape)
    let high = choose(a .> 0, 1 + clipHigh, else: 1 + clipLow)
    return -min(ratio * a, min(max(ratio, 1 - clipLow), high) * a).sum() / tape.updateTokens
  }
}

@c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(Twin.self) }
