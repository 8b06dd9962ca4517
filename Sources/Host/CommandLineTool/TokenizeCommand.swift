import Arguments
import Support
import Tokenization
import Transformer

/// `tokenize`: text on standard input to ids on standard output, and back.
enum TokenizeCommand {
  static let spec = CommandSpec(
    name: "tokenize", summary: "text on standard input to token ids, and back",
    discussion:
      "Reads all of standard input as one text and prints one JSON array of ids. Special tokens in the text count as such, none are added.",
    examples: ["echo -n 'Hello' | nano-reasoner tokenize --model M"],
    options: [ModelOptions.model, .flag("decode", "read a JSON array of ids, print the text")])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let tokenizer = try Tokenizer(folder: try ModelFolder.locate(try arguments.text("model")))
    let input = try Files.readAll(STDIN_FILENO, name: "standard input")
    guard try arguments.flag("decode") else {
      return try Output.json(.array(tokenizer.encode(input).map { .integer(Int($0)) }))
    }
    guard let list = try JSON.parse(input, name: "standard input").array else {
      throw .badData("standard input: expected a JSON array of token ids")
    }
    var ids: [Int32] = []
    for item in list {
      guard let id = item.int.flatMap({ Int32(exactly: $0) }) else {
        throw .badData("standard input: expected token ids, found \(item.kind)")
      }
      ids.append(id)
    }
    try Output.write(try tokenizer.decode(ids))
  }
}
