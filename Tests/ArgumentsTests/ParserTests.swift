import Arguments
import Support
import Testing

@Suite("Reading a command line")
struct ParserTests {
  @Test("Values come typed, absent ones by their defaults")
  func values() throws {
    let arguments = try TrialProgram.rl("--lr=1e-3", "--level", "3", "--precision", "bf16", "--resume")
    #expect(try arguments.text("model") == "m")
    #expect(try arguments.number("lr") == 1e-3)
    #expect(try arguments.number("temperature") == 1)
    #expect(try arguments.integer("group-size") == 8)
    #expect(try arguments.optionalInteger("level") == 3)
    #expect(try arguments.optionalNumber("top-p") == nil)
    #expect(try arguments.choice("precision") == Precision.bf16)
    #expect(try arguments.flag("resume"))
    #expect(try arguments.list("algos") == [])
    #expect(try arguments.isGiven("lr"))
    #expect(try !arguments.isGiven("group-size"))
    #expect(arguments.command == "rl")
  }

  @Test("Both forms of a value mean the same", arguments: [["--algos", "a,b"], ["--algos=a,b"]])
  func forms(words: [String]) throws {
    guard
      case .run(let arguments, _) = try TrialProgram.program.request(
        ["rl", "--model=m", "--data=d", "--out=o"] + words)
    else { return #expect(Bool(false)) }
    #expect(try arguments.list("algos") == ["a", "b"])
  }

  @Test("A value may hold an equals sign, be empty text, or be a negative number")
  func awkwardValues() throws {
    let arguments = try TrialProgram.rl(
      "--set", "rule=a=b", "--set=empty=", "--shift", "-2.5e-1", "--note=", "--note", "-x", "--algos=a")
    #expect(
      try arguments.assignments("set") == [Assignment(key: "rule", value: "a=b"), Assignment(key: "empty", value: "")])
    #expect(try arguments.number("shift") == -0.25)
    #expect(try arguments.list("note") == ["", "-x"])
  }

  @Test("Positional arguments take negative numbers, lists, and whatever follows --")
  func positionals() throws {
    let arguments = try TrialProgram.parse("report", "-3", "a", "--", "--b", "-")
    #expect(try arguments.number("shift") == -3)
    #expect(try arguments.list("runs") == ["a", "--b", "-"])
    let check = try TrialProgram.parse("plugin", "check", "--json", "grpo")
    #expect(check.command == "plugin check")
    #expect(try check.text("name") == "grpo")
    #expect(try check.flag("json"))
  }

  static let required = ["rl", "--model", "m", "--data", "d", "--out", "o"]

