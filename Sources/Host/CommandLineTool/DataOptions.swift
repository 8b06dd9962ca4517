import Arguments
import Support
import Tasks
import Tokenization

/// The options of every command that reads examples.
enum DataOptions {
  static let keys: [OptionSpec] = [
    .value("question-key", .text, "the key of the question, where it is another; a.b looks into an object", group: .data, placeholder: "K"),
    .value("answer-key", .text, "the key of the gold answer, where it is another", group: .data, placeholder: "K"),
  ]

  /// What `--data` of a command that trains takes.
  static let training = text(split: "train")
  /// What it takes where questions are asked.
  static let evaluation = text(split: "test")

  private static func text(split: String) -> String {
    "a file (JSON lines or Parquet), or a data set in the hub's cache: NAME[:SPLIT], whose split \(split) is the default"
  }

  static func keys(_ arguments: ParsedArguments) throws(Failure) -> ExampleFile.Keys {
    ExampleFile.Keys(
      question: try arguments.optionalText("question-key"), answer: try arguments.optionalText("answer-key"))
  }

  /// The first questions of a file, each with an answer and with room for a completion in the model's context.
  static func questions(
    _ path: String, limit: Int?, _ arguments: ParsedArguments, tokenizer: Tokenizer, form: PromptForm, context: Int
  ) throws(Failure) -> (prompts: PromptSet, sha256: String) {
    let contents = try ExampleFile.load(try DataSource(path, for: .evaluation), limit: limit, keys: try keys(arguments))
    let prompts = try PromptSet(contents.examples, tokenizer: tokenizer, form: form, name: path)
    try prompts.requireRoom(context: context)
    return (prompts, contents.sha256)
  }
}
