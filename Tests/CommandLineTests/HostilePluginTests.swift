import Support
import TestSupport
import Testing

/// Libraries that misbehave when they are opened, described or called: each is named, contained, and stops nothing else.
@Suite(.serialized) struct HostilePluginTests {
  /// What a library does, in C, and where: in its constructor, in its entry, or in a call.
  struct Kind: Sendable, CustomTestStringConvertible {
    let name: String
    /// Run by the dynamic linker, or by the entry.
    var constructor = ""
    var entry = ""
    /// Behind the description: what `create` and the stages do.
    var create = ""
    var loss = ""
    /// A piece of what `plugin list` and `plugin show` say; nil where the library describes itself well.
    var says: String?

    var testDescription: String { name }
  }

  static let opening: [Kind] = {
    let deeds: [(String, String, String)] = [
      ("exits with 0", "exit(0);", "exit code 0"), ("exits with 3", "exit(3);", "exit code 3"), ("leaves by _exit", "_exit(0);", "exit code 0"),
      ("aborts", "abort();", "SIGABRT"), ("traps", "__builtin_trap();", "SIGILL"), ("writes to address 0", "*(volatile int *)0 = 1;", "SIGSEGV"),
      ("divides by zero", "raise(SIGFPE);", "SIGFPE"), ("kills itself", "kill(getpid(), SIGKILL);", "SIGKILL"),
      ("ends its parent too", "kill(getppid(), SIGKILL); for (;;) pause();", "SIGKILL"),
      ("overruns its stack", "deep(0);", "SIGSEGV"),
      ("closes all descriptors", "for (int i = 0; i < 256; i++) close(i);", "before it had described itself"),
      ("floods the report", "static char z[65536]; memset(z, 'x', sizeof z); for (;;) if (write(3, z, sizeof z) < 0) _exit(1);", "MiB"),
      ("forges a report", "const char *t = \"card\\t{}\\n\"; if (write(3, t, strlen(t))) {}", "descriptor 3"),
      ("forges many reports", "for (int i = 0; i < 1000; i++) { const char *t = \"end\\t{\\\"test\\\":\\\"loading\\\",\\\"status\\\":\\\"passed\\\",\\\"message\\\":\\\"\\\",\\\"seconds\\\":0}\\n\"; if (write(3, t, strlen(t))) {} }", "descriptor 3"),
      ("leaves a daemon", "if (!fork()) { setsid(); if (!fork()) { for (;;) pause(); } _exit(0); } exit(5);", "exit code 5"),
    ]
    // What a run could not live with.
    let changes: [(String, String, String)] = [
      ("ignores all signals", "for (int s = 1; s < 32; s++) signal(s, SIG_IGN);", "SIGINT, SIGTERM"),
      ("handles all signals", "for (int s = 1; s < 32; s++) signal(s, handler);", "SIGINT, SIGTERM"),
      ("blocks all signals", "sigset_t s; sigfillset(&s); sigprocmask(SIG_BLOCK, &s, NULL);", "SIGINT, SIGTERM"),
      ("takes Ctrl-C", "signal(SIGINT, handler);", "what SIGINT does"), ("closes standard output", "close(1); close(2);", "descriptors 1, 2"),
      ("changes the folder", "if (chdir(\"/\")) {}", "current folder"),
    ]
    // Without a second form in the entry.
    let once: [(String, String, String)] = [
      ("ends by SIGTERM", "signal(SIGTERM, SIG_DFL); raise(SIGTERM);", "signal 15"), ("ends by SIGHUP", "signal(SIGHUP, SIG_DFL); raise(SIGHUP);", "signal 1"),
      ("ends by SIGPIPE", "signal(SIGPIPE, SIG_DFL); raise(SIGPIPE);", "signal 13"), ("ends by SIGTRAP", "raise(SIGTRAP);", "SIGTRAP"),
      ("ends by SIGBUS", "raise(SIGBUS);", "SIGBUS"), ("ends by SIGXCPU", "raise(SIGXCPU);", "signal 24"), ("ends by a real-time signal", "raise(40);", "signal 40"),
      ("calls address 0", "((void (*)(void))0)();", "SIGSEGV"), ("jumps into the stack", "char c[64] = { 0 }; ((void (*)(void))(void *)c)();", "SIGSEGV"),
      ("writes to its code", "*(volatile char *)(void *)begin = 1;", "SIGSEGV"), ("frees twice", "void *p = malloc(10); free(p); free(p);", "SIGABRT"),
      ("frees what is not its", "free((void *)0x1234560);", "SIG"), ("fills the heap and aborts", "for (int i = 0; i < 10000; i++) malloc(1000); abort();", "SIGABRT"),
      ("forks and exits", "for (int i = 0; i < 20; i++) if (!fork()) { for (;;) pause(); } exit(7);", "exit code 7"),
      ("turns into another program", "execl(\"/bin/true\", \"true\", (char *)0);", "exit code 0"),
      ("turns into one that fails", "execl(\"/bin/false\", \"false\", (char *)0);", "exit code 1"),
      ("closes the report and exits", "close(3); exit(0);", "exit code 0"), ("writes an error to the report", "const char *t = \"error\\tnothing is wrong\\n\"; if (write(3, t, strlen(t))) {} exit(0);", "exit code 0"),
      ("writes bytes that are no text", "char t[] = { 'c', 'a', 'r', 'd', 9, -1, -2, 0, 10 }; if (write(3, t, sizeof t)) {}", "descriptor 3"),
      ("writes an empty line", "if (write(3, \"\\n\\nx\\n\", 4)) {}", "descriptor 3"),
      ("says that it refuses", "const char *t = \"refused\\t0\\tfine\\n\"; if (write(3, t, strlen(t))) {}", "descriptor 3"),
      ("takes away the limit of descriptors", "for (int i = 3; i < 100; i++) close(i); if (dup2(0, 3)) {}", "before it had described itself"),
      ("ends in a thread", "alarm(0); if (!vfork()) _exit(0); raise(SIGILL);", "SIGILL"),
      ("exits from an exit handler", "atexit(begin2); exit(0);", "exit code 9"),
    ]
    var kinds: [Kind] = (once + changes).map { Kind(name: $0.0, constructor: $0.1, says: $0.2) }
    for (name, code, says) in deeds {
      kinds.append(Kind(name: "\(name) when loaded", constructor: code, says: says))
      kinds.append(Kind(name: "\(name) in its entry", entry: code, says: says))
    }
    return kinds
  }()

