import Arguments
import Support

enum Precision: String, CaseIterable { case fp32, bf16 }

/// A program with one option of every kind.
enum TrialProgram {
  static let rl = CommandSpec(
    name: "rl", summary: "Reinforcement learning with an algorithm from a plugin.",
    examples: ["trial rl --model M --data train.jsonl --out run --set beta=0.04"],
    options: [
      .required("model", .text, "model folder or hub name", group: .model, placeholder: "M"),
      .value("precision", .choice(Precision.self), default: "fp32", "number format of the weights", group: .model),
      .value(
        "device", .checked("auto|cpu|cuda[:N]") { ["auto", "cpu"].contains($0) || $0.hasPrefix("cuda") },
        default: "auto", "where to compute", group: .model),
      .required("data", .path, "training data, JSON lines", group: .data, placeholder: "FILE"),
      .value("lr", .number(above: 0, through: 10), default: 2e-5, "learning rate", group: .training),
      .value("temperature", .number(0...100), default: 1, "sampling temperature", group: .training),
      .value("top-p", .number(above: 0, through: 1), "nucleus of the distribution", group: .training),
      .value("shift", .number(-100...100), default: 0.5, "any number", group: .training),
      .value("group-size", .integer(1...64), default: 8, "completions of each prompt", group: .training),
      .value("level", .integer(1...4), "difficulty", group: .training),
      .repeated("set", .assignment, "a parameter of the algorithm", group: .training),
      .value("algos", .list, "algorithms to compare", group: .training),
      .repeated("note", .text, "free text", group: .output),
      .required("out", .path, "run folder", group: .output, placeholder: "DIR"),
      .flag("resume", "go on with an interrupted run", group: .output),
      .flag("full", "train all", group: .training), .config,
    ],
    rules: [
      .inVain(["level"], .given("full"), because: "all is trained"),
      .inVain(["note"], .missing("algos"), because: "it is about them"),
      .inVain(["top-p"], .value("temperature", 0), because: "nothing is drawn"),
      .inVain(["group-size"], .value("temperature", 0), because: "all are the same"),
    ])

  static let generate = CommandSpec(
    name: "generate", summary: "Write completions.",
    options: [
      .value("prompt", .text, "one prompt"), .value("prompts", .path, "a file of prompts"),
      .flag("raw", "no template"),
    ],
    rules: [.exactlyOne(["prompt", "prompts"])])

  static let check = CommandSpec(
    name: "check", summary: "Check a plugin.",
    options: [.positional("name", .text, "the plugin", placeholder: "NAME|PATH"), .flag("json", "machine-readable")])

  static let report = CommandSpec(
    name: "report", summary: "Report on runs.",
    options: [
      .positional("shift", .number(-100...100), "a number"), .positionals("runs", .path, "the runs", placeholder: "RUN"),
    ])

  static let program = Program(
    name: "trial", version: "1.2.3", summary: "A program to try the parser on.",
    commands: [
      Command(rl) { _ in }, Command(generate) { _ in }, Command(report) { _ in },
      .group("plugin", "Look after plugins.", [Command(check) { _ in }]),
    ])

  static func parse(_ line: String...) throws(Failure) -> ParsedArguments {
    switch try program.request(line) {
    case .run(let arguments, _): return arguments
    case .show(let text): throw .internalError("help instead of a command: \(text)")
    }
  }

  /// `rl` with what it requires, and more.
  static func rl(_ more: String...) throws(Failure) -> ParsedArguments {
    switch try program.request(["rl", "--model", "m", "--data", "d", "--out", "o"] + more) {
    case .run(let arguments, _): return arguments
    case .show(let text): throw .internalError("help instead of a command: \(text)")
    }
  }

  static func help(_ line: String...) throws(Failure) -> String {
    switch try program.request(line) {
    case .show(let text): return text
    case .run: throw .internalError("a command instead of help")
    }
  }

  /// The failure of a command line; nil where it has none.
  static func failure(_ line: [String]) -> Failure? {
    do throws(Failure) {
      _ = try program.request(line)
      return nil
    } catch { return error }
  }
}
