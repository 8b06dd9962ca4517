import PluginHost
import Support
import TestSupport
import Testing

/// Hand-written derivatives against those of the tape. Stage 1 is the plugin's: what is compared is the loss.
@Suite("The six plugins and their twins on the tape")
struct TwinTests {
  static let settings: [(id: String, settings: [String])] = [
    ("grpo", []), ("grpo", ["variant=paper"]), ("grpo", ["beta=0.3", "clip_low=0.05", "clip_high=0.4"]),
    ("grpo", ["variant=paper", "beta=0", "clip_low=1", "clip_high=100"]), ("grpo", ["clip_low=0", "clip_high=0"]),
    ("dr-grpo", []), ("dr-grpo", ["length_factor=multiply"]), ("dr-grpo", ["length_factor=none"]), ("dr-grpo", ["variant=paper"]),
    ("dr-grpo", ["variant=paper", "length_factor=divide"]),
    ("ppo", []), ("ppo", ["variant=paper"]), ("ppo", ["value_clip=0.05", "value_weight=1.5", "whiten=false"]),
    ("ppo", ["beta=0.2", "kl=k3", "gamma=0.9", "lambda=0.5"]), ("ppo", ["value_warmup_steps=4", "value_clip=0.3"]),
    ("ppo", ["value_warmup_steps=3"]),
    ("gspo", []), ("gspo", ["variant=paper"]), ("gspo", ["clip_low=0.02", "clip_high=0.01"]),
    ("dapo", []), ("dapo", ["variant=paper"]), ("dapo", ["overlong_share=0.5", "overlong_penalty=2", "clip_high=0.05"]),
    ("dapo", ["overlong_filter=true", "clip_low=0.4"]),
    ("grpo-lead", []), ("grpo-lead", ["variant=paper"]), ("grpo-lead", ["scope=batch", "alpha=1", "clip_low=0.1"]),
  ]

  @Test("Loss to 1e-12, derivatives to the rounding of a float, metrics to 1e-12", arguments: settings)
  func agrees(id: String, settings: [String]) throws {
    let plugin = try PluginInstance(Place.plugin(id), settings: settings)
    let known = Set(try TwinLibrary.library.descriptor.parameters.map(\.name))
    let shared = plugin.parameters.settings.filter { known.contains(String($0.prefix { $0 != "=" })) }
    let twin = try TwinLibrary.instance(["algorithm=\(id)"] + shared)
    #expect(plugin.needs.subtracting([.refill]) == twin.needs || id == "ppo")
    var random = RandomStream(seed: 71)
    var moved = 0
    var beyond = 0.0
    for round in 0..<60 {
      let rollout = Self.rollout(round, &random)
      let stage = try plugin.advantages(rollout)
      _ = try twin.advantages(rollout)
      let (current, values) = Self.scores(rollout, spread: [0.3, 0, 0.02, 2, 30][round % 5], &random)
      for sequences in Self.splits(rollout.sequenceCount, &random) {
        let batch = rollout.batch(
          sequences, of: PluginUpdate(0..<rollout.groupCount, of: rollout, counted: stage.counted), stage,
          PluginScores(logProbs: rollout.gathered(current, sequences), values: rollout.gathered(values, sequences)))
        // An update of which no token counts is none: the host does not ask for its loss.
        if batch.update.tokens == 0 && batch.tokenCount > 0 { continue }
        let (found, expected) = (try twin.loss(batch), try plugin.loss(batch))
        let comment = Comment(rawValue: "\(id) \(settings), round \(round), \(sequences.count) sequences, \(batch.tokenCount) tokens")
        // Where terms cancel, on the sampling policy, what is left is their rounding.
        let rounding = 1e-15 * (1 + expected.dCurrent.reduce(0.0) { $0 + Double(abs($1)) })
        #expect(abs(found.loss - expected.loss) <= 1e-12 * abs(expected.loss) + rounding, "\(comment): \(found.loss) and \(expected.loss)")
        expectEqual(found.dCurrent, expected.dCurrent, "d_current", comment)
        expectEqual(found.dValues ?? [], expected.dValues ?? [], "d_values", comment)
        #expect(found.dEntropy == nil && expected.dEntropy == nil)
        let isEmptyAmongGSPO = id == "gspo" && sequences.contains { rollout.tokens(of: $0).isEmpty }
        // GSPO's clip statistics count sequences with tokens only.
        if !isEmptyAmongGSPO { expectSameMetrics(found, expected, plugin, comment) }
        moved += expected.dCurrent.count { $0 != 0 } + (expected.dValues ?? []).count { $0 != 0 }
        beyond += Double(expected.metrics[2].value)
      }
    }
    // The batches were worth comparing: there are derivatives, and log-ratios beyond the clamp; of GSPO's means hardly one is.
    #expect(moved > 200, "\(moved)")
    #expect(beyond > 10 || id == "gspo", "\(beyond)")
  }