  /// What is done quietly and does not keep a library from being used.
  static let quiet: [Kind] = [
    Kind(name: "handles a signal of its own", constructor: "signal(SIGUSR1, handler); signal(SIGSEGV, handler);"),
    Kind(name: "prints much", constructor: "for (int i = 0; i < 200000; i++) puts(\"\\033[2Jhello\");"),
    Kind(name: "sets a limit of time", constructor: "alarm(100);"),
  ]

  private static func source(_ kind: Kind, id: String) -> String {
    """
    #define _GNU_SOURCE
    #include "nr_plugin.h"
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>
    static volatile int depth;
    static int deep(int n) { char block[4096]; memset(block, n, sizeof block); depth = block[n & 1023]; return deep(n + 1) + depth; }
    static void handler(int number) { (void)number; }
    static void begin2(void) { _exit(9); }
    static void begin(void);
    __attribute__((constructor)) static void begin(void) { (void)deep; (void)handler; (void)begin2; (void)begin; \(kind.constructor) }
    typedef struct state { int calls; } state;
    static nr_status create(const nr_host *h, const double *p, void **self, nr_error *e) { *self = calloc(1, sizeof(state)); \(kind.create) return NR_OK; }
    static void destroy(void *self) { free(self); }
    static uint32_t needs(const void *self) { return 0; }
    static nr_status advantages(void *self, const nr_rollout *r, nr_advantages *out, nr_value *v, nr_error *e) {
      for (uint32_t g = 0; g < r->group_count; g++) {
        double mean = 0; int64_t a = r->group_offsets[g], b = r->group_offsets[g + 1];
        for (int64_t s = a; s < b; s++) mean += r->rewards[s] / (double)(b - a);
        for (int64_t s = a; s < b; s++) for (int64_t t = r->token_offsets[s]; t < r->token_offsets[s + 1]; t++) out->advantages[t] = (float)(r->rewards[s] - mean);
      }
      return NR_OK;
    }
    static nr_status loss(void *self, const nr_batch *b, nr_gradients *out, nr_value *v, nr_error *e) {
      \(kind.loss)
      out->loss = 0;
      for (int64_t t = 0; t < b->token_count; t++) {
        out->loss -= b->advantages[t] * b->current[t] / b->update_tokens;
        out->d_current[t] = (float)(-(double)b->advantages[t] / b->update_tokens);
      }
      return NR_OK;
    }
    static const nr_plugin plugin = { NR_MAGIC, sizeof(nr_plugin), NR_ABI_MAJOR, NR_ABI_MINOR, 0, 0, 0, "\(id)", "1.0.0", "t", "r", "",
      NULL, NULL, create, destroy, needs, NULL, advantages, loss, NULL, NULL, NULL };
    const nr_plugin *nr_plugin_entry(uint32_t major, uint32_t minor) { \(kind.entry) return &plugin; }
    """
  }

