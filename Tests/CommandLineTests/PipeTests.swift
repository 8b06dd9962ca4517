import Support
import TestSupport
import Testing

/// Where results go: files, links, pipes, devices, standard output; and what happens when nobody reads them.
@Suite struct PipeTests {
  private func shell(_ script: String, _ folder: TrialFolder) throws -> ToolResult {
    try RunningTool(["-c", "cd '\(folder.path)' && tool='\(Place.tool)' && \(script)"], program: "/bin/sh").wait()
  }

  @Test func everyCommandWritesThroughALinkAndIntoAPipe() throws {
    let folder = try TrialFolder()
    try folder.write("[[5, 6, 7]]", "tokens.json")
    try folder.write("{\"question\": \"1 + 1?\", \"answer\": \"2\"}\n", "data.jsonl")
    let commands = [
      "data make --count 3 --seed 1", "score --model '\(Place.model)' --tokens tokens.json",
      "eval --model '\(Place.model)' --data data.jsonl --max-new-tokens 2 --quiet",
    ]
    for command in commands {
      let result = try shell(
        """
        rm -rf there link pipe plain && mkdir there && ln -s there/file link && mkfifo pipe && \
        "$tool" \(command) --out plain >/dev/null && "$tool" \(command) --out link >/dev/null && \
        test -L link && cmp plain there/file && \
        { cat pipe > piped & } && "$tool" \(command) --out pipe >/dev/null && wait && test -p pipe && cmp plain piped && \
        "$tool" \(command) --out - 2>/dev/null > dash && cmp plain dash && \
        "$tool" \(command) --out /dev/stdout 2>/dev/null | cat > standard && cmp plain standard && echo ok
        """, folder)
      #expect(result.output == "ok\n", "\(command): \(result.output)\(result.error)")
    }
  }

  @Test func aFolderOrALoopInTheWayIsOneLine() throws {
    let folder = try TrialFolder()
    try Files.makeDirectory(folder.file("folder"))
    expectRefusal(try tool("data", "make", "--count", "1", "--out", folder.file("folder")), 74, "is a directory")
    unsafe _ = symlink("loop", folder.file("loop"))
    expectRefusal(try tool("data", "make", "--count", "1", "--out", folder.file("loop")), 74, "loop")
    expectRefusal(try tool("data", "make", "--count", "1", "--out", folder.file("no/such")), 74, "no/such")
  }

  @Test func twoResultsForStandardOutputAreRefused() throws {
    let folder = try TrialFolder()
    let tokens = try folder.write("[[5, 6, 7]]", "tokens.json")
    expectRefusal(try tool("score", "--model", Place.model, "--tokens", tokens, "--json", "--out", "-"), 64, "--json", "--out -")
  }

  @Test(arguments: [
    "--help", "rl --help", "data make --count 20000 --out -", "plugin list", "doctor", "plugin show grpo --json",
    "generate --model '\(Place.model)' --prompt x --max-new-tokens 300 --temperature 3 --seed 2",
    "tokenize --model '\(Place.model)' < /dev/null",
  ]) func aReaderThatHasSeenEnoughEndsTheProgramQuietly(_ command: String) throws {
    let folder = try TrialFolder()
    let result = try shell("{ \"$tool\" \(command) 2>err; echo $? > code; } | true; cat code err", folder)
    #expect(result.output == "0\n", "\(command)")
  }

  @Test(.enabled(if: Files.exists("/dev/full"), "needs /dev/full"), arguments: [
    "--help", "--version", "data make --count 3 --out -", "plugin list", "generate --model '\(Place.model)' --prompt x --max-new-tokens 3",
    "doctor --json", "tokenize --model '\(Place.model)' < /dev/null",
  ]) func aFullDeviceBehindStandardOutputIsOneLine(_ command: String) throws {
    let folder = try TrialFolder()
    let result = try shell("\"$tool\" \(command) > /dev/full", folder)
    expectRefusal(result, 74, "standard output: cannot write: No space left on device")
  }
}
