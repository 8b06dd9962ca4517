import Support
import TestSupport
import Testing

/// The program, started as a shell would start it.
final class RunningTool {
  let process: pid_t
  private let folder: TrialFolder
  private var result: ToolResult?

  /// - Parameters:
  ///   - environment: set beside what the tests run in.
  ///   - program: another program to start; its words are `words`.
  init(
    _ words: [String], input: [UInt8] = [], environment: [String: String] = [:],
    program: String = Place.tool
  ) throws {
    folder = try TrialFolder()
    try AtomicFile.write(input, to: folder.file("in"))
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, folder.file("in"), O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, 1, folder.file("out"), O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    unsafe posix_spawn_file_actions_addopen(&actions, 2, folder.file("err"), O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    var variables: [String] = []
    var index = 0
    while let entry = unsafe environ[index] {
      let text = unsafe String(cString: entry)
      index += 1
      if !environment.keys.contains(where: { text.hasPrefix("\($0)=") }) { variables.append(text) }
    }
    variables += environment.map { "\($0.key)=\($0.value)" }
    var arguments = unsafe ([program] + words).map { unsafe strdup($0) } + [nil]
    var values = unsafe variables.map { unsafe strdup($0) } + [nil]
    defer { for unsafe pointer in unsafe arguments + values { unsafe free(pointer) } }
    // The threads of a test program may block signals, and a process inherits that.
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var (none, all) = (sigset_t(), sigset_t())
    unsafe sigemptyset(&none)
    unsafe sigfillset(&all)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &all)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var process: pid_t = 0
    let status = unsafe posix_spawn(&process, program, &actions, &attributes, &arguments, &values)
    try #require(status == 0, "cannot start \(program)")
    self.process = process
  }

  func signal(_ number: Int32) { kill(process, number) }

  /// Whether it has ended; a process that runs longer than ten minutes is killed.
  private func poll() -> ToolResult? {
    if let result { return result }
    var status: Int32 = 0
    guard unsafe waitpid(process, &status, WNOHANG) == process else { return nil }
    let ended = ToolResult(
      code: status & 0x7F == 0 ? (status >> 8) & 0xFF : -(status & 0x7F),
      output: (try? Files.readText(folder.file("out"))) ?? "", error: (try? Files.readText(folder.file("err"))) ?? "")
    result = ended
    return ended
  }

  func wait() -> ToolResult {
    let watch = Stopwatch()
    while true {
      if let result = poll() { return result }
      if watch.seconds > 600 { signal(SIGKILL) }
      usleep(2000)
    }
  }

  /// Waits until a condition holds; false where the program ended before.
  func wait(until condition: () -> Bool) -> Bool {
    while !condition() {
      if poll() != nil { return condition() }
      usleep(1000)
    }
    return true
  }

  deinit {
    if poll() == nil {
      signal(SIGKILL)
      _ = wait()
    }
  }
}

struct ToolResult {
  /// The exit code; a signal's number is negative.
  let code: Int32
  let output: String
  let error: String

  var json: JSON { (try? JSON.parse(output, name: "standard output")) ?? .null }
}

@discardableResult
func tool(
  _ words: String..., input: String = "", environment: [String: String] = [:]
) throws -> ToolResult {
  try tool(words, input: input, environment: environment)
}

@discardableResult
func tool(
  _ words: [String], input: String = "", environment: [String: String] = [:]
) throws -> ToolResult {
  try RunningTool(words, input: Array(input.utf8), environment: environment).wait()
}

/// One line on standard error that holds all the parts, nothing on standard output, and the code.
func expectRefusal(
  _ result: ToolResult, _ code: Int32, _ parts: String..., at location: SourceLocation = #_sourceLocation
) {
  #expect(result.code == code, "\(result.error)", sourceLocation: location)
  #expect(result.output.isEmpty, sourceLocation: location)
  let lines = result.error.split(separator: "\n", omittingEmptySubsequences: false)
  #expect(lines.count == 2 && lines.last == "", "expected one line, found: \(result.error)", sourceLocation: location)
  #expect(result.error.hasPrefix("nano-reasoner: "), sourceLocation: location)
  for part in parts {
    #expect(result.error.contains(part), "expected \(part) in: \(result.error)", sourceLocation: location)
  }
}

/// Three tokens scored by a model, whose folder is what a test is about.
func score(_ model: String, _ folder: TrialFolder, _ more: String...) throws -> ToolResult {
  let tokens = try folder.write("[[1, 2, 3]]", "tokens.json")
  return try tool(["score", "--model", model, "--tokens", tokens, "--out", folder.file("o")] + more)
}

/// Sets one key of a JSON file, or removes it.
func change(_ path: String, _ key: String, _ value: JSON?) throws {
  var object = try #require(try JSON.read(path).object)
  object[key] = value
  try AtomicFile.write(JSON.object(object).text(), to: path)
}