  private func build(_ kind: Kind, id: String, in folder: TrialFolder) throws -> String {
    let source = try folder.write(Self.source(kind, id: id), "\(id).c")
    let library = folder.file("libnr-\(id).so")
    let built = try RunningTool(
      ["-w", "-g", "-shared", "-fPIC", "-I", Place.repository + "/Sources/PluginAPI/C/include", "-o", library, source], program: "/usr/bin/cc").wait()
    try #require(built.code == 0, "\(built.error)")
    return library
  }

  @Test(arguments: opening) func aLibraryThatEndsWhatOpensItIsNamedAndStopsNothingElse(_ kind: Kind) throws {
    let folder = try TrialFolder()
    let library = try build(kind, id: "hostile", in: folder)
    let path = ["NR_PLUGIN_PATH": folder.path]
    let says = try #require(kind.says)
    let list = try tool("plugin", "list", environment: path)
    #expect(list.code == 0 && list.output.contains("libnr-hostile.so") && list.output.contains(says), "\(list.output)\(list.error)")
    #expect(list.output.contains("grpo 1."))
    let show = try tool("plugin", "show", "hostile", environment: path)
    #expect(show.code == 65 && show.error.contains(says) && show.error.contains("libnr-hostile.so"), "\(show.code) \(show.error)")
    #expect(try tool("plugin", "show", library).code == 65)
    let check = try tool("plugin", "check", library, "--only", "loading")
    #expect(check.code == 65 && check.output.contains("FAIL"), "\(check.code) \(check.output) \(check.error)")
    let doctor = try tool("doctor", environment: path)
    #expect(doctor.code == 0 && doctor.output.contains("grpo"), "\(doctor.output)\(doctor.error)")
    let run = try tool("rl", "--model", Place.repository + "/Models/base", "--data", folder.path, "--algo", "hostile", "--out", folder.file("run"), environment: path)
    #expect(run.code == 65 && run.error.contains(says), "\(run.code) \(run.error)")
    let bench = try tool("bench", "--algos", "grpo,hostile", "--out", folder.file("bench"), environment: path)
    #expect(bench.code == 65 && bench.error.contains(says), "\(bench.code) \(bench.error)")
    // Another algorithm is found without a look at this one.
    #expect(try tool("plugin", "show", "grpo", environment: path).code == 0)
  }

