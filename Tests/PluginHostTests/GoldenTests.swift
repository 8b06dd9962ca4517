import Foundations
import PluginHost
import Testing

@Suite("Plugins against PyTorch autograd in float64")
struct GoldenTests {
  static let goldens = "\(Place.tests)/Goldens"
  static let cases = ((try? Files.list(goldens)) ?? []).filter { $0.hasSuffix(".safetensors") }

  @Test func thereAreGoldens() { #expect(Self.cases.count >= 6) }

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
      for (what, values) in [("advantages", found.advantages), ("d_current", found.dCurrent)] {
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

@Suite("GRPO")
struct GRPOTests {
  static let settings: [[String]] = [[], ["variant=paper"], ["beta=0.3", "clip_low=0.05"]]

  @Test("A loss does not depend on how the update is split", arguments: settings)
  func splitInvariance(settings: [String]) throws {
    let example = Example(seed: 11, groups: 6, size: 5)
    let instance = try PluginInstance(Place.plugin("grpo"), settings: settings)
    let advantages = try instance.advantages(example.rollout).advantages
    let all = Array(0..<example.rollout.sequenceCount)
    let whole = try instance.loss(example.batch(all, advantages: advantages))
    var random = RandomStream(seed: 12)
    for _ in 0..<20 {
      let order = random.permutation(all.count)
      var loss = 0.0
      var gradient = [Float](repeating: .nan, count: example.rollout.tokenCount)
      var start = 0
      while start < order.count {
        let end = min(order.count, start + 1 + random.next(below: 9))
        let sequences = Array(order[start..<end])
        let part = try instance.loss(example.batch(sequences, advantages: advantages))
        loss += part.loss
        var index = 0
        for sequence in sequences {
          for token in example.rollout.tokens(of: sequence) {
            gradient[token] = part.dCurrent[index]
            index += 1
          }
        }
        start = end
      }
      #expect(abs(loss - whole.loss) <= 1e-13 * max(1, abs(whole.loss)))
      #expect(gradient == whole.dCurrent)
    }
  }

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
    #expect(metrics["zero_variance_share"] == 0.5)
    #expect(abs((metrics["ratio_max"] ?? 0) - 2.718281828459045) < 1e-12)
    #expect(metrics["kl_reference_k3"] == nil)
    #expect(result.advantages[2...] == [0, 0])
  }
}
