import PluginHost
import Support
import TestSupport
import Testing

/// The plugin that does one thing wrong, built once for all tests.
private enum Broken {
  static let library: Result<(folder: TrialFolder, path: String), Failure> = {
    do throws(Failure) {
      let folder = try TrialFolder()
      let path = folder.path + "/libnr-broken.so"
      let built = shell(
        "\(compiler) -std=c11 -Wall -Wextra -Werror -shared -fPIC -O1 -I '\(Place.pluginHeader)' -o '\(path)' '\(Place.tests)/PluginHostTests/Broken/broken.c' -lm"
      )
      if built.status != 0 { throw .internalError(built.output) }
      return .success((folder, path))
    } catch { return .failure(error) }
  }()
}

/// The program that a check starts again as its child: a test cannot start itself.
private let program = Place.build + "/nano-reasoner"

private func check(
  _ path: String, _ parameters: [String] = [], quick: Bool = true, timeLimit: Double = 60, only: [CheckTest]? = nil
) throws(Failure) -> CheckReport {
  var settings = CheckSettings(path: path)
  settings.parameters = parameters
  settings.isQuick = quick
  settings.timeLimit = timeLimit
  if let only { settings.tests = only }
  return try PluginChecker(settings, program: program).run()
}

private func replacing(_ old: String, by new: String, in text: String) -> String {
  text.split(separator: old, omittingEmptySubsequences: false).map(String.init).joined(separator: new)
}

/// Those whose compiler or interpreter this machine has.
private let newLanguages =
  ["c", "swift"] + (shell("command -v rustc").status == 0 ? ["rust"] : [])
  + (shell("\(PythonHelper.interpreter) -I -c 'import numpy'").status == 0 ? ["python"] : [])

@Suite("The checker")
struct CheckerTests {
  /// Each fault, the tests that must fail and no other, and a piece of what the first of them says.
  static let faults: [(fault: String, tests: [CheckTest], says: String)] = [
    ("leak", [.lifeCycle], "bytes on the heap"),
    ("null_destroy", [.lifeCycle], "SIGSEGV in destroy"),
    ("overrun", [.bounds], "SIGSEGV in advantages: it touched memory past the end of advantages"),
    ("underrun", [.bounds], "before advantages"),
    ("reads_beyond", [.bounds], "SIGSEGV in loss: it touched memory past the end of old"),
    ("writes_input", [.inputs], "it wrote to the input advantages"),
    ("unwritten", [.written], "d_current[1]"),
    ("unwritten_keep", [.written], "keep[1]"),
    ("accumulates", [.overwrites], "must not matter"),
    ("gradient_current", [.gradientCurrent], "finite differences give"),
    ("gradient_entropy", [.gradientEntropy], "finite differences give"),
    ("gradient_values", [.gradientValues], "finite differences give"),
    ("gradient_corner", [.gradientValues], "from the left"),
    ("wrong_sign", [.onPolicy, .clipSide], "is a sign wrong?"),
    ("falls", [.rewardOrder], "must not be worth less"),
    ("kl_away", [.referencePull], "pushes away from the reference"),
    ("max_for_min", [.clipSide], "min and max changed about"),
    ("own_tokens", [.split], "micro-batches"),
    ("clock", [.sameBits], "in the same process"),
    ("thread", [.sameBits], "in another thread"),
    ("process", [.sameBits], "in another process"),
    ("traps", [.runs], "in loss"),
    ("hangs", [.runs], "did not end within 2 s"),
    ("exits", [.runs], "exit code 3"),
    ("fails", [.runs], "internal error: no luck today"),
    ("needs_change", [.runs], "what it needs changed"),
    ("state_incomplete", [.state], "something is missing in the state"),
    ("save_partial", [.state], "write nothing"),
    ("state_garbage", [.garbageState], "NR_BAD_STATE"),
    ("state_crash", [.garbageState], "in restore"),
    ("shared", [.isolation], "calls alternate with those of another"),
    ("race", [.isolation], "another thread's"),
    ("impure_select", [.select], "asked again"),
    ("order_dependent", [.permutation], "in another"),
    ("extreme_nan", [.extremes], "not a finite number"),
    // An update without a token goes through two tests: one for its numbers, one for its metrics.
    ("empty_crash", [.metrics, .shapes], "in advantages"),
    ("empty_nan", [.metrics, .shapes], "the loss is nan"),
    ("ignores_range", [.parameters], "create takes clip = inf"),
    ("metric_nan", [.metrics], "metric ratio is nan"),
    ("ignores_size", [.foreignSizes], "past the end of nr_batch"),
    ("exact_size", [.foreignSizes], "not my struct"),
  ]