  /// What a table says that is not so: C for each field that is written otherwise.
  static let tables: [(field: String, says: String)] = [
    (".magic = 7", "not a plugin"), (".abi_major = 2", "ABI 2"), (".struct_size = 8", "has 8 bytes"), (".struct_size = 0xFFFFFFFF", "bytes"),
    (".id = NULL", "id"), (".id = (const char *)1", "SIGSEGV"), (".id = \"A B\"", "lower-case"), (".id = \"\"", "lower-case"), (".version = \"\"", "version"),
    (".version = (const char *)-8", "SIGSEGV"), (".title = \"\\xFF\\xFE\"", "title"), (".card = NULL", "card"), (".reference = (const char *)4096", "SIGSEGV"),
    (".parameter_count = 4000000000u", "most"), (".parameter_count = 3", "NULL"), (".parameters = (const nr_parameter *)16, .parameter_count = 1", "SIGSEGV"),
    (".metric_count = 5", "NULL"), (".metrics = (const nr_metric *)16, .metric_count = 1", "SIGSEGV"), (".create = NULL", "create"), (".destroy = NULL", "destroy"),
    (".needs = NULL", "needs"), (".advantages = NULL", "advantages"), (".loss = NULL", "loss"), (".save = (void *)1", "save"),
  ]

  @Test(arguments: tables) func aTableThatIsNotSoIsNamed(_ field: String, _ says: String) throws {
    let folder = try TrialFolder()
    let text = Self.source(Kind(name: field), id: "table")
    let plain = "NULL, create, destroy, needs, NULL, advantages, loss, NULL, NULL, NULL };"
    #expect(text.contains(plain))
    let source = try folder.write(
      text.split(separator: "static const nr_plugin plugin = {").joined(separator: "static nr_plugin plugin = {").split(separator: "return &plugin;").joined(
        separator: "plugin = (nr_plugin){ .magic = NR_MAGIC, .struct_size = sizeof plugin, .abi_major = 1, .id = \"table\", .version = \"1\", .title = \"t\", .reference = \"r\", .card = \"\", .create = create, .destroy = destroy, .needs = needs, .advantages = advantages, .loss = loss, \(field) }; return &plugin;"),
      "table.c")
    let library = folder.file("libnr-table.so")
    let built = try RunningTool(
      ["-w", "-shared", "-fPIC", "-I", Place.repository + "/Sources/PluginAPI/C/include", "-o", library, source], program: "/usr/bin/cc").wait()
    try #require(built.code == 0, "\(built.error)")
    let path = ["NR_PLUGIN_PATH": folder.path]
    let list = try tool("plugin", "list", environment: path)
    #expect(list.code == 0 && list.output.contains("libnr-table.so") && list.output.contains(says) && list.output.contains("grpo 1."), "\(list.output)")
    let run = try tool("rl", "--model", Place.repository + "/Models/base", "--data", folder.path, "--algo", library, "--out", folder.file("run"))
    #expect(run.code == 65 && run.error.contains(says), "\(run.code) \(run.error)")
    #expect(try tool("plugin", "check", library, "--only", "loading").code == 65)
  }

  @Test(arguments: quiet) func whatALibraryDoesToItsProcessStaysThere(_ kind: Kind) throws {
    let folder = try TrialFolder()
    _ = try build(kind, id: "quiet", in: folder)
    let path = ["NR_PLUGIN_PATH": folder.path]
    let list = try tool("plugin", "list", environment: path)
    #expect(list.code == 0 && list.output.contains("quiet 1.0.0") && list.output.contains("grpo 1."), "\(list.output)\(list.error)")
    #expect(try tool("plugin", "show", "quiet", environment: path).output.hasPrefix("quiet 1.0.0"))
  }

