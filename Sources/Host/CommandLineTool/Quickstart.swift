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
struct Quickstart {
  var seed: UInt64 = 42
  var resumes = false
  var heldOut = 1000
  var sftSteps = 120
  var rlSteps = 60
  var sftBatch = 16
  var sftLearningRate = 1e-3
  var rlLearningRate = 5e-4
  var groupSize = 8
  var promptsPerStep = 16
  var maxNewTokens = 96
  var temperature = 0.8
  /// Problems of the small evaluations that draw the curve, and steps between them.
  var curveProblems = 200
  var curveEvery = 10

  func run(base: String, plugin: PluginInstance, out: String, on backend: any Backend, _ observer: ConsoleObserver)
    throws(Failure) -> QuickstartReport
  {
    let watch = Stopwatch()
    let (folder, tokenizer) = try ModelOptions.open(base)
    let model = try Transformer(folder, on: backend)
    let problems = heldOutProblems(heldOut)
    let probe = (0..<curveProblems).map { WordProblems.make(seed: seed &+ 1, split: .heldOut, index: $0) }
    let evaluator = Evaluator(model, tokenizer: tokenizer)
    let greedy = GenerationSettings(
      sampling: SamplingSettings(temperature: 0), maxNewTokens: maxNewTokens, seed: seed,
      stopTokens: Set(model.endOfText))
    if !resumes, [out, out + "/sft", out + "/rl"].contains(where: { RunFolder($0).holdsRun }) {
      throw .usage("\(out): holds a run already; continue it with --resume or choose another --out")
    }
    try Files.makeDirectory(out)
    var report = QuickstartReport(
      algorithm: plugin.library.descriptor.title, id: plugin.library.id, questions: problems.map(\.question), seed: seed, folder: out)
    report.base = base

    var sampled = greedy
    sampled.sampling = SamplingSettings(temperature: temperature)
    func measure(_ stage: String, _ seconds: Double) throws(Failure) {
      func result(_ label: String, _ settings: GenerationSettings) throws(Failure) -> EvaluationResult {
        let result = try evaluator.evaluate(problems, settings) { observer.generated(label, $0) }
        observer.end(stage: label)
        return result
      }
      report.add(
        stage, greedy: try result("eval \(stage)", greedy), sampled: try result("eval \(stage), sampled", sampled),
        trainingSeconds: seconds)
    }

    observer.console.info("base model \(base): \(model.configuration.parameterCount) parameters, \(backend.name)")
    try measure("base", 0)
    let adapter = AdapterSettings()
    try model.addAdapter(adapter, seed: seed)
    var stage = Stopwatch()
    try trainSFT(model, folder, tokenizer, adapter, base: base, out: out, observer)
    for record in try MetricLog.read(out + "/sft/metrics.jsonl") {
      if let loss = record.metrics["loss"] { report.sftLoss.append((record.step, loss)) }
    }
    try measure("SFT", stage.lap())
    stage = Stopwatch()
    try trainRL(
      model, folder, tokenizer, adapter, plugin, base: base, out: out, observer, &report
    ) { () throws(Failure) in
      try evaluator.evaluate(probe, greedy).accuracy.estimate
    }
    try measure(plugin.library.descriptor.id, stage.lap())
    report.seconds = watch.seconds
    try report.write()
    return report
  }

  /// The stage that teaches the form, on problems of the training split; its run is in `sft` below `out`.
  func trainSFT(
    _ model: Transformer, _ folder: ModelFolder, _ tokenizer: Tokenizer, _ adapter: AdapterSettings, base: String,
    out: String, _ observer: ConsoleObserver
  ) throws(Failure) {
    let examples = (0..<(sftSteps * sftBatch)).map {
      WordProblems.make(seed: seed, split: .train, index: $0, working: .mixed)
    }
    var policy = PolicySettings()
    policy.adapter = adapter
    policy.learningRate = sftLearningRate
    policy.schedule = LearningRateSchedule(shape: .linear, warmupSteps: 5, totalSteps: sftSteps)
    var identity: JSON.Object = ["seed": .integer(Int(seed)), "steps": .integer(sftSteps)]
    try TrainingOptions.addDigests(of: folder, to: &identity, observer)
    let run = SFTRun(
      model: model, source: folder,
      sequences: try TrainingDocuments().sequences(examples, tokenizer, name: "generated problems"), policy: policy,
      batchSize: sftBatch, steps: sftSteps, shuffles: false, seed: seed, folder: RunFolder(out + "/sft"),
      record: RunRecord(stage: "sft", identity: identity, description: ["base": .string(base)]),
      keeping: keeping(out + "/sft"), baseName: base)
    try finish(try run.run(observer))
  }

