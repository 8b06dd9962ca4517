import Support
import Tasks
import TestSupport
import Testing
import Tokenization
import Training
import Transformer

@Suite struct SFTTests {
  /// Trains some steps and returns losses and the bits of what was trained.
  private func train(
    _ sequences: [TrainingSequence], steps: Int = 5, microBatchRows: Int? = nil, checkpointing: Checkpointing = .auto,
    threads: Int = 2, full: Bool = false
  ) throws -> (losses: [Double], bits: [[UInt32]]) {
    let (model, adapter) = try loadModel(full: full, adapter: full ? nil : "initial", threads: threads)
    var settings = PolicySettings()
    settings.learningRate = 1e-3
    settings.microBatchRows = microBatchRows
    settings.checkpointing = checkpointing
    let policy = try Policy(model, adapter: adapter, settings)
    let trainer = SFTTrainer(policy, SFTBatches(sequences, batchSize: 4, shuffles: true, seed: 3))
    let losses = try (0..<steps).map { _ in try trainer.trainStep().loss }
    return (losses, try bits(policy))
  }

  @Test(arguments: [true, false]) func microBatchesCheckpointingAndThreadsDoNotChangeABit(_ full: Bool) throws {
    let sequences = try goldenSequences()
    let expected = try train(sequences, full: full)
    for rows in [1, 20, 64, 1000] {
      #expect(try train(sequences, microBatchRows: rows, full: full).bits == expected.bits, "\(rows) rows")
    }
    #expect(try train(sequences, checkpointing: .on, full: full).bits == expected.bits)
    #expect(try train(sequences, microBatchRows: 30, checkpointing: .on, threads: 1, full: full).bits == expected.bits)
    #expect(try train(sequences, threads: 3, full: full).bits == expected.bits)
    let split = try train(sequences, microBatchRows: 1, full: full)
    #expect(split.losses.count == expected.losses.count && split.losses.count > 1)
    for (one, other) in zip(split.losses, expected.losses) { #expect(abs(one - other) < 1e-12) }
  }

  @Test func theLossOnCompletionsIsTheirMeanAloneAndPromptsGetNoGradient() throws {
    let tokenizer = try Tokenizer(folder: Place.model)
    var documents = TrainingDocuments()
    documents.lossOn = .completion
    let examples = [
      Example(question: "How many?", solution: "1 + 2 = 3", answer: "3"), Example(question: "So?", answer: "12"),
      Example(question: "Tom has 3 apples.", solution: "He has 3."),
    ]
    let sequences = try documents.sequences(examples, tokenizer, name: "test")
    let prompt = tokenizer.encode(documents.form.prompt(question: "How many?"))
    #expect(sequences[0].lossStart == prompt.count)
    #expect(Array(sequences[0].tokens.prefix(prompt.count)) == prompt)
    #expect(
      try tokenizer.decode(sequences[0].tokens.dropFirst(prompt.count)) == "1 + 2 = 3\n</think>\n\\boxed{3}<|im_end|>")
    #expect(try tokenizer.decode(sequences[2].tokens).hasSuffix("<think>\nHe has 3.<|im_end|>"))

    let (model, adapter) = try loadModel(adapter: "initial")
    var batch = TokenBatch()
    var targets = TokenTargets()
    for sequence in sequences {
      let start = sequence.lossStart
      batch.append(
        prompt: Array(sequence.tokens[..<start]), completions: [Array(sequence.tokens[start...])], targets: &targets)
    }
    let settings = PolicySettings()
    let scores = try Policy(model, adapter: adapter, settings).score(batch, targets, temperature: 1)
    let expected = -scores.logProbs.reduce(0.0) { $0 + Double($1) } / Double(targets.count)
    let trainer = SFTTrainer(try Policy(model, adapter: adapter, settings), SFTBatches(sequences, batchSize: 3, shuffles: false, seed: 0))
    let result = try trainer.trainStep()
    #expect(result.predictedTokens == targets.count)
    #expect(abs(result.loss - expected) < 1e-9)
    documents.lossOn = .all
    let all = try documents.sequences(examples, tokenizer, name: "test")
    #expect(all.map(\.tokens) == sequences.map(\.tokens))
    #expect(all.allSatisfy { $0.lossStart == 1 })
  }

  @Test func aRawTextIsTakenAsItIs() throws {
    let tokenizer = try Tokenizer(folder: Place.model)
    let expected = try goldenSequences()
    let examples = try ExampleFile.read(Place.goldens + "/data.jsonl")
    let sequences = try TrainingDocuments().sequences(examples, tokenizer, name: "data.jsonl")
    #expect(sequences.map(\.tokens) == expected.map(\.tokens))
    #expect(sequences.allSatisfy { $0.lossStart == 1 })
    var short = TrainingDocuments()
    short.maxLength = 5
    #expect(try short.sequences(examples, tokenizer, name: "data.jsonl").map(\.tokens) == expected.map { Array($0.tokens.prefix(5)) })
  }

  @Test func nothingToLearnFromIsAnErrorThatNamesTheExample() throws {
    let tokenizer = try Tokenizer(folder: Place.model)
    let documents = TrainingDocuments()
    let oneToken = failure { () throws(Failure) in try documents.sequences([Example(question: "", text: "x")], tokenizer, name: "d") }
    #expect(oneToken?.code == .badData)
    let unanswered = failure { () throws(Failure) in
      try documents.sequences([Example(question: "a", answer: "1"), Example(question: "b")], tokenizer, name: "d.jsonl")
    }
    #expect(unanswered?.message.hasPrefix("d.jsonl: example 2 ") == true)
  }

  @Test func eachEpochTakesEveryExampleOnceAndInAnotherOrder() {
    var order = DataOrder(count: 10, seed: 4, shuffles: true)
    let first = order.indices(0..<10)
    let second = order.indices(10..<20)
    #expect(first.sorted() == Array(0..<10) && second.sorted() == Array(0..<10))
    #expect(first != second && first != Array(0..<10))
    var resumed = DataOrder(count: 10, seed: 4, shuffles: true)
    #expect(resumed.indices(7..<14) == Array(first[7...] + second[..<4]))
    var plain = DataOrder(count: 3, seed: 4, shuffles: false)
    #expect(plain.indices(0..<7) == [0, 1, 2, 0, 1, 2, 0])
  }

  @Test func microBatchesHoldEveryItemInOrderUpToTheLimit() {
    #expect(microBatches(rows: [], limit: 5).isEmpty)
    #expect(microBatches(rows: [2, 3, 1, 9, 1, 1], limit: 5) == [0..<2, 2..<3, 3..<4, 4..<6])
    #expect(microBatches(rows: [0, 0, 5, 0], limit: 5) == [0..<4])
    #expect(microBatches(rows: [7], limit: 1) == [0..<1])
  }
}