  @Test func aLibraryThatHangsIsEndedWithAllItStarted() throws {
    let folder = try TrialFolder()
    let kind = Kind(
      name: "hangs", constructor: "for (int s = 1; s < 32; s++) signal(s, SIG_IGN); if (!fork()) setsid(); close(3); for (;;) usleep(100000);")
    let library = try build(kind, id: "hang", in: folder)
    let check = try tool("plugin", "check", library, "--only", "loading", "--time-limit", "1")
    #expect(check.code == 65 && check.output.contains("did not end within 1 s"), "\(check.output) \(check.error)")
    let left = try RunningTool(["-c", "for p in /proc/[0-9]*; do grep -q libnr-hang.so $p/maps 2>/dev/null && echo $p; done; true"], program: "/bin/sh").wait()
    #expect(left.output == "", "still there: \(left.output)")
  }

  @Test func onlyRegularFilesOfAPluginsSizeAreLookedAt() throws {
    let folder = try TrialFolder()
    unsafe _ = mkfifo(folder.file("libnr-fifo.so"), 0o600)
    unsafe _ = symlink("/dev/zero", folder.file("libnr-zero.so"))
    unsafe _ = symlink("libnr-loop.so", folder.file("libnr-loop.so"))
    let sparse = unsafe open(folder.file("libnr-sparse.so"), O_CREAT | O_WRONLY, 0o600)
    _ = ftruncate(sparse, 100 << 30)
    close(sparse)
    unsafe _ = mkfifo(folder.file("other.so"), 0o600)
    let path = ["NR_PLUGIN_PATH": folder.path]
    let list = try tool("plugin", "list", environment: path)
    #expect(list.code == 0 && list.output.contains("grpo 1."), "\(list.error)")
    for (name, says) in [("fifo", "regular"), ("zero", "regular"), ("sparse", "MiB")] {
      #expect(list.output.contains(says), "\(name): \(list.output)")
      expectRefusal(try tool("plugin", "show", name, environment: path), 65, says)
    }
    expectRefusal(try tool("plugin", "show", folder.file("libnr-loop.so")), 66, "no such plugin file")
  }

  /// The same bytes are asked once, wherever they lie.
  @Test func whatALibrarySaysIsRemembered() throws {
    let folder = try TrialFolder()
    let mark = folder.file("mark")
    let library = try build(Kind(name: "leaves a mark", constructor: "FILE *f = fopen(\"\(mark)\", \"w\"); if (f) fclose(f);"), id: "asked", in: folder)
    let cache = ["XDG_CACHE_HOME": folder.file("cache")]
    let first = try tool("plugin", "show", library, environment: cache)
    #expect(first.code == 0 && Files.exists(mark))
    unsafe _ = unlink(mark)
    #expect(try tool("plugin", "show", library, environment: cache).output == first.output)
    try Files.makeDirectory(folder.file("other"))
    try Files.copy(library, to: folder.file("other/libnr-asked.so"))
    #expect(try tool("plugin", "show", folder.file("other/libnr-asked.so"), environment: cache).output.contains(folder.file("other/libnr-asked.so")))
    #expect(!Files.exists(mark))
    // A note that is no note is not believed.
    for name in try Files.list(folder.file("cache/nano-reasoner/plugins")) { try AtomicFile.write("{}", to: folder.file("cache/nano-reasoner/plugins/\(name)")) }
    #expect(try tool("plugin", "show", library, environment: cache).output == first.output)
    #expect(Files.exists(mark))
  }

  @Test func aBrokenFileInFrontIsNotPassedOver() throws {
    let folder = try TrialFolder()
    try folder.write("no library", "libnr-grpo.so")
    expectRefusal(try tool("plugin", "show", "grpo", environment: ["NR_PLUGIN_PATH": folder.path]), 65, folder.file("libnr-grpo.so"))
    // Behind one that works it is nobody's business.
    let both = ["NR_PLUGIN_PATH": Files.directory(of: Place.tool) + ":" + folder.path]
    #expect(try tool("plugin", "show", "grpo", environment: both).code == 0)
  }

