import Support

/// What functions and programs of the user's are told of a completion: its prompt as the data have it, and the columns of its row.
struct RewardRows: Sendable {
  private let prompts: [JSON]
  private let columns: [JSON.Object]
  /// Of all rows, in the order in which they first stand there.
  let names: [String]

  /// TRL hands these over itself and leaves them out of the columns.
  private static let taken: Set<String> = ["prompt", "prompts", "completion", "completions", "completion_ids"]

  init(_ examples: [Example]) {
    prompts = examples.map(Self.prompt)
    let rows = examples.map(Self.row)
    var known: Set<String> = []
    names = rows.flatMap(\.keys).filter { known.insert($0).inserted }
    columns = rows
  }

  /// A list of turns where the row holds one, as TRL's conversational data; the question elsewhere.
  private static func prompt(_ example: Example) -> JSON {
    let holdsTurns = ["prompt", "messages", "conversations"].contains { example.columns?[$0]?.array != nil }
    guard holdsTurns else { return .string(example.question) }
    func turn(_ role: String, _ content: String) -> JSON { ["role": .string(role), "content": .string(content)] }
    var turns = example.system.map { [turn("system", $0)] } ?? []
    turns += example.history.map { turn($0.isAssistant ? "assistant" : "user", $0.content) }
    return .array(turns + [turn("user", example.question)])
  }

  /// The columns as the file has them; question, answer and gold answer where it has none of that name.
  private static func row(_ example: Example) -> JSON.Object {
    var row = JSON.Object()
    if let columns = example.columns {
      for key in columns.keys where !taken.contains(key) { row[key] = columns[key] }
    } else if let level = example.level {
      row["level"] = .integer(level)
    }
    if row["question"] == nil { row["question"] = .string(example.question) }
    for key in ["answer", "gold"] where row[key] == nil { row[key] = example.answer.map { .string($0) } ?? .null }
    return row
  }

  /// A completion with its prompt and its row, whose missing columns are null.
  func request(_ attempt: Attempt) -> JSON.Object {
    var columns = JSON.Object()
    for name in names { columns[name] = self.columns[attempt.prompt][name] ?? .null }
    return [
      "prompt": prompts[attempt.prompt], "completion": .string(attempt.text),
      "completion_ids": .array(attempt.tokens.map { .integer(Int($0)) }), "columns": .object(columns),
    ]
  }
}
