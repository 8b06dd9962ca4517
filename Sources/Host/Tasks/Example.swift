import Support
import Tokenization

/// One item of a data set: a question with its worked solution and gold answer, or a raw training text.
package struct Example: Sendable, Equatable {
  /// The question as the user's turn shows it; empty where the line holds nothing but `text`.
  package let question: String
  /// The worked reasoning, without the line that states the final answer.
  package let solution: String?
  /// The gold answer as the file writes it, such as `1,600`.
  package let answer: String?
  /// A raw training text, taken as it is: no template, nothing appended.
  package let text: String?
  /// The number of steps, where the file or the generator says it.
  package let level: Int?
  /// The row's own instruction in place of the form's.
  package let system: String?
  /// What the solution is: how it becomes what the assistant writes.
  package var origin = Origin.solution

  package enum Origin: Sendable, Equatable {
    /// A worked solution, to which thinking and answer are added in this program's form.
    case solution
    /// The assistant's turn as somebody wrote it.
    case turn
    /// A completion of this program's own (`eval --out`, `generate`), kept to the letter.
    case sample(isTruncated: Bool)
    /// Several traces of which none is known to be right: there is nothing to learn.
    case unverified
  }

  /// The turns of a dialogue before the question.
  package let history: [PromptForm.Turn]
  /// Where the example comes from; not a part of what it is.
  package var source = Source()
  /// The columns of its row as the file has them, where rewards are told of them; not a part of what it is.
  package var columns: JSON.Object?

  package struct Source: Sendable, Equatable {
    /// The line of its file, counted from 1; in an array the number of the record.
    package let line: Int?
    /// What is counted: `line`, `record` or `row`.
    package let unit: String?

    package init(line: Int? = nil, unit: String? = nil) {
      self.line = line
      self.unit = unit
    }

    package static func == (left: Source, right: Source) -> Bool { true }
  }

  /// The example's identity, the same in every run and on every machine: FNV-1a of question, answer and text.
  package let key: UInt64

  package init(
    question: String, solution: String? = nil, answer: String? = nil, text: String? = nil, level: Int? = nil,
    system: String? = nil, history: [PromptForm.Turn] = [], origin: Origin = .solution
  ) {
    self.question = question
    self.solution = solution
    self.answer = answer
    self.text = text
    self.level = level
    self.system = system
    self.history = history
    self.origin = origin
    var hash = StableHash()
    for part in [question, answer, text] { hash.combine(part) }
    if system != nil || !history.isEmpty { for part in [system] + history.map(\.content) { hash.combine(part) } }
    key = hash.value
  }

  /// The same without what only supervised training reads.
  var withoutSolution: Example {
    var example = Example(question: question, answer: answer, text: text, level: level, system: system, history: history, origin: origin)
    example.source = source
    example.columns = columns
    return example
  }

  /// The same with another gold answer.
  func answered(_ answer: String) -> Example {
    var example = Example(
      question: question, solution: solution, answer: answer, text: text, level: level, system: system, history: history,
      origin: origin)
    example.source = source
    example.columns = columns
    return example
  }

  /// What the model is given.
  package func prompt(_ form: PromptForm) -> MarkedText {
    form.prompt(system: system, history: history, marked: question)
  }

  /// The example as one JSON line without its line end: GSM8K's form, so that ``ExampleFile`` reads it back.
  package var jsonLine: String {
    var object = JSON.Object()
    if let answer {
      object["question"] = .string(question)
      let reasoning = solution.map { $0 + "\n" } ?? ""
      object["answer"] = .string(reasoning + "#### " + answer)
    } else if !question.isEmpty {
      object["prompt"] = .string(question)
      object["completion"] = .string(solution ?? "")
    }
    if let text { object["text"] = .string(text) }
    if let level { object["level"] = .integer(level) }
    return JSON.object(object).text()
  }
}