  @Test func aWordThatIsNoTextIsRefused() throws {
    let folder = try TrialFolder()
    let result = try RunningTool(
      ["-c", "cd '\(folder.path)' && '\(Place.tool)' data make --count 1 --out \"$(printf 'a\\377b')\"; echo $?; ls | wc -l"], program: "/bin/sh").wait()
    #expect(result.output == "64\n0\n" && result.error.contains("is not UTF-8"), "\(result.output) \(result.error)")
  }

  @Test func nothingRunsUnasked() throws {
    let folder = try TrialFolder()
    let mark = folder.file("mark")
    let plugins = folder.file("plugins")
    try Files.makeDirectory(plugins)
    let kind = Kind(name: "leaves a mark", constructor: "FILE *f = fopen(\"\(mark)\", \"w\"); if (f) fclose(f);")
    let library = try build(kind, id: "marked", in: folder)
    try Files.copy(library, to: plugins + "/libnr-marked.so")
    func here(_ words: String, _ path: String = "") throws -> ToolResult {
      try RunningTool(["-c", "cd '\(folder.path)' && NR_PLUGIN_PATH='\(path)' '\(Place.tool)' \(words)"], program: "/bin/sh").wait()
    }
    // A folder `plugins` where somebody happens to stand is not looked at, nor is any other algorithm than the one asked for.
    for words in ["plugin list", "doctor", "plugin show grpo", "plugin check grpo --only loading"] {
      #expect(try here(words).code == 0)
      #expect(!Files.exists(mark), "\(words)")
    }
    #expect(try here("plugin show grpo", plugins).code == 0)
    #expect(!Files.exists(mark))
    #expect(try here("plugin show marked", plugins).code == 0)
    #expect(Files.exists(mark))
    // A folder to which everybody can write.
    unsafe _ = unlink(mark)
    unsafe chmod(plugins, 0o777)
    let list = try here("plugin list", plugins)
    #expect(list.output.contains("everybody can write"), "\(list.output)")
    expectRefusal(try here("plugin show marked", plugins), 65, "everybody can write")
    #expect(!Files.exists(mark))
  }

  @Test(arguments: [
    ("exit(0);", 70, "called exit()"), ("exit(3);", 70, "called exit()"), ("quick_exit(0);", 70, "called exit()"),
    ("__builtin_trap();", 0, "SIGILL"), ("*(volatile int *)0 = 1;", 0, "SIGSEGV"), ("abort();", 0, "abort()"),
    ("volatile int z = 0; z = 5 / z;", 0, "SIGFPE"),
  ])
  func aRunThatItsPluginEndsSaysSo(_ deed: String, _ code: Int, _ says: String) throws {
    let folder = try TrialFolder()
    // From the third step on.
    let library = try build(Kind(name: deed, loss: "if (b->step >= 2) { \(deed) }"), id: "ender", in: folder)
    let data = try folder.write("{\"question\": \"1 + 1?\", \"answer\": \"2\"}\n", "data.jsonl")
    let run = try tool(
      "rl", "--model", Place.repository + "/Models/base", "--data", data, "--algo", library, "--trust-plugin", "--steps", "4", "--group-size", "2",
      "--prompts-per-step", "1", "--max-new-tokens", "4", "--out", folder.file("run"), "--quiet", "--no-isolate-plugin")
    #expect(code == 0 ? run.code != 0 : run.code == Int32(code), "\(run.code)")
    #expect(run.error.contains("plugin ender: loss of step 3 ") && run.error.contains(says) && run.error.contains("--resume"), "\(run.error)")
  }

  @Test(.enabled(if: Files.exists("/usr/bin/addr2line"), "needs addr2line of binutils"))
  func aTrapNamesTheLineOfTheSource() throws {
    let folder = try TrialFolder()
    let library = try build(Kind(name: "traps", loss: "__builtin_trap();"), id: "trap", in: folder)
    let check = try tool("plugin", "check", library, "--only", "runs")
    #expect(check.code == 65 && check.output.contains("SIGILL in loss at trap.c:"), "\(check.output)")
  }
}