  private func expectEqual(_ found: [Float], _ expected: [Float], _ what: String, _ comment: Comment) {
    #expect(found.count == expected.count, comment)
    for (token, (a, b)) in zip(found, expected).enumerated() where abs(a - b) > max(abs(a), abs(b)).ulp {
      Issue.record("\(comment): \(what)[\(token)] is \(a) on the tape, \(b) by hand")
      return
    }
  }

  /// Of the metrics that the twin declares too.
  private func expectSameMetrics(_ found: PluginGradients, _ expected: PluginGradients, _ plugin: PluginInstance, _ comment: Comment) {
    let names = plugin.library.descriptor.metrics.map(\.name)
    guard let twin = try? TwinLibrary.library.descriptor.metrics.map(\.name) else { return }
    for (name, value) in zip(twin, found.metrics) {
      guard let index = names.firstIndex(of: name) else { continue }
      let other = expected.metrics[index]
      let isClose = abs(value.value - other.value) <= 1e-12 * max(1, abs(other.value))
      #expect(value.weight == other.weight && isClose, "\(comment): metric \(name): \(value) and \(other)")
    }
  }

  // MARK: - Random batches

  /// Odd shapes: no group, groups of different sizes, sequences of no token and of one.
  private static func rollout(_ round: Int, _ random: inout RandomStream) -> PluginRollout {
    let groups = round == 7 ? 0 : 1 + random.next(below: 5)
    var groupOffsets = [0]
    for _ in 0..<groups { groupOffsets.append(groupOffsets[groupOffsets.count - 1] + 1 + random.next(below: 6)) }
    let sequences = groupOffsets[groups]
    let longest = [0, 1, 3, 12, 40][round / 5 % 5]
    var tokenOffsets = [0]
    for _ in 0..<sequences { tokenOffsets.append(tokenOffsets[tokenOffsets.count - 1] + random.next(in: 0...longest)) }
    var rollout = PluginRollout(
      groupKeys: (0..<UInt64(groups)).map { $0 }, groupOffsets: groupOffsets, tokenOffsets: tokenOffsets,
      rewards: (0..<sequences).map { _ in Float(random.next(in: 0...3)) / 2 },
      sequenceFlags: (0..<sequences).map { _ in UInt8(random.next(below: 4)) }, tokenLimit: max(longest, 1))
    rollout.old = (0..<rollout.tokenCount).map { _ in Float(-4 * random.nextUniform()) }
    rollout.reference = rollout.old?.map { $0 + Float(0.3 * random.nextNormal()) }
    rollout.values = rollout.old?.map { $0 / 2 + Float(0.2 * random.nextNormal()) }
    rollout.step = 3
    return rollout
  }

  /// Where the policy and the critic are now; at some tokens where they were.
  private static func scores(
    _ rollout: PluginRollout, spread: Double, _ random: inout RandomStream
  ) -> (current: [Float], values: [Float]) {
    let current = (rollout.old ?? []).map { random.next(below: 4) == 0 ? $0 : $0 + Float(spread * random.nextNormal()) }
    let values = (rollout.values ?? []).map { random.next(below: 4) == 0 ? $0 : $0 + Float(0.2 * random.nextNormal()) }
    return (current, values)
  }

  /// The whole update, a part of it in another order, and a micro-batch of nothing.
  private static func splits(_ sequences: Int, _ random: inout RandomStream) -> [[Int]] {
    [Array(0..<sequences), Array(random.permutation(sequences).prefix((sequences + 1) / 2)), []]
  }
}