  @Test("Of every fault the test that is meant for it fails, and no other", arguments: faults)
  func finds(fault: String, tests: [CheckTest], says: String) throws {
    let path = try Broken.library.get().path
    let report = try check(path, ["fault=\(fault)"], timeLimit: fault == "hangs" ? 2 : 60)
    #expect(report.failures.map(\.test) == tests, "\(report.text)")
    #expect(report.failures.first?.message.contains(says) == true, "\(report.failures.first?.message ?? "")")
    #expect(!report.passed)
    // What rests on a failed test is not run, and says so.
    for outcome in report.outcomes {
      #expect((outcome.status == .blocked) == !Set(outcome.test.prerequisites).isDisjoint(with: tests))
    }
  }

  @Test func everyFaultOfThePluginIsTriedHere() throws {
    let known = try PluginLibrary(try Broken.library.get().path).descriptor.parameters[0].choices
    #expect(Set(known) == Set(Self.faults.map(\.fault) + ["none"]))
  }

  @Test func withoutAFaultEverythingPasses() throws {
    let report = try check(try Broken.library.get().path, ["fault=none"], quick: false)
    #expect(report.outcomes.map(\.test) == CheckTest.allCases)
    // What it remembers it saves, so there is nothing hidden to look for.
    #expect(report.outcomes.allSatisfy { $0.status == ($0.test == .hiddenState ? .skipped : .passed) }, "\(report.text)")
  }

  @Test func grpoPassesInBothVariants() throws {
    let report = try check("\(Place.build)/libnr-grpo.so", quick: false)
    #expect(report.passed, "\(report.text)")
    let runs = report.outcomes.first { $0.test == .runs }
    // Only the paper's variant needs a reference.
    #expect(runs?.message == "needs reference")
    let json = try JSON.parse(report.json.text(), name: "report")
    #expect(json["passed"] == true && json["seed"] == 42)
    #expect(json["tests"]?.array?.count == CheckTest.allCases.count)
  }

