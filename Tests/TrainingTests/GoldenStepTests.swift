import Compute
import Support
import TestSupport
import Testing
import Training
import Transformer

/// Three steps of `sft` against peft and torch: weights to 1e-5. `Goldens/README.md` says what each file can show.
@Suite struct GoldenStepTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let file: String
    /// nil trains every parameter.
    let adapter: String?
    let learningRate: Double
    var weightDecay = 0.01
    var maximumNorm = 1.0
    var testDescription: String { file }
  }

  static let cases = [
    Case(file: "lora_steps/expected_initial_lr2e-5", adapter: "initial", learningRate: 2e-5),
    Case(file: "lora_steps/expected_initial_lr1e-3", adapter: "initial", learningRate: 1e-3),
    Case(file: "lora_steps/expected_fresh_lr2e-5", adapter: "fresh", learningRate: 2e-5),
    Case(file: "lora_steps/expected_fresh_lr1e-3", adapter: "fresh", learningRate: 1e-3),
    Case(file: "lora_steps/expected_initial_lr1e-3_clip100", adapter: "initial", learningRate: 1e-3, maximumNorm: 100),
    Case(file: "lora_steps/expected_initial_lr1e-3_decay1", adapter: "initial", learningRate: 1e-3, weightDecay: 1),
    Case(file: "full_steps/expected_lr2e-5", adapter: nil, learningRate: 2e-5),
    Case(file: "full_steps/expected_lr1e-3", adapter: nil, learningRate: 1e-3),
    Case(file: "full_steps/expected_lr1e-3_decay1", adapter: nil, learningRate: 1e-3, weightDecay: 1),
  ]

  private func policy(_ test: Case) throws -> Policy {
    let (model, adapter) = try loadModel(full: test.adapter == nil, adapter: test.adapter)
    var settings = PolicySettings()
    settings.learningRate = test.learningRate
    settings.weightDecay = test.weightDecay
    settings.maximumGradientNorm = test.maximumNorm
    return try Policy(model, adapter: adapter, settings)
  }

  @Test(arguments: cases) func threeStepsEndAtTheWeightsOfTorch(_ test: Case) throws {
    let golden = try SafetensorsFile("\(Place.goldens)/\(test.file).safetensors")
    let policy = try policy(test)
    let trainer = SFTTrainer(policy, SFTBatches(try goldenSequences(), batchSize: 4, shuffles: false, seed: 0))
    let losses = try doubles(golden, "losses")
    let norms = try doubles(golden, "grad_norms")
    #expect(losses.count == 3)
    for (loss, norm) in zip(losses, norms) {
      let result = try trainer.trainStep()
      #expect(abs(result.loss - loss) < 1e-5)
      #expect(abs(result.gradientNorm - norm) < 1e-5 * norm)
    }
    let prefix = test.adapter == nil ? "final." : "final.base_model.model."
    let parameters = policy.parameters
    #expect(golden.names.count { $0.hasPrefix("final.") } == parameters.count)
    for parameter in parameters {
      let expected = try golden.floats(prefix + parameter.name)
      let found = try policy.model.backend.download(parameter.value).value()
      #expect(found.count == expected.count)
      let worst = zip(found, expected).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
      #expect(worst < 1e-5, "\(parameter.name): off by \(worst)")
    }
  }

  /// The tests above must be able to fail: without decay or clipping the weights end elsewhere.
  @Test(arguments: [(5, 0.0, 1.0), (1, 0.01, 1e9)])
  func aTrainerWithoutDecayOrClippingWouldBeSeen(_ index: Int, _ decay: Double, _ norm: Double) throws {
    var test = Self.cases[index]
    let golden = try SafetensorsFile("\(Place.goldens)/\(test.file).safetensors")
    test.weightDecay = decay
    test.maximumNorm = norm
    let policy = try policy(test)
    let trainer = SFTTrainer(policy, SFTBatches(try goldenSequences(), batchSize: 4, shuffles: false, seed: 0))
    for _ in 0..<3 { _ = try trainer.trainStep() }
    var worst: Float = 0
    for parameter in policy.parameters {
      let expected = try golden.floats("final.base_model.model." + parameter.name)
      worst = zip(try policy.model.backend.download(parameter.value).value(), expected).reduce(worst) { max($0, abs($1.0 - $1.1)) }
    }
    #expect(worst > 5e-5)
  }

  /// A trunk and a value head at rates and decays of their own, clipped together, against torch's two parameter groups.
  @Test func aValueHeadsAdamWBesideTheTrunksIsTorchsSecondGroup() throws {
    let golden = try SafetensorsFile(Place.goldens + "/adamw_groups.safetensors")
    let (model, _) = try loadModel()
    let backend = model.backend
    func store(_ matrix: String, _ vector: String) throws -> ParameterStore {
      let specs = [
        TensorSpec(matrix, try golden.entry("initial." + matrix).shape, .valueWeight, .constant(0)),
        TensorSpec(vector, try golden.entry("initial." + vector).shape, .valueBias, .constant(0)),
      ]
      return try ParameterStore(specs, on: backend) { spec throws(Failure) in try golden.floats("initial." + spec.name) }
    }
    let (trunk, head) = (try store("trunk", "trunk_bias"), try store("value_head.weight", "value_head.bias"))
    let optimizer = try Optimizer(
      [
        Optimizer.Group(trunk, .init(learningRate: 1e-3, weightDecay: 0.1)),
        Optimizer.Group(head, .init(learningRate: 1e-2, weightDecay: 0.5)),
      ], on: backend)
    let norms = try doubles(golden, "norms")
    #expect(norms.count > 1)
    for (step, norm) in norms.enumerated() {
      for parameter in trunk.parameters + head.parameters {
        backend.upload(try golden.floats("gradient.\(step).\(parameter.name)"), to: parameter.gradient)
      }
      #expect(abs(try optimizer.update(maximumNorm: 1) - norm) < 1e-6 * max(1, norm))
    }
    for parameter in trunk.parameters + head.parameters {
      let expected = try golden.floats("final." + parameter.name)
      let found = try backend.download(parameter.value).value()
      #expect(found.count == expected.count)
      for (found, expected) in zip(found, expected) { #expect(abs(found - expected) < 1e-6) }
    }
  }
}