  /// Problems the SFT stage has not seen: a model that can recite learns nothing from trying.
  func rlProblems(_ count: Int) -> [Example] {
    (0..<count).map { WordProblems.make(seed: seed, split: .train, index: sftSteps * sftBatch + $0) }
  }

  func heldOutProblems(_ count: Int) -> [Example] {
    (0..<count).map { WordProblems.make(seed: seed, split: .heldOut, index: $0) }
  }

  func rlPolicy(_ adapter: AdapterSettings) -> PolicySettings {
    var policy = PolicySettings()
    policy.adapter = adapter
    policy.learningRate = rlLearningRate
    policy.schedule = LearningRateSchedule(shape: .linear, warmupSteps: 5, totalSteps: 2 * 2 * rlSteps)
    return policy
  }

  var rlSettings: RLSettings {
    var settings = RLSettings()
    settings.groupSize = groupSize
    settings.promptsPerStep = promptsPerStep
    settings.maxNewTokens = maxNewTokens
    settings.temperature = temperature
    settings.steps = rlSteps
    settings.seed = seed
    return settings
  }

  private func trainRL(
    _ model: Transformer, _ folder: ModelFolder, _ tokenizer: Tokenizer, _ adapter: AdapterSettings,
    _ plugin: PluginInstance, base: String, out: String, _ observer: ConsoleObserver,
    _ report: inout QuickstartReport, probe: @escaping () throws(Failure) -> Double
  ) throws(Failure) {
    let examples = rlProblems(rlSteps * promptsPerStep)
    let policy = rlPolicy(adapter)
    var settings = rlSettings
    settings.shuffles = false
    let needsReference = plugin.needs.contains(.reference)
    var identity: JSON.Object = [
      "seed": .integer(Int(seed)), "steps": .integer(rlSteps), "plugin": .string(plugin.library.id),
      "plugin_parameters": plugin.parameters.json,
    ]
    try TrainingOptions.addDigests(of: folder, to: &identity, observer)
    var run = RLRun(
      model: model, source: folder, policy: policy, settings: settings, plugin: plugin,
      task: RLTask(
        try PromptSet(examples, tokenizer: tokenizer, name: "generated problems"), tokenizer: tokenizer, verifier: Verifier()),
      text: { try tokenizer.text(of: $0) }, question: { examples[$0].question },
      reference: needsReference ? try ReferencePolicy(adapterOf: model) : nil, folder: RunFolder(out + "/rl"),
      record: RunRecord(
        stage: "rl", identity: identity,
        description: ["base": .string(base), "plugin": PluginDescription(plugin.library).json]),
      keeping: keeping(out + "/rl"), baseName: base)
    run.afterStep = { step throws(Failure) in
      step % curveEvery == 0 || step == rlSteps ? ["held_out_accuracy": try probe()] : [:]
    }
    report.curve.append((0, try probe()))
    try finish(try run.run(observer))
    for record in try MetricLog.read(out + "/rl/metrics.jsonl") {
      if let reward = record.metrics["reward"] { report.reward.append((record.step, reward)) }
      if let accuracy = record.metrics["held_out_accuracy"] { report.curve.append((record.step, accuracy)) }
    }
    report.curveProblems = curveProblems
  }

  private func keeping(_ folder: String) -> RunKeeping {
    var keeping = RunKeeping()
    keeping.resumes = resumes && RunFolder(folder).holdsRun
    return keeping
  }

  private func finish(_ outcome: RunOutcome) throws(Failure) {
    if case .interrupted(let step) = outcome { throw TrainingOptions.interrupted(at: step) }
  }
}
