import Support
import Tokenization

/// Reads one record of a data file by the form its keys show.
struct ExampleRecord {
  private let record: JSONLines.Record
  private let keys: ExampleFile.Keys
  private var object: JSON.Object { record.object }
  private var place: String { record.place }

  init(_ record: JSONLines.Record, keys: ExampleFile.Keys) {
    self.record = record
    self.keys = keys
  }

  func example() throws(Failure) -> Example {
    let text = try string("text")
    let level = object["level"]?.int
    if keys.question != nil || keys.answer != nil, let example = try byKeys(level: level) { return example }
    if let example = try traces(level: level) { return example }
    for key in ["messages", "conversations"] where isPresent(key) { return try dialogue(key, level: level) }
    if case .array? = object["prompt"] { return try dialogue("prompt", level: level) }
    if isPresent("instruction") { return try instruction(level: level) }
    for key in ["question", "problem"] {
      guard let question = try string(key) else { continue }
      try require(question, key)
      let (solution, answer) = try solutionAndAnswer()
      // What a model wrote: of `eval --out`, or of another sampler.
      if solution == nil, let completion = try string("completion") {
        let inBox = try boxed(completion, "completion")
        return Example(question: question, solution: completion, answer: answer ?? inBox, text: text, level: level, origin: origin)
      }
      if answer == nil, text == nil { throw missingAnswer("answer") }
      return Example(question: question, solution: solution, answer: answer, text: text, level: level)
    }
    if let prompt = try string("prompt") {
      try require(prompt, "prompt")
      if let completion = try string("completion") {
        let (_, given) = try solutionAndAnswer()
        let inBox = try boxed(completion, "completion")
        return Example(question: prompt, solution: completion, answer: given ?? inBox, text: text, level: level, origin: origin)
      }
      let (solution, answer) = try solutionAndAnswer()
      guard answer != nil else {
        throw .badData("\(place): key \"completion\": expected a string beside \"prompt\" (or a gold \"answer\"), found no such key")
      }
      return Example(question: prompt, solution: solution, answer: answer, text: text, level: level)
    }
    if let text {
      if text.isEmpty { throw .badData("\(place): key \"text\": expected a text, found an empty string") }
      return Example(question: "", text: text, level: level)
    }
    let found = object.keys.isEmpty ? "none" : object.keys.prefix(8).map { "\"\($0)\"" }.joined(separator: ", ")
    throw .badData(
      "\(place): expected the keys \"question\" and \"answer\", or \"problem\", \"solution\" and \"answer\", "
        + "or \"prompt\" and \"completion\" or \"answer\", or \"messages\", or \"text\" (--question-key and --answer-key name others); found \(found)")
  }

  // MARK: Keys that the user names

  private func byKeys(level: Int?) throws(Failure) -> Example? {
    let questionKey = keys.question ?? ["question", "problem", "prompt"].first { isPresent($0) } ?? "question"
    guard let value = value(at: questionKey), !value.isNull else {
      throw .badData("\(place): key \"\(questionKey)\" (--question-key): expected a text, found no such key")
    }
    let (solution, usual) = try solutionAndAnswer()
    var answer = usual
    if let key = keys.answer {
      guard let value = self.value(at: key), !value.isNull else {
        throw .badData("\(place): key \"\(key)\" (--answer-key): expected the gold answer, found no such key")
      }
      answer = try gold(value, key)
    }
    if value.array != nil {
      var example = try dialogue(questionKey, value, level: level)
      if let answer { example = example.answered(answer) }
      return example
    }
    let question = try text(value, questionKey)
    try require(question, questionKey)
    guard let answer else { throw missingAnswer(keys.answer ?? "answer") }
    return Example(question: question, solution: solution, answer: answer, level: level)
  }

  /// The value under a key; `a.b` looks into an object where no key has the whole name.
  private func value(at key: String) -> JSON? {
    if let value = object[key] { return value }
    var value = JSON.object(object)
    for part in key.split(separator: ".") {
      guard let next = value[String(part)] else { return nil }
      value = next
    }
    return value
  }

  // MARK: Several traces of a problem