  @Test(
    "A wrong command line is a usage error of one line that says what to do",
    arguments: [
      (["evil"], "unknown command evil; trial --help lists the commands"),
      (["genrate"], "unknown command genrate; did you mean generate?"),
      (["plugin", "chek"], "unknown command plugin chek; did you mean check?"),
      (["plugin"], "trial plugin: expected one of check"),
      (["--json", "rl"], "expected a command, found --json; options stand behind the command"),
      (["rl", "--model", "m"], "rl: missing --data FILE and --out DIR; trial rl --help tells more"),
      (required + ["--groupsize", "4"], "rl: unknown option --groupsize; did you mean --group-size?"),
      (required + ["--group_size=4"], "rl: unknown option --group_size; did you mean --group-size?"),
      (required + ["-resume"], "rl: unknown option -resume; did you mean --resume?"),
      (required + ["--zebra"], "rl: unknown option --zebra; trial rl --help lists the options"),
      (required + ["--group-size", "many"], "rl: --group-size: expected a whole number from 1 to 64, found \"many\""),
      (required + ["--group-size", "-4"], "rl: --group-size: expected a whole number from 1 to 64, found \"-4\""),
      (required + ["--group-size", "4.0"], "rl: --group-size: expected a whole number from 1 to 64, found \"4.0\""),
      (required + ["--level", "9"], "rl: --level: expected a whole number from 1 to 4, found \"9\""),
      (required + ["--lr", "0"], "rl: --lr: expected a finite number above 0 and at most 10, found \"0\""),
      (required + ["--lr", "nan"], "rl: --lr: expected a finite number above 0 and at most 10, found \"nan\""),
      (required + ["--lr", "1e999"], "rl: --lr: expected a finite number above 0 and at most 10, found \"1e999\""),
      (
        required + ["--temperature", "inf"], "rl: --temperature: expected a finite number from 0 to 100, found \"inf\""
      ),
      (required + ["--top-p=1.1"], "rl: --top-p: expected a finite number above 0 and at most 1, found \"1.1\""),
      (required + ["--precision", "fp16"], "rl: --precision: expected fp32 or bf16, found \"fp16\""),
      (required + ["--device", "tpu"], "rl: --device: expected auto|cpu|cuda[:N], found \"tpu\""),
      (required + ["--set", "beta"], "rl: --set: expected key=value, found \"beta\""),
      (required + ["--set", "=1"], "rl: --set: expected key=value, found \"=1\""),
      (required + ["--set", "b=1", "--set", "b=2"], "rl: --set gives \"b\" twice"),
      (required + ["--lr", "1", "--lr=2"], "rl: --lr is given twice, \"1\" and \"2\"; it takes one value"),
      (required + ["--algos", "a,,b"], "rl: --algos: expected names separated by commas, found \"a,,b\""),
      (required + ["--resume=yes"], "rl: --resume: expected true or false, found \"yes\""),
      (required + ["extra"], "rl: unexpected argument \"extra\"; trial rl --help tells more"),
      (required + ["--lr"], "rl: --lr: expected a finite number above 0 and at most 10, found nothing"),
      (
        ["rl", "--model", "--data", "d"],
        "rl: --model: expected text, found nothing before --data; a value that begins with -- is given as --model=VALUE"
      ),
      (["rl", "--model="] + required.dropFirst(3), "rl: missing nothing"),
      (["generate"], "generate: missing --prompt TEXT or --prompts PATH; trial generate --help tells more"),
      (
        ["generate", "--prompt", "a", "--prompts", "b"],
        "generate: --prompt and --prompts exclude each other; give one of them"
      ),
      (["plugin", "check"], "plugin check: missing NAME|PATH; trial plugin check --help tells more"),
    ] as [([String], String)])
  func errors(line: [String], message: String) {
    let failure = TrialProgram.failure(line)
    if message.hasSuffix("missing nothing") { return #expect(failure == nil) }
    #expect(failure == Failure(.usage, message))
  }

  @Test(
    "An option that would do nothing is refused with the reason",
    arguments: [
      (["--level", "2", "--full"], "rl: --level does nothing beside --full: all is trained"),
      (["--note", "x"], "rl: --note does nothing without --algos A,B,…: it is about them"),
      (["--temperature", "0", "--top-p", "0.5"], "rl: --top-p does nothing with --temperature 0: nothing is drawn"),
      (["--temperature=0.0", "--group-size=4"], "rl: --group-size does nothing with --temperature 0: all are the same"),
      (["--level", "2", "--full=false"], nil), (["--full"], nil), (["--note", "x", "--algos", "a"], nil),
      (["--temperature", "0.1", "--top-p", "0.5"], nil),
      // A default beside the value asks for nothing.
      (["--temperature", "0", "--group-size", "8"], nil),
    ] as [([String], String?)])
  func vain(words: [String], message: String?) {
    #expect(TrialProgram.failure(Self.required + words) == message.map { Failure(.usage, $0) })
  }

  @Test(
    "A name of another program's, or nearly one, is answered with ours",
    arguments: [
      (["--learning_rate", "1"], "rl: unknown option --learning_rate; did you mean --lr?"),
      (["--learning-rtae=1"], "rl: unknown option --learning-rtae; did you mean --lr?"),
      (["--num_generations", "4"], "rl: unknown option --num_generations; did you mean --group-size?"),
      (["--output_dir", "o"], "rl: unknown option --output_dir; did you mean --out?"),
      (["--beta", "0.1"], "rl: unknown option --beta; did you mean --set beta=VALUE?"),
      (["--clip-high", "0.1"], "rl: unknown option --clip-high; did you mean --set clip_high=VALUE?"),
      (["--temprature", "1"], "rl: unknown option --temprature; did you mean --temperature?"),
      (["--dtaa", "d"], "rl: unknown option --dtaa; did you mean --data?"),
    ] as [([String], String)])
  func fieldNames(words: [String], message: String) {
    #expect(TrialProgram.failure(Self.required + words) == Failure(.usage, message))
  }

  @Test("A command of another program's is answered with ours, where there is one")
  func fieldCommands() {
    #expect(TrialProgram.failure(["ppo"]) == Failure(.usage, "unknown command ppo; did you mean rl?"))
    #expect(TrialProgram.failure(["infer"]) == Failure(.usage, "unknown command infer; did you mean generate?"))
    #expect(TrialProgram.failure(["merge"]) == Failure(.usage, "unknown command merge; trial --help lists the commands"))
  }

  @Test("Reading an undeclared name or another type is an internal error, and sample() finds it")
  func misreadings() {
    let arguments = TrialProgram.rl.sample()
    func code(_ body: () throws(Failure) -> Void) -> ExitCode? {
      do throws(Failure) {
        try body()
        return nil
      } catch { return error.code }
    }
    #expect(code { () throws(Failure) in _ = try arguments.integer("grop-size") } == .internalError)
    #expect(code { () throws(Failure) in _ = try arguments.text("group-size") } == .internalError)
    #expect(code { () throws(Failure) in _ = try arguments.flag("model") } == .internalError)
    #expect(code { () throws(Failure) in _ = try arguments.text("set") } == .internalError)
    #expect(code { () throws(Failure) in _ = try arguments.assignments("set") } == nil)
    #expect(code { () throws(Failure) in let _: Precision = try arguments.choice("precision") } == nil)
    #expect(code { () throws(Failure) in _ = try TrialProgram.rl().integer("level") } == .internalError)
  }

  @Test("A sound program has no problems in its declarations, an unsound one has each of them named")
  func problems() {
    #expect(TrialProgram.program.problems == [])
    let spec = CommandSpec(
      name: "bad", summary: "Bad.",
      options: [
        .value("lr", .number(above: 0, through: 1), default: 0, "rate"), .flag("lr", "twice"), .flag("Snake_Case", "name"),
        .flag("silent", ""), .value("n", .integer(1...9), default: "x", "number"), .positionals("all", .text, "all"),
        .positional("late", .text, "late"),
      ],
      rules: [.atMostOne(["lr", "nothing"])])
    #expect(
      spec.problems == [
        "bad: --lr: the default \"0\" is not a finite number above 0 and at most 1", "bad: --lr: is declared twice or reserved",
        "bad: --Snake_Case: a name is lower-case words joined by -", "bad: --silent: needs help",
        "bad: --n: the default \"x\" is not a whole number from 1 to 9",
        "bad: LATE: stands behind a repeated argument", "bad: a rule names --nothing, unknown",
      ])
  }
}
