import Arguments
import Support
import Tasks

/// `data make`: generated word problems as JSON lines.
enum DataCommand {
  static let spec = CommandSpec(
    name: "make", summary: "generate grade-school word problems as JSON lines",
    discussion:
      "Problems of one to four steps with worked solutions, in GSM8K's form. The two splits share no problem, by construction. The same seed gives the same file.",
    options: [
      .required("out", .path, "the file to write", group: .output, placeholder: "F.jsonl"),
      .required("count", .integer(Limits.generated), "how many problems", group: .data),
      ModelOptions.seed,
      .value("level", .integer(1...4), "steps of every problem; default: one to four, mixed", group: .data),
      .value("split", .choice(WordProblems.Split.self), default: "train", "which of the two disjoint sets", group: .data),
      .value(
        "working", .choice(Working.self), default: "full",
        "what solutions write down: every step, the last alone, or either (long ones are often abridged)", group: .data),
    ])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let out = try arguments.text("out")
    let count = try arguments.integer("count")
    let seed = UInt64(try arguments.integer("seed"))
    let level = try arguments.optionalInteger("level")
    let split: WordProblems.Split = try arguments.choice("split")
    let working: Working = try arguments.choice("working")
    let file = try AtomicFile(out)
    var lines: [UInt8] = []
    for index in 0..<count {
      let example = WordProblems.make(seed: seed, split: split, level: level, index: index, working: working)
      lines += Array(example.jsonLine.utf8) + [0x0A]
      if lines.count > 1 << 20 {
        try file.write(lines)
        lines.removeAll(keepingCapacity: true)
      }
    }
    try file.write(lines)
    try file.commit()
    try Output.line("\(out): \(count) problems", beside: out)
  }
}
