/// Which columns of a table the forms of docs/data.md read.
enum ExampleColumns {
  private static let ofEveryForm = [
    "text", "level", "system", "messages", "conversations", "prompt", "completion", "instruction", "input", "output", "question", "problem",
    "solution", "answer", "ground_truth", "reward_model", "reward_model.ground_truth", "gold", "truncated",
  ]
  private static let ofTraces = ["generations", "is_reasoning_complete"] + ExampleRecord.verdicts

  /// Those that are read; all where none is known, so that the failure names them.
  static func needed(of columns: [String], keys: ExampleFile.Keys, for purpose: ExampleFile.Purpose) -> [String] {
    let given = Set(columns)
    var wanted = Set(ofEveryForm)
    let hasTraces = given.contains("generations") && !given.isDisjoint(with: ExampleRecord.verdicts) && !given.isDisjoint(with: ["problem", "question"])
    if hasTraces {
      // The traces stand for the dialogue, which repeats one of them; a question needs neither.
      wanted.subtract(["messages", "conversations"])
      if purpose == .learning || !given.contains("answer") { wanted.formUnion(ofTraces) }
    }
    for key in [keys.question, keys.answer] {
      guard let key else { continue }
      wanted.insert(key)
      if let head = key.split(separator: ".").first { wanted.insert(String(head)) }
    }
    let needed = columns.filter(wanted.contains)
    return needed.isEmpty ? columns : needed
  }
}
