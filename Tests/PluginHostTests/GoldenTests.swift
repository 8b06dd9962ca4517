import PluginHost
import Support
import TestSupport
import Testing

@Suite("Plugins against PyTorch autograd in float64")
struct GoldenTests {
  static let goldens = Place.goldens
  static let cases = ((try? Files.list(goldens)) ?? []).filter { $0.hasSuffix(".safetensors") }

  @Test func thereAreGoldens() { #expect(Self.cases.count >= 60) }

  @Test("Loss to 1e-9, derivatives to 1e-6", arguments: cases)
  func equalsAutograd(name: String) throws {
    let file = try SafetensorsFile("\(Self.goldens)/\(name)")
    let library = try Place.plugin(try #require(file.metadata["algorithm"]))
    let count = try #require(file.metadata["count"].flatMap { Int($0) })
    for index in 0..<count {
      let settings = (file.metadata["settings.\(index)"] ?? "").split(separator: " ").map(String.init)
      let found = try PluginEvaluation(file, PluginInstance(library, settings: settings))
      let comment = Comment(rawValue: "\(name) with \(settings)")
      let loss = try doubles(file, "expected.\(index).loss")[0]
      #expect(abs(found.loss - loss) <= 1e-9 * abs(loss) + 1e-13, comment)
      let keep = "expected.\(index).keep"
      let expectedKeep = file.entries[keep] == nil ? nil : try file.integers(keep).map { $0 == 1 }
      #expect(found.keep == expectedKeep ?? found.keep.map { _ in true }, comment)
      let arrays = [
        ("advantages", found.advantages), ("returns", found.returns), ("d_current", found.dCurrent),
        ("d_values", found.dValues),
      ]
      for (what, values) in arrays {
        guard file.entries["expected.\(index).\(what)"] != nil else {
          #expect(values.allSatisfy { $0 == 0 }, comment)
          continue
        }
        let expected = try doubles(file, "expected.\(index).\(what)")
        try #require(values.count == expected.count, comment)
        let worst = zip(values, expected).map { abs(Double($0) - $1) - 1e-6 * abs($1) }.max() ?? 0
        #expect(worst <= 1e-10, "\(name) with \(settings): \(what) is off by \(worst)")
      }
    }
  }

  private func doubles(_ file: SafetensorsFile, _ name: String) throws -> [Double] {
    let entry = try file.entry(name)
    if entry.type == .float32 { return try file.floats(name).map { Double($0) } }
    try #require(entry.type == .float64)
    return unsafe file.withBytes(entry) { bytes in
      (0..<entry.elementCount).map { unsafe bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    }
  }
}

@Suite("The six algorithms")
struct AlgorithmTests {
  static let settings: [(String, [String])] = [
    ("grpo", []), ("grpo", ["variant=paper"]), ("grpo", ["beta=0.3", "clip_low=0.05"]),
    ("dr-grpo", []), ("dr-grpo", ["variant=paper"]), ("dr-grpo", ["length_factor=multiply"]),
    ("ppo", []), ("ppo", ["variant=paper"]), ("gspo", []), ("gspo", ["variant=paper"]),
    ("dapo", []), ("dapo", ["variant=paper"]), ("grpo-lead", []), ("grpo-lead", ["variant=paper", "scope=batch"]),
  ]

  @Test("A loss does not depend on how the update is split", arguments: settings)
  func splitInvariance(id: String, settings: [String]) throws {
    var example = Example(seed: 11, groups: 6, size: 5)
    example.rollout.sequenceFlags = example.rollout.rewards.map { $0 >= 1 ? PluginRollout.correct : 0 }
    let instance = try PluginInstance(Place.plugin(id), settings: settings)
    let stage1 = try instance.advantages(example.rollout)
    let all = Array(0..<example.rollout.sequenceCount)
    let whole = try instance.loss(example.batch(all, stage1))
    #expect(whole.loss != 0 && whole.dCurrent.contains { $0 != 0 })
    var random = RandomStream(seed: 12)
    for _ in 0..<20 {
      let order = random.permutation(all.count)
      var loss = 0.0
      var dCurrent = [Float](repeating: .nan, count: example.rollout.tokenCount)
      var dValues = whole.dValues.map { [Float](repeating: .nan, count: $0.count) }
      var start = 0
      while start < order.count {
        let end = min(order.count, start + 1 + random.next(below: 9))
        let sequences = Array(order[start..<end])
        let part = try instance.loss(example.batch(sequences, stage1))
        loss += part.loss
        for (index, token) in sequences.flatMap({ example.rollout.tokens(of: $0) }).enumerated() {
          dCurrent[token] = part.dCurrent[index]
          dValues?[token] = part.dValues?[index] ?? .nan
        }
        start = end
      }
      #expect(abs(loss - whole.loss) <= 1e-13 * max(1, abs(whole.loss)))
      #expect(dCurrent == whole.dCurrent)
      #expect(dValues == whole.dValues)
    }
  }

  @Test(
    "An algorithm's needs are those of its parameters",
    arguments: [
      ("dr-grpo", [], []), ("gspo", [], []), ("grpo-lead", [], []),
      ("dapo", [], .refill), ("dapo", ["refill=false"], []),
      ("ppo", [], .critic), ("ppo", ["variant=paper", "beta=0"], .critic),
      ("ppo", ["variant=paper"], [.critic, .reference]),
    ] as [(String, [String], PluginNeeds)])
  func needs(id: String, settings: [String], expected: PluginNeeds) throws {
    #expect(try PluginInstance(Place.plugin(id), settings: settings).needs == expected)
  }

  @Test("Every algorithm has a variant, a card that says what it computes, and the metrics of its clip")
  func cards() throws {
    for id in ["grpo", "dr-grpo", "ppo", "gspo", "dapo", "grpo-lead"] {
      let descriptor = try Place.plugin(id).descriptor
      #expect(descriptor.parameters[0].name == "variant")
      #expect(descriptor.parameters[0].choices == ["default", "paper"])
      let text = PluginDescription(try Place.plugin(id)).text
      for topic in ["advantage", "aggregation", "clip", "kl", "differs from the paper", "clamped_tokens", "arXiv:"] {
        #expect(text.contains(topic), "\(id): \(topic)")
      }
    }
  }

  @Test("DAPO drops groups of equal rewards whatever else differs")
  func dropsEqualRewards() throws {
    let example = Example(seed: 3, groups: 4, size: 3)
    var rollout = example.rollout
    rollout.rewards = [1, 1, 1, 0, 1, 0, 0, 0, 0, 0.5, 0.5, 1]
    rollout.sequenceFlags = [2, 3, 2, 0, 2, 1, 0, 1, 0, 0, 1, 2]
    for settings in [[], ["variant=paper"], ["refill=false"]] {
      let instance = try PluginInstance(Place.plugin("dapo"), settings: settings)
      #expect(try instance.select(rollout) == [false, true, false, true])
    }
  }

  @Test("GRPO-LEAD reports its weights and what length did")
  func leadMetrics() throws {
    var example = Example(seed: 5, groups: 2, size: 2, longest: 0)
    example.rollout.tokenOffsets = [0, 1, 4, 5, 6]
    example.rollout.rewards = [1, 1, 1, 0]
    example.rollout.sequenceFlags = [2, 2, 2, 0]
    example.rollout.old = [-1, -1, -1, -1, -1, -1]
    (example.rollout.reference, example.rollout.values) = (nil, nil)
    let result = try PluginEvaluation(
      example.rollout, current: example.rollout.old!, PluginInstance(Place.plugin("grpo-lead")))
    let metrics = Dictionary(uniqueKeysWithValues: result.metrics.map { ($0.name, $0.value) })
    #expect(metrics["difficulty_weight_min"] == 1)
    #expect(metrics["difficulty_weight_max"] == 1.5)
    #expect(metrics["difficulty_weight_mean"] == 1.25)
    // Lengths 1 and 3 stand 1/√2 deviations from their mean, the third right answer is alone in its group.
    let expected = (2 * 0.9317306 + 1) / 3
    #expect(abs((metrics["length_reward_mean"] ?? 0) - expected) < 1e-5)
    #expect(metrics["shaped_zero_variance"] == 0.5)
  }

  @Test("Dr. GRPO refuses a sequence whose length factor it never saw")
  func refusesUnknownSequence() throws {
    let example = Example(seed: 3, groups: 2, size: 3)
    let instance = try PluginInstance(Place.plugin("dr-grpo"))
    let stage1 = try PluginInstance(Place.plugin("dr-grpo")).advantages(example.rollout)
    let found = message { () throws(Failure) in try instance.loss(example.batch([0], stage1)) }
    #expect(found?.contains("a sequence that advantages did not see") == true)
  }
}

@Suite("GRPO")
struct GRPOTests {
  @Test func needsTheReferenceOnlyWithBeta() throws {
    let library = try Place.plugin("grpo")
    #expect(try PluginInstance(library).needs == [])
    #expect(try PluginInstance(library, settings: ["beta=0.1"]).needs == .reference)
    #expect(try PluginInstance(library, settings: ["variant=paper"]).needs == .reference)
    #expect(try PluginInstance(library, settings: ["variant=paper", "beta=0"]).needs == [])
  }

  @Test func aVariantHasItsOwnPresetsUnlessSet() throws {
    let descriptor = try Place.plugin("grpo").descriptor
    #expect(try PluginParameters([], for: descriptor)["beta"] == 0)
    #expect(try PluginParameters(["variant=paper"], for: descriptor)["beta"] == 0.04)
    #expect(try PluginParameters(["beta=0.5", "variant=paper"], for: descriptor)["beta"] == 0.5)
  }

  @Test func metricsSayWhatHappened() throws {
    var example = Example(seed: 5, groups: 2, size: 2, longest: 0)
    example.rollout.tokenOffsets = [0, 1, 2, 3, 4]
    example.rollout.rewards = [1, 0, 1, 1]
    example.rollout.old = [-1, -1, -1, -1]
    example.current = [0, -2, -1, -31]
    (example.rollout.reference, example.rollout.values) = (nil, nil)
    let result = try PluginEvaluation(example.rollout, current: example.current, PluginInstance(Place.plugin("grpo")))
    let metrics = Dictionary(uniqueKeysWithValues: result.metrics.map { ($0.name, $0.value) })
    #expect(metrics["clip_high_share"] == 0.25)
    #expect(metrics["clip_low_share"] == 0.25)
    #expect(metrics["clamped_tokens"] == 1)
    #expect(result.advantages[2...] == [0, 0])
  }
}
