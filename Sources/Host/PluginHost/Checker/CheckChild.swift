internal import CPluginCheck
import Support

/// The child process of a check: runs tests, and reports each as a line of JSON on a descriptor of its own. What a plugin
/// prints, and how it dies, does not disturb that.
package enum CheckChild {
  /// The program's first argument that makes it a child of a check; no command, and not for users.
  package static let argument = "--check-child"

  /// What a child is started for.
  enum Task: String { case tests, digest, describe }

  static func arguments(_ settings: CheckSettings, _ task: Task = .tests) -> [String] {
    [argument, settings.json.text(), task.rawValue]
  }

  /// Does what the words behind ``argument`` say.
  package static func main(_ words: [String]) -> ExitCode {
    nr_check_supervise()
    nr_check_install(ChildProcess.reportDescriptor)
    do throws(Failure) {
      guard let text = words.first, let settings = CheckSettings(json: try JSON.parse(text, name: argument)) else {
        throw .usage("\(argument) is for the program itself")
      }
      // A plugin that hangs ends even if nobody waits for it.
      alarm(UInt32(min(settings.timeLimit + 5, 100_000)))
      var limit = rlimit(rlim_cur: 0, rlim_max: 0)
      unsafe setrlimit(coreLimit, &limit)
      switch words.dropFirst().first.flatMap(Task.init) ?? .tests {
      case .digest:
        let library = try PluginLibrary(settings.path)
        try write("digest\t\(try CheckRun(library, settings, .sameBits).digest())\n")
      case .describe:
        // What the library prints or leaves in the report before this line is not part of it.
        let library: PluginLibrary
        do throws(Failure) { library = try open(settings.path) } catch {
          try write("refused\t\(error.code.rawValue)\t\(error.message)\n")
          return .success
        }
        try write("card\t\(PluginCard(describing: library).json.text())\n")
      case .tests:
        for test in settings.tests {
          try write("begin\t\(test.rawValue)\n")
          try write("end\t\(outcome(test, settings).json.text())\n")
        }
      }
      return .success
    } catch {
      try? write("error\t\(error.message)\n")
      return error.code
    }
  }

  /// Opens a library, which must leave the process as it was.
  private static func open(_ path: String) throws(Failure) -> PluginLibrary {
    let before = ProcessState()
    let library = try PluginLibrary(path)
    if let what = before.difference(to: ProcessState()) { throw .badData("\(library.path): \(what)") }
    return library
  }

  private static func outcome(_ test: CheckTest, _ settings: CheckSettings) -> CheckOutcome {
    let watch = Stopwatch()
    do throws(Failure) {
      // Opened by the first test: what it refuses is that test's failure.
      let run = try CheckRun(test == .loading ? try open(settings.path) : try PluginLibrary(settings.path), settings, test)
      switch try run.verdict() {
      case .passed(let note): return CheckOutcome(test, .passed, note, seconds: watch.seconds)
      case .skipped(let reason): return CheckOutcome(test, .skipped, reason, seconds: watch.seconds)
      }
    } catch {
      return CheckOutcome(test, .failed, error.message, seconds: watch.seconds)
    }
  }

  private static func write(_ line: String) throws(Failure) {
    try AtomicFile.write(Array(line.utf8), descriptor: ChildProcess.reportDescriptor, name: "the report")
  }

  #if os(Linux)
  private static var coreLimit: Int32 { Int32(RLIMIT_CORE.rawValue) }
  #else
  private static var coreLimit: Int32 { RLIMIT_CORE }
  #endif
}

extension CheckRun {
  func verdict() throws(Failure) -> CheckVerdict {
    switch test {
    case .loading: try loading()
    case .description: try description()
    case .runs: try runs()
    case .bounds: try bounds()
    case .inputs: try inputs()
    case .written: try written()
    case .overwrites: try overwrites()
    case .lifeCycle: try lifeCycle()
    case .parameters: try parameters()
    case .metrics: try metrics()
    case .shapes: try shapes()
    case .permutation: try permutation()
    case .select: try select()
    case .gradientCurrent: try gradient(.current)
    case .gradientValues: try gradient(.values)
    case .gradientEntropy: try gradient(.entropy)
    case .split: try split()
    case .onPolicy: try onPolicy()
    case .extremes: try extremes()
    case .sameBits: try sameBits()
    case .isolation: try isolation()
    case .state: try state()
    case .garbageState: try garbageState()
    case .foreignSizes: try foreignSizes()
    case .rewardOrder: try rewardOrder()
    case .hiddenState: try hiddenState()
    case .referencePull: try referencePull()
    case .clipSide: try clipSide()
    case .cost: try cost()
    }
  }
}
