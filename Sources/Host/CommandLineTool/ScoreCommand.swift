import Arguments
import Compute
import Support
import Training
import Transformer

/// `score`: log-probability and entropy of every token after the first of given sequences.
enum ScoreCommand {
  static let spec = CommandSpec(
    name: "score", summary: "log-probability and entropy of given tokens under a model",
    discussion:
      "Reads [[id, …], …] and writes offsets I64 [sequences + 1] and, for every position after the first of each sequence, log_prob and entropy F32 (nats, temperature 1), sequences one after another.",
    options: ModelOptions.all + [
      .required("tokens", .path, "a JSON file with a list of lists of token ids", group: .data, placeholder: "F.json"),
      .required("out", .path, "the safetensors file to write", group: .output, placeholder: "F.safetensors"),
      ModelOptions.json, .config,
    ])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    try Output.checkSeparate(arguments)
    let path = try arguments.text("tokens")
    let policy = try ModelOptions.load(arguments)
    let model = policy.model
    let arena = try Arena(on: model.backend)
    let sequences = try read(path, vocabulary: model.configuration.vocabularySize)
    let folder = try arguments.text("model")
    let weights = try arguments.optionalText("adapter") ?? folder
    let head = LossHead(model)
    var logProbs: [Float] = []
    var entropies: [Float] = []
    for range in microBatches(rows: sequences.map { max(0, $0.count - 1) }, limit: 4096) {
      var batch = TokenBatch()
      var targets = TokenTargets()
      for sequence in sequences[range] { batch.appendPredicted(sequence, targets: &targets) }
      let scores = try arena.scope { () throws(Failure) in
        let pass = try head.forward(try policy.forward(batch, in: arena).hidden, targets, temperature: 1, in: arena)
        return (logProbs: try pass.logProbs.value(), entropies: try pass.entropies.value())
      }
      guard (scores.logProbs + scores.entropies).allSatisfy(\.isFinite) else {
        throw .badData(
          "\(weights): a log-probability is not a finite number; the weights are too large for float32")
      }
      logProbs += scores.logProbs
      entropies += scores.entropies
    }
    var offsets: [Int64] = [0]
    for sequence in sequences { offsets.append(offsets[offsets.count - 1] + Int64(max(0, sequence.count - 1))) }
    var writer = SafetensorsWriter()
    writer.add("offsets", offsets, shape: [offsets.count])
    writer.add("log_prob", logProbs, shape: [logProbs.count])
    writer.add("entropy", entropies, shape: [entropies.count])
    let out = try arguments.text("out")
    try writer.write(to: out)
    let mean = logProbs.reduce(0.0) { $0 + Double($1) } / Double(max(1, logProbs.count))
    if try arguments.flag("json") {
      try Output.json([
        "sequences": .integer(sequences.count), "tokens": .integer(logProbs.count), "mean_log_prob": .number(mean),
      ])
    } else {
      try Output.line("\(sequences.count) sequences, \(logProbs.count) scored tokens, mean log-probability \(Format.fixed(mean, 4))", beside: out)
    }
  }

  private static func read(_ path: String, vocabulary: Int) throws(Failure) -> [[Int32]] {
    guard let lists = try JSON.read(path, orPipe: true).array else {
      throw .badData("\(path): expected a list of lists of token ids, as [[1, 2, 3], [4, 5]]")
    }
    var sequences: [[Int32]] = []
    for (number, list) in lists.enumerated() {
      guard let items = list.array else {
        throw .badData("\(path): sequence \(number + 1): expected a list of token ids, found \(list.kind)")
      }
      var sequence: [Int32] = []
      for item in items {
        guard let id = item.int, id >= 0, id < vocabulary else {
          throw .badData("\(path): sequence \(number + 1): expected ids from 0 to \(vocabulary - 1), found \(item.kind)")
        }
        sequence.append(Int32(id))
      }
      sequences.append(sequence)
    }
    return sequences
  }
}