  /// OpenR1-Math's `generations`: what is learned is the first trace that is whole and that math-verify, or else the judging model, found
  /// right.
  private func traces(level: Int?) throws(Failure) -> Example? {
    guard let generations = object["generations"]?.array, Self.verdicts.contains(where: { object[$0] != nil }),
      let key = ["problem", "question"].first(where: isPresent), let question = try string(key)
    else { return nil }
    try require(question, key)
    let isWhole = try flags("is_reasoning_complete", of: generations.count)
    var verified: Int?
    for key in Self.verdicts where verified == nil {
      guard let isRight = try flags(key, of: generations.count) else { continue }
      verified = generations.indices.first { isRight[$0] && isWhole?[$0] ?? true }
    }
    let (solution, answer) = try solutionAndAnswer()
    guard let verified else {
      return Example(question: question, solution: solution, answer: answer, level: level, origin: .unverified)
    }
    let trace = try text(generations[verified], "generations")
    let inBox = answer == nil ? try boxed(trace, "generations") : nil
    return Example(question: question, solution: trace, answer: answer ?? inBox, level: level, origin: .turn)
  }

  /// In the order in which they are believed.
  static let verdicts = ["correctness_math_verify", "correctness_llama"]

  /// A list of true and false, one for each of the traces; nil where there is none.
  private func flags(_ key: String, of count: Int) throws(Failure) -> [Bool]? {
    guard let value = object[key], !value.isNull else { return nil }
    guard let items = value.array, items.count == count else {
      throw .badData("\(place): key \"\(key)\": expected a list of \(count), one for each of \"generations\", found \(value.kind)")
    }
    return items.map { $0.bool ?? false }
  }

  // MARK: Dialogues

  private func dialogue(_ key: String, level: Int?) throws(Failure) -> Example {
    try dialogue(key, object[key] ?? .null, level: level)
  }

  /// `messages` and ShareGPT's `conversations`, conversational `prompt` and `completion`, verl's `prompt` with `reward_model`.
  private func dialogue(_ key: String, _ value: JSON, level: Int?) throws(Failure) -> Example {
    guard var items = value.array else {
      throw .badData("\(place): key \"\(key)\": expected a list of turns, found \(value.kind)")
    }
    var written = try string(orTurns: "completion")
    if let turns = object["completion"]?.array { items += turns }
    var system: String?
    var turns: [PromptForm.Turn] = []
    for (number, item) in items.enumerated() {
      let where_ = "key \"\(key)\", turn \(number + 1)"
      guard let role = item["role"]?.string ?? item["from"]?.string else {
        throw .badData("\(place): \(where_): expected \"role\" (or \"from\"), found \(item.object == nil ? item.kind : "no such key")")
      }
      let content = try turnText(item["content"] ?? item["value"], where_)
      switch role {
      case "system":
        guard system == nil, turns.isEmpty else { throw .badData("\(place): \(where_): expected the system's turn first and once") }
        system = content
      case "user", "human": turns.append(PromptForm.Turn(isAssistant: false, content: content))
      case "assistant", "gpt", "model", "bot": turns.append(PromptForm.Turn(isAssistant: true, content: content))
      default:
        throw .badData("\(place): \(where_): role \"\(role)\": expected system, user or assistant (human and gpt in ShareGPT); others are not supported")
      }
    }
    if let last = turns.last, last.isAssistant {
      if written != nil { throw .badData("\(place): key \"completion\": the turns of \"\(key)\" end with the assistant already") }
      written = last.content
      turns.removeLast()
    }
    guard let question = turns.popLast(), !question.isAssistant else {
      throw .badData("\(place): key \"\(key)\": expected a user's turn before the assistant's last")
    }
    try require(question.content, key)
    let (solution, answer) = try solutionAndAnswer()
    let inBox = try boxed(written ?? "", key)
    let gold = answer ?? inBox
    if written == nil, gold == nil { throw missingAnswer("answer") }
    return Example(
      question: question.content, solution: written ?? solution, answer: gold, level: level, system: system, history: turns,
      origin: written == nil ? .solution : .turn)
  }

  private func string(orTurns key: String) throws(Failure) -> String? {
    if case .array? = object[key] { return nil }
    return try string(key)
  }

