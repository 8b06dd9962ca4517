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
}
