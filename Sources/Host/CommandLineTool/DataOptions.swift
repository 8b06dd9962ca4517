import Arguments
import Foundations
import Tasks

/// The options of every command that reads examples.
enum DataOptions {
  static let keys: [OptionSpec] = [
    .value("question-key", .text, "the key of the question, where it is another; a.b looks into an object", group: .data, placeholder: "K"),
    .value("answer-key", .text, "the key of the gold answer, where it is another", group: .data, placeholder: "K"),
  ]

  static func keys(_ arguments: ParsedArguments) throws(Failure) -> ExampleFile.Keys {
    ExampleFile.Keys(
      question: try arguments.optionalText("question-key"), answer: try arguments.optionalText("answer-key"))
  }

  /// The first examples of a file, all of them questions with answers.
  static func questions(_ path: String, limit: Int?, _ arguments: ParsedArguments) throws(Failure) -> [Example] {
    let examples = try ExampleFile.read(path, limit: limit, keys: try keys(arguments))
    if let index = examples.firstIndex(where: { $0.question.isEmpty || $0.answer == nil }) {
      throw .badData("\(path): example \(index + 1): evaluation needs a question and an answer")
    }
    return examples
  }
}