  /// A turn's text, or the texts of its parts.
  private func turnText(_ value: JSON?, _ what: String) throws(Failure) -> String {
    if let text = value?.string { return text }
    if let parts = value?.array {
      var texts: [String] = []
      for part in parts {
        guard let text = part["text"]?.string, part["type"]?.string ?? "text" == "text" else {
          throw .badData("\(place): \(what): expected text, found \(part["type"]?.kind ?? part.kind)")
        }
        texts.append(text)
      }
      return texts.joined()
    }
    throw .badData("\(place): \(what): expected \"content\" (or \"value\") with a text, found \(value?.kind ?? "no such key")")
  }

  /// Alpaca's `instruction`, `input` and `output`.
  private func instruction(level: Int?) throws(Failure) -> Example {
    guard let instruction = try string("instruction") else { throw missingAnswer("instruction") }
    try require(instruction, "instruction")
    let input = try string("input")?.trimmed.nonEmpty
    let (solution, answer) = try solutionAndAnswer()
    let output = try string("output")
    let inBox = try boxed(output ?? "", "output")
    let gold = answer ?? inBox
    guard output != nil || gold != nil else { throw missingAnswer("output") }
    return Example(
      question: input.map { "\(instruction)\n\n\($0)" } ?? instruction, solution: output ?? solution, answer: gold, level: level,
      system: try string("system")?.nonEmpty, origin: output == nil ? .solution : .turn)
  }

  // MARK: Answers

  /// The worked solution and the gold answer under the keys of the known forms.
  private func solutionAndAnswer() throws(Failure) -> (String?, String?) {
    var solution = try string("solution")
    var answer: String?
    if let value = object["answer"], !value.isNull {
      let written = try text(value, "answer")
      answer = try sound(written, "answer")
      if let mark = written.lastRange(of: "####") {
        solution = ExampleFile.withoutAnnotations(String(written[..<mark.lowerBound]))
        answer = try sound(String(written[mark.upperBound...]), "answer")
      }
    }
    if answer == nil {
      for key in ["ground_truth", "reward_model.ground_truth", "gold"] {
        guard let value = value(at: key), !value.isNull else { continue }
        answer = try gold(value, key)
        break
      }
    }
    solution = solution?.trimmed.nonEmpty
    answer = answer?.trimmed.nonEmpty
    if answer == nil, let solution { answer = try boxed(solution, "solution") }
    return (solution, answer)
  }

  /// A gold answer; a list of one holds it.
  private func gold(_ value: JSON, _ key: String) throws(Failure) -> String? {
    if let items = value.array, items.count == 1 { return try gold(items[0], key) }
    let written = try text(value, key)
    guard let mark = written.lastRange(of: "####") else { return try sound(written, key).trimmed.nonEmpty }
    return try sound(String(written[mark.upperBound...]), key).trimmed.nonEmpty
  }

  /// The gold answer that a worked text boxes.
  private func boxed(_ text: String, _ key: String) throws(Failure) -> String? {
    guard let boxed = AnswerExtraction.boxed(in: text) else { return nil }
    return try sound(boxed, key).trimmed.nonEmpty
  }

  /// A gold answer without the control characters that a lost backslash leaves.
  private func sound(_ answer: String, _ key: String) throws(Failure) -> String {
    if answer.lastRange(of: "####") == nil, let problem = GoldAnswer.controlCharacter(in: answer) {
      throw .badData("\(place): key \"\(key)\": the gold answer holds \(problem)")
    }
    return answer
  }

  /// `eval --out` and `generate` say of a completion whether it was cut off.
  private var origin: Example.Origin { object["truncated"]?.bool.map { .sample(isTruncated: $0) } ?? .turn }

  private func missingAnswer(_ key: String) -> Failure {
    .badData(
      "\(place): key \"\(key)\": expected the gold answer (or a \\boxed{} in \"solution\"), found "
        + (object[key].map { $0.string == nil ? $0.kind : "no answer in it" } ?? "no such key"))
  }

  private func isPresent(_ key: String) -> Bool { object[key].map { !$0.isNull } ?? false }

  private func string(_ key: String) throws(Failure) -> String? { try record.text(key) }

  private func text(_ value: JSON, _ key: String) throws(Failure) -> String {
    guard let text = value.string ?? value.numberText else {
      throw .badData("\(place): key \"\(key)\": expected a string, found \(value.kind)")
    }
    return text
  }

  private func require(_ value: String, _ key: String) throws(Failure) {
    if value.trimmed.isEmpty { throw .badData("\(place): key \"\(key)\": expected a text, found an empty string") }
  }
}
