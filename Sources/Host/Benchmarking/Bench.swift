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

/// Runs a plan: one model, set back to the starting point before each run, each run a run folder of its own.
package struct Bench {
  private let plan: BenchPlan
  private let trained: RunModel
  private let tokenizer: Tokenizer
  private let start: StartingPoint

  /// - Parameter trained: at the starting point.
  package init(_ plan: BenchPlan, _ trained: RunModel, tokenizer: Tokenizer) throws(Failure) {
    self.plan = plan
    self.trained = trained
    self.tokenizer = tokenizer
    start = try StartingPoint(trained)
  }

  /// How a plan ended.
  package enum Outcome: Sendable, Equatable {
    case finished
    case interrupted(run: Int, runs: Int, step: Int)
  }

  package func run(_ progress: PlanProgress, resuming: Bool) throws(Failure) -> Outcome {
    let verifier = try Verifier(ready: plan.rewards.grader)
    let evaluator = Evaluator(trained.acting, trained.engine, tokenizer: tokenizer, form: trained.form, verifier: verifier)
    let prompts = try PromptSet(
      plan.questions.training, tokenizer: tokenizer, form: trained.form, name: plan.questions.trainingName, purpose: "reinforcement learning")
    // By the longest completion, which some rewards are measured by.
    var tasks: [Int: RLTask] = [:]
    let folder = plan.placement.folder
    try folder.open(plan.placement.record, resuming: resuming && folder.holdsRun)
    for further in plan.questions.further where !Files.exists(plan.startEvaluation(further.name)) {
      try measure(evaluator, further.examples, plan.startEvaluation(further.name), progress)
    }
    if !Files.exists(plan.startEvaluation) { try measure(evaluator, plan.questions.heldOut, plan.startEvaluation, progress) }
    let runs = plan.runs
    progress.begin(runs: runs.count, finished: runs.count(where: \.isFinished), stepsPerRun: plan.settings.steps)
    for (index, run) in runs.enumerated() {
      let record = plan.record(of: run)
      if run.isFinished {
        try RunFolder(run.folder).check(record, resuming: true)
        continue
      }
      let label = plan.algorithms[run.algorithm].label
      progress.begin(run: index + 1, of: runs.count, label, seed: run.seed)
      start.restore()
      let limit = plan.settings(of: run.algorithm).maxNewTokens
      let task =
        if let made = tasks[limit] { made } else {
          RLTask(prompts, tokenizer: tokenizer, reward: try plan.rewards.reward(for: prompts, form: trained.form, limit: limit))
        }
      tasks[limit] = task
      let outcome = try train(run, task, record, evaluator, progress, resuming: resuming)
      if case .interrupted(let step) = outcome {
        progress.finish()
        return .interrupted(run: index + 1, runs: runs.count, step: step)
      }
      for further in plan.questions.further { try measure(evaluator, further.examples, run.evaluation(further.name), progress) }
      try measure(evaluator, plan.questions.heldOut, run.evaluation, progress)
      // The run is over and its adapter written: what it could be continued from only fills the disk.
      try CheckpointStore(run: run.folder).removeAll()
      progress.finishedRun(steps: plan.settings.steps)
    }
    progress.finish()
    start.restore()
    return .finished
  }

  private func train(
    _ run: BenchPlan.Run, _ task: RLTask, _ record: RunRecord, _ evaluator: Evaluator, _ progress: PlanProgress,
    resuming: Bool
  ) throws(Failure) -> RunOutcome {
    let algorithm = plan.algorithms[run.algorithm]
    let plugin = try algorithm.plugin.instance()
    var settings = plan.settings(of: run.algorithm)
    settings.seed = run.seed
    let folder = RunFolder(run.folder)
    var keeping = plan.placement.keeping
    keeping.resumes = resuming && folder.holdsRun
    var training = RLRun(
      trained.with(algorithm.overrides.applied(to: trained.policy, updates: settings.updates)), task: task, algorithm: plugin, reference: plugin.needs.contains(.reference) ? try trained.reference() : nil,
      settings: settings, placement: RunPlacement(folder, record, keeping))
    let (every, steps) = (plan.evaluateEvery, settings.steps)
    let (probe, greedy) = (Array(plan.questions.heldOut.prefix(plan.curveProblems)), greedy)
    training.afterStep = { step throws(Failure) in
      guard every > 0, step % every == 0, step < steps else { return [:] }
      let watch = Stopwatch()
      let accuracy = try evaluator.evaluate(probe, greedy).accuracy.estimate
      return ["held_out_accuracy": accuracy, "seconds/evaluation": watch.seconds]
    }
    return try training.run(progress)
  }

  private var greedy: GenerationSettings {
    GenerationSettings(
      sampling: SamplingSettings(temperature: 0), maxNewTokens: plan.settings.maxNewTokens, seed: plan.settings.seed,
      stopTokens: Set(trained.model.endOfText))
  }

  /// Evaluates the model as it is now on a set of questions.
  private func measure(_ evaluator: Evaluator, _ questions: [Example], _ path: String, _ progress: PlanProgress) throws(Failure) {
    let result = try evaluator.evaluate(questions, greedy) { _ in progress.evaluates() }
    try Files.makeDirectory(Files.directory(of: path))
    try AtomicFile.write(result.json.text(pretty: true) + "\n", to: String(path.dropLast()))
    try EvaluationFile.write(result, questions, to: path)
  }
}