  @Test("The quick form takes less than a second of processor time")
  func quickFormIsQuick() throws {
    var before = rusage()
    var after = rusage()
    #if os(Linux)
    let children = __rusage_who_t(RUSAGE_CHILDREN.rawValue)
    #else
    let children = RUSAGE_CHILDREN
    #endif
    // Other tests' children count too where they end meanwhile, so the least of some tries is taken.
    var least = Double.infinity
    for _ in 0..<5 {
      unsafe getrusage(children, &before)
      _ = try check("\(Place.build)/libnr-grpo.so")
      unsafe getrusage(children, &after)
      let seconds = { (time: timeval) in Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
      least = min(
        least, seconds(after.ru_utime) + seconds(after.ru_stime) - seconds(before.ru_utime) - seconds(before.ru_stime))
      if least < 1 { break }
    }
    #expect(least < 1)
  }

  @Test func stoppedGradientsAreDeclared() throws {
    let folder = try TrialFolder()
    let source = try Files.readText("\(Place.tests)/PluginHostTests/Broken/broken.c")
    let declaration = """
      static uint32_t stops(const void *self) { (void)self; return NR_STOPS_CURRENT; }
      static const void *extension(const char *id) {
        static const nr_stopped_gradients stopped = { sizeof stopped, stops };
        return strcmp(id, NR_STOPPED_GRADIENTS) ? NULL : &stopped;
      }
      static const nr_plugin plugin
      """
    let declared = replacing(
      "save, restore, NULL", by: "save, restore, extension",
      in: replacing("static const nr_plugin plugin", by: declaration, in: source))
    // The ratio is held fixed: the derivative is not that of the loss, and means not to be.
    let stopping = replacing("(float)((-slope +", by: "(float)((-a +", in: declared)
    for (text, parameter, isRight) in [(stopping, "none", true), (declared, "gradient_current", false)] {
      try AtomicFile.write(text, to: folder.path + "/stops.c")
      let built = shell(
        "cd '\(folder.path)' && \(compiler) -std=c11 -w -shared -fPIC -I '\(Place.pluginHeader)' -o stops.so stops.c -lm")
      try #require(built.status == 0, "\(built.output)")
      let report = try check(folder.path + "/stops.so", ["fault=\(parameter)"], only: [.gradientCurrent])
      let outcome = report.outcomes.first { $0.test == .gradientCurrent }
      // A derivative that is 1.01 times that of the loss stops nothing: it is wrong, whatever is declared.
      #expect(outcome?.status == (isRight ? .skipped : .failed), "\(report.text)")
      if isRight { #expect(outcome?.message.contains("on purpose") == true) }
    }
  }

  private func build(_ source: String, _ changes: [(String, String)], in folder: TrialFolder) throws -> String {
    var text = try Files.readText(source)
    for (old, new) in changes {
      #expect(text.contains(old), "\(old)")
      text = replacing(old, by: new, in: text)
    }
    try AtomicFile.write(text, to: folder.path + "/changed.c")
    let built = shell(
      "cd '\(folder.path)' && \(compiler) -std=c11 -shared -fPIC -I '\(Place.pluginHeader)' -o libnr-changed.so changed.c -lm")
    try #require(built.status == 0, "\(built.output)")
    return folder.path + "/libnr-changed.so"
  }

  @Test func whatIsRememberedAndNotSavedIsFound() throws {
    let folder = try TrialFolder()
    let path = try build("\(Place.tests)/PluginHostTests/Broken/broken.c", [("save, restore, NULL", "NULL, NULL, NULL")], in: folder)
    let report = try check(path, only: [.hiddenState])
    #expect(report.failures.map(\.test) == [.hiddenState], "\(report.text)")
    #expect(report.failures.first?.message.contains("no save and restore") == true)
  }

  /// CISPO stops the gradient of its weight; what is left of its loss shows a wrong derivative all the same.
  @Test(arguments: [("", true), ("2 *", false), ("-", false), ("1.02 *", false)])
  func aStoppedGradientHidesNoWrongDerivative(_ factor: String, _ passes: Bool) throws {
    let folder = try TrialFolder()
    let line = "out->d_current[t] = (float)slope;"
    let changed = "out->d_current[t] = \(factor) (float)slope;"
    let path = try build("\(Place.repository)/Examples/C/cispo.c", [(line, changed)], in: folder)
    let report = try check(path, only: [.gradientCurrent])
    #expect(report.passed == passes, "\(report.text)")
    if passes { #expect(report.outcomes.first?.message.contains("move together") == true, "\(report.text)") }
  }

  @Test(arguments: ["grpo", "dr-grpo", "ppo", "gspo", "dapo", "grpo-lead"])
  func whatShipsMeansWhatItShould(_ id: String) throws {
    let report = try check("\(Place.build)/libnr-\(id).so", quick: false, only: [.rewardOrder, .hiddenState, .referencePull, .clipSide])
    #expect(report.passed && report.outcomes.count == 4, "\(report.text)")
    // Only what has no KL term has no pull to be tested.
    for outcome in report.outcomes {
      let hasNone = outcome.test == .referencePull && !["grpo", "ppo"].contains(id)
      #expect(outcome.status == (hasNone ? .skipped : .passed), "\(report.text)")
    }
  }

  @Test func clipsAreShownByTheirValues() throws {
    let report = try check("\(Place.build)/libnr-grpo.so", only: [.clipSide])
    // The ratio times the advantage, and nothing on the side where it is clipped.
    #expect(report.text.contains("A=+1  0.5: 0.5  0.7: 0.7  0.9: 0.9  1: 1  1.1: 1.1  1.4: 0  2: 0\n"), "\(report.text)")
    #expect(report.text.contains("A=-1  0.5: 0  0.7: 0  0.9: -0.9  1: -1  1.1: -1.1  1.4: -1.4  2: -2\n"), "\(report.text)")
  }

  @Test func theSameSeedGivesTheSameReport() throws {
    let path = try Broken.library.get().path
    let messages = try (0..<2).map { _ in
      try check(path, ["fault=gradient_current"], only: [.gradientCurrent]).outcomes.map(\.message)
    }
    #expect(messages[0] == messages[1])
  }

  @Test func whatIsNoPluginFailsTheFirstTest() throws {
    let report = try check("\(Place.tests)/PluginHostTests/Broken/broken.c")
    #expect(report.failures.map(\.test) == [.loading])
    #expect(report.failures[0].message.contains("cannot load the library"))
    #expect(report.outcomes.filter { $0.status == .blocked }.count == report.outcomes.count - 1)
  }
}

@Suite("The commands around a plugin")
struct PluginCommandTests {
  @Test func checkPrintsAndEndsWithItsCode() throws {
    let path = try Broken.library.get().path
    let bad = shell("'\(program)' plugin check '\(path)' --quick --set fault=own_tokens")
    #expect(bad.status == 65)
    #expect(bad.output.contains("FAIL  split"))
    #expect(bad.output.contains("--only split --seed 42 --set fault=own_tokens --quick"))
    #expect(bad.output.contains("(seed 42)"))
    let good = shell("'\(program)' plugin check '\(path)' --quick --set fault=none --json 2>/dev/null")
    #expect(good.status == 0)
    #expect(try JSON.parse(good.output, name: "report")["passed"] == true)
  }

  @Test("rl refuses a plugin that fails, unless it is trusted")
  func trainingChecksFirst() throws {
    let path = try Broken.library.get().path
    let folder = try TrialFolder()
    let command =
      "'\(program)' rl --algo '\(path)' --set fault=own_tokens --model /nonexistent --data /nonexistent --out '\(folder.path)/run'"
    let refused = shell(command)
    #expect(refused.status == 65)
    #expect(refused.output.contains("plugin broken fails its check split"))
    #expect(refused.output.contains("--trust-plugin"))
    #expect(refused.output.split(separator: "\n").count == 1)
    // Trusted, it goes on to what is missing next.
    #expect(shell(command + " --trust-plugin").status == 66)
  }

  @Test("plugin new writes a plugin that passes its own test", arguments: newLanguages)
  func newPlugin(language: String) throws {
    let folder = try TrialFolder()
    let out = folder.path + "/my-loss"
    let made = shell("'\(program)' plugin new my-loss --lang \(language) --out '\(out)'")
    try #require(made.status == 0, "\(made.output)")
    #expect(shell("'\(program)' plugin new my-loss --out '\(out)'").status == 64)
    let test = "CC=\(compiler) '\(out)/test.sh'"
    let tested = shell("cd / && \(test)")
    #expect(tested.status == 0, "\(tested.output)")
    #expect(tested.output.contains("as expected"))
    #expect(!tested.output.contains("FAIL") && !tested.output.contains("warning"), "\(tested.output)")
    if language == "c" {
      // Its test can fail: a sign in the loss.
      let source = out + "/my-loss.c"
      try AtomicFile.write(replacing("sum -= b->adv", by: "sum += b->adv", in: try Files.readText(source)), to: source)
      #expect(shell(test).status == 65)
    }
  }
}
