import Compute
import Support
import Tasks
import Tokenization
import Transformer

/// Training a small base model from nothing: a tokeniser learned from the text, random weights, every parameter trained.
///
/// The text is generated word problems, most as plain `Question: … Answer: …` with every step written down, and pages of
/// calculations. A small share is in chat form, as the instruct models that people start from have seen some of it too; there
/// only the last step is shown, so that what a model does in a chat is not yet the best it can do.
package struct PretrainingSettings: Sendable {
  package var hiddenSize = 192
  package var layerCount = 6
  package var queryHeads = 6
  package var keyValueHeads = 2
  package var intermediateSize = 512
  package var vocabularySize = 960
  package var documents = 72_000
  package var chatShare = 0.03
  /// The share of texts that are pages of calculations.
  package var practiceShare = 0.22
  package var batchSize = 32
  package var learningRate = 2e-3
  package var warmupSteps = 50
  package var weightDecay = 0.1
  package var seed: UInt64 = 1
  /// Texts the tokeniser is learned from.
  private static let tokenizerTexts = 4000

  package init() {}

  private func configuration(vocabularySize: Int) throws(Failure) -> ModelConfiguration {
    guard hiddenSize % (2 * queryHeads) == 0, queryHeads % keyValueHeads == 0 else {
      throw .usage(
        "--hidden \(hiddenSize) must be a multiple of twice --heads \(queryHeads), and --heads a multiple of --kv-heads \(keyValueHeads)")
    }
    return ModelConfiguration(
      vocabularySize: vocabularySize, hiddenSize: hiddenSize, intermediateSize: intermediateSize, layerCount: layerCount,
      heads: HeadShape(queryHeads: queryHeads, keyValueHeads: keyValueHeads, channels: hiddenSize / queryHeads),
      ropeTheta: 10_000, rmsEpsilon: 1e-6, tiesEmbeddings: true, maxPositions: 2048)
  }

  /// The text at an index, a pure function of the seed.
  package func text(_ index: Int) -> String {
    let stream = RandomStream(seed: seed, path: [0x50_52_45, UInt64(index)])
    let place = stream.uniform(at: 0)
    if place >= 1 - practiceShare { return WordProblems.practiceText(seed: seed, index: index) }
    guard place < chatShare else { return WordProblems.pretrainingText(seed: seed, index: index) }
    let example = WordProblems.make(seed: seed, split: .train, index: index, working: .abridged)
    let completion = TrainingDocuments.completion(solution: example.solution, answer: example.answer ?? "")
    return PromptForm.qwen.document(question: example.question, completion: completion)
  }

  /// The whole recipe; the finished model stands in the run folder's `model/`.
  package func run(
    _ placement: RunPlacement, format: WeightFormat, on backend: any Backend, _ observer: any RunObserver
  ) throws(Failure) -> RunOutcome {
    var trainer = BytePairTrainer()
    for index in 0..<min(documents, Self.tokenizerTexts) {
      trainer.add(text(index))
    }
    trainer.add(PromptForm.qwen.system ?? "")
    let learned = try trainer.learn(vocabularySize: vocabularySize)
    let tokenizer = try Tokenizer(json: learned.tokenizer, name: "the learned tokeniser")
    guard let end = tokenizer.id(of: "<|endoftext|>"), let turnEnd = tokenizer.id(of: PromptForm.qwen.end) else {
      throw .internalError("the learned tokeniser lacks its end tokens")
    }
    let batches = SFTBatches(
      (0..<documents).map { TrainingSequence(tokens: tokenizer.encode(text($0)) + [end]) }, batchSize: batchSize, shuffles: false,
      seed: seed)
    var policy = PolicySettings()
    policy.learningRate = learningRate
    policy.weightDecay = weightDecay
    let steps = batches.stepsPerEpoch
    policy.schedule = LearningRateSchedule(shape: .cosine, warmupSteps: warmupSteps, totalSteps: steps)
    let model = try Transformer(
      random: try configuration(vocabularySize: vocabularySize), seed: seed, endOfText: [turnEnd, end], on: backend)
    var trained = try RunModel(model, adapter: nil, from: nil, policy, baseName: "")
    trained.format = format
    var run = SFTRun(trained, batches, steps: steps, placement: placement)
    run.finishModel = { path throws(Failure) in try learned.write(to: path) }
    return try run.run(observer)
  }
}
