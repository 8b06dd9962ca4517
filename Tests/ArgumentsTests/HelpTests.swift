import Arguments
import Support
import Testing

@Suite("Help")
struct HelpTests {
  @Test("A command's help is grouped, aligned and shows defaults")
  func command() throws {
    #expect(
      try TrialProgram.help("rl", "--help") == """
        Reinforcement learning with an algorithm from a plugin.

        Usage: trial rl --model M --data FILE --out DIR [options]

        Model:
          --model M                   model folder or hub name (required)
          --precision fp32|bf16       number format of the weights (default: fp32)
          --device auto|cpu|cuda[:N]  where to compute (default: auto)

        Data:
          --data FILE                 training data, JSON lines (required)

        Training:
          --lr X                      learning rate (default: 2e-5)
          --temperature X             sampling temperature (default: 1)
          --top-p X                   nucleus of the distribution
          --shift X                   any number (default: 0.5)
          --group-size N              completions of each prompt (default: 8)
          --level N                   difficulty
          --set KEY=VALUE             a parameter of the algorithm (may be repeated)
          --algos A,B,…               algorithms to compare
          --full                      train all

        Output:
          --note TEXT                 free text (may be repeated)
          --out DIR                   run folder (required)
          --resume                    go on with an interrupted run

        Other:
          --config FILE.json          read options from a JSON file; what stands on the command line wins
          -h, --help                  show this help

        Example:
          trial rl --model M --data train.jsonl --out run --set beta=0.04

        """)
  }

  @Test("Usage shows alternatives and arguments by position")
  func usage() throws {
    #expect(
      try TrialProgram.help("generate", "-h").contains(
        "Usage: trial generate (--prompt TEXT | --prompts PATH) [options]\n"))
    #expect(try TrialProgram.help("plugin", "check", "-h").contains("Usage: trial plugin check [options] NAME|PATH\n"))
    #expect(try TrialProgram.help("report", "-h").contains("Usage: trial report [options] SHIFT RUN...\n"))
  }

  @Test(
    "Help answers at every level, whatever else is wrong",
    arguments: [
      (["--help"], "Usage: trial COMMAND [options]"), (["-h"], "Usage: trial COMMAND [options]"),
      (["help"], "Usage: trial COMMAND [options]"), (["plugin", "--help"], "Usage: trial plugin COMMAND [options]"),
      (["help", "plugin", "check"], "Usage: trial plugin check"), (["rl", "--zebra", "-h"], "Usage: trial rl "),
      (["--version"], "trial 1.2.3"),
    ])
  func levels(line: [String], text: String) throws {
    guard case .show(let help) = try TrialProgram.program.request(line) else { throw Failure.internalError("\(line) shows no help") }
    #expect(help.contains(text))
  }

  @Test("No line is wider than 100 columns; long forms and long texts break")
  func width() throws {
    let spec = CommandSpec(
      name: "wide", summary: String(repeating: "A long summary. ", count: 12),
      options: (0..<9).map { index in
        .required("required-option-\(index)", .integer(1...9), String(repeating: "word ", count: 40))
      } + [.value("choice", .choice(["constant", "linear", "cosine", "polynomial"]), "long form")])
    let program = Program(name: "trial", version: "1", summary: "", commands: [Command(spec) { _ in }])
    guard case .show(let help) = try program.request(["wide", "-h"]) else { throw Failure.internalError("-h shows no help") }
    let lines = help.split(separator: "\n")
    #expect(lines.allSatisfy { $0.count <= 100 })
    #expect(lines.contains("  --choice constant|linear|cosine|polynomial"))
  }
}
