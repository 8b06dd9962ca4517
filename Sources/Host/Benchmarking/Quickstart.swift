import Compute
import Evaluation
import PluginHost
import Rollouts
import Support
import Tasks
import Telemetry
import Tokenization
import Training
import Transformer

/// The whole pipeline on generated problems, with the settings that suit the small base model.
package struct Quickstart: Sendable {
  package var seed: UInt64 = 42
  package var resumes = false
  package var heldOut = 1000
  package var sftSteps = 120
  package var rlSteps = 60
  package var sftBatch = 16
  package var sftLearningRate = 1e-3
  package var rlLearningRate = 5e-4
  package var groupSize = 8
  package var promptsPerStep = 16
  package var maxNewTokens = 96
  package var temperature = 0.8
  /// Problems of the small evaluations that draw the curve, and steps between them.
  package var curveProblems = 200
  package var curveEvery = 10

  package init() {}

  /// The model that it begins with.
  package struct Base {
    package let name: String
    package let folder: ModelFolder
    let tokenizer: Tokenizer
    package let form: PromptForm
    /// Words that name the form to other commands, where it was named to this one.
    package var formOption: [String] = []

    package init(name: String, folder: ModelFolder, tokenizer: Tokenizer, form: PromptForm) {
      self.form = form
      self.name = name
      self.folder = folder
      self.tokenizer = tokenizer
    }
  }

  /// What its stages share: the model that they train one after another, and where they write.
  package struct Course {
    let base: Base
    let trained: RunModel
    let out: String
    let observer: any RecipeObserver

    package init(base: Base, _ trained: RunModel, out: String, observer: any RecipeObserver) {
      self.base = base
      self.trained = trained
      self.out = out
      self.observer = observer
    }
  }

  package enum Outcome: Sendable {
    case finished(QuickstartReport)
    /// Stopped on request after a step; a checkpoint was written.
    case interrupted(step: Int)
  }

  package func run(
    _ base: Base, _ plugin: PluginChoice, out: String, on backend: any Backend, _ observer: any RecipeObserver
  ) throws(Failure) -> Outcome {
    let watch = Stopwatch()
    let model = try Transformer(base.folder, on: backend)
    let problems = heldOutProblems(heldOut)
    let probe = (0..<curveProblems).map { WordProblems.make(seed: seed &+ 1, split: .heldOut, index: $0) }
    let adapter = try Adapter(AdapterSettings(), seed: seed, for: model)
    var trained = try RunModel(model, adapter: adapter, from: base.folder, PolicySettings(), baseName: base.name)
    trained.form = base.form
    let greedy = GenerationSettings(
      sampling: SamplingSettings(temperature: 0), maxNewTokens: maxNewTokens, seed: seed,
      stopTokens: Set(model.endOfText))
    if !resumes, [out, out + "/sft", out + "/rl"].contains(where: { RunFolder($0).holdsRun }) {
      throw .usage("\(out): holds a run already; continue it with --resume or choose another --out")
    }
    try Files.makeDirectory(out)
    var report = QuickstartReport(
      algorithm: plugin.card.descriptor.title, id: plugin.id, questions: problems.map(\.question), seed: seed, folder: out)
    report.base = base.name
    report.formOption = base.formOption

    var sampled = greedy
    sampled.sampling = SamplingSettings(temperature: temperature)
    func measure(_ stage: String, _ seconds: Double) throws(Failure) {
      let evaluator = Evaluator(stage == "base" ? PolicySnapshot(model) : trained.acting, trained.engine, tokenizer: base.tokenizer, form: base.form)
      func result(_ label: String, _ settings: GenerationSettings) throws(Failure) -> EvaluationResult {
        let result = try evaluator.evaluate(problems, settings) { observer.generated(label, $0) }
        observer.end(stage: label)
        return result
      }
      report.add(
        stage, greedy: try result("eval \(stage)", greedy), sampled: try result("eval \(stage), sampled", sampled),
        trainingSeconds: seconds)
    }

    observer.say("base model \(base.name): \(model.architecture.parameterCount) parameters, \(backend.name)")
    try measure("base", 0)
    let course = Course(base: base, trained, out: out, observer: observer)
    var stage = Stopwatch()
    if case .interrupted(let step) = try trainSFT(course) { return .interrupted(step: step) }
    for record in try MetricLog.read(out + "/sft/metrics.jsonl") {
      if let loss = record.metrics["loss"] { report.sftLoss.append((record.step, loss)) }
    }
    try measure("SFT", stage.lap())
    stage = Stopwatch()
    let evaluator = Evaluator(trained.acting, trained.engine, tokenizer: base.tokenizer, form: base.form)
    func accuracy() throws(Failure) -> Double { try evaluator.evaluate(probe, greedy).accuracy.estimate }
    let run = try reinforcement(course, plugin) { step throws(Failure) in
      step % curveEvery == 0 || step == rlSteps ? ["held_out_accuracy": try accuracy()] : [:]
    }
    report.curve.append((0, try accuracy()))
    if case .interrupted(let step) = try run.run(observer) { return .interrupted(step: step) }
    for record in try MetricLog.read(out + "/rl/metrics.jsonl") {
      if let reward = record.metrics["reward"] { report.reward.append((record.step, reward)) }
      if let accuracy = record.metrics["held_out_accuracy"] { report.curve.append((record.step, accuracy)) }
    }
    report.curveProblems = curveProblems
    try measure(plugin.id, stage.lap())
    report.seconds = watch.seconds
    try report.write()
    return .finished(report)
  }

  /// The stage that teaches the form, on problems of the training split; its run is in `sft` below the course's folder.
  package func trainSFT(_ course: Course) throws(Failure) -> RunOutcome {
    let examples = (0..<(sftSteps * sftBatch)).map {
      WordProblems.make(seed: seed, split: .train, index: $0, working: .mixed)
    }
    var policy = PolicySettings()
    policy.learningRate = sftLearningRate
    policy.schedule = LearningRateSchedule(shape: .linear, warmupSteps: 5, totalSteps: sftSteps)
    var documents = TrainingDocuments()
    documents.form = course.base.form
    let sequences = try documents.sequences(examples, course.base.tokenizer, name: "generated problems")
    let run = SFTRun(
      course.trained.with(policy), SFTBatches(sequences, batchSize: sftBatch, shuffles: false, seed: seed), steps: sftSteps,
      placement: try placement("sft", course, ["seed": .integer(Int(seed)), "steps": .integer(sftSteps), "prompt-form": .string(course.base.form.rawValue)]))
    return try run.run(course.observer)
  }

  /// Problems the SFT stage has not seen: a model that can recite learns nothing from trying.
  package func rlProblems(_ count: Int) -> [Example] {
    (0..<count).map { WordProblems.make(seed: seed, split: .train, index: sftSteps * sftBatch + $0) }
  }

  package func heldOutProblems(_ count: Int) -> [Example] {
    (0..<count).map { WordProblems.make(seed: seed, split: .heldOut, index: $0) }
  }

  package var rlPolicy: PolicySettings {
    var policy = PolicySettings()
    policy.learningRate = rlLearningRate
    policy.schedule = LearningRateSchedule(shape: .linear, warmupSteps: 5, totalSteps: 2 * 2 * rlSteps)
    return policy
  }

  package var rlSettings: RLSettings {
    var settings = RLSettings()
    settings.groupSize = groupSize
    settings.promptsPerStep = promptsPerStep
    settings.maxNewTokens = maxNewTokens
    settings.temperature = temperature
    settings.steps = rlSteps
    settings.seed = seed
    return settings
  }

  /// The stage of reinforcement learning; its run is in `rl` below the course's folder.
  private func reinforcement(
    _ course: Course, _ choice: PluginChoice, afterStep: @escaping (Int) throws(Failure) -> Metrics
  ) throws(Failure) -> RLRun {
    var settings = rlSettings
    settings.shuffles = false
    let tokenizer = course.base.tokenizer
    let identity: JSON.Object = [
      "seed": .integer(Int(seed)), "steps": .integer(rlSteps), "plugin": .string(choice.id),
      "plugin_parameters": choice.parameters.json, "prompt-form": .string(course.base.form.rawValue),
    ]
    let placement = try placement("rl", course, identity, ["plugin": PluginDescription(choice.card).json])
    let prompts = try PromptSet(rlProblems(rlSteps * promptsPerStep), tokenizer: tokenizer, form: course.base.form, name: "generated problems")
    let plugin = try choice.instance()
    var run = RLRun(
      course.trained.with(rlPolicy), task: RLTask(prompts, tokenizer: tokenizer, verifier: Verifier()), algorithm: plugin,
      reference: plugin.needs.contains(.reference) ? try course.trained.reference() : nil, settings: settings, placement: placement)
    run.afterStep = afterStep
    return run
  }

  private func placement(
    _ stage: String, _ course: Course, _ settings: JSON.Object, _ description: JSON.Object = [:]
  ) throws(Failure) -> RunPlacement {
    let folder = RunFolder("\(course.out)/\(stage)")
    var identity = settings
    let digests = try course.base.folder.digests(progress: course.observer.patient)
    for key in digests.keys { identity[key] = digests[key] }
    var described: JSON.Object = ["base": .string(course.base.name)]
    for key in description.keys { described[key] = description[key] }
    var keeping = RunKeeping()
    keeping.resumes = resumes && folder.holdsRun
    return RunPlacement(folder, RunRecord(stage: stage, identity: identity, description: described), keeping)
  }
}
