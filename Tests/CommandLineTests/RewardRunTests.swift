import Support
import TestSupport
import Testing

/// Rewards of the user's own, in runs as a shell starts them.
@Suite struct RewardRunTests {
  /// Nothing but an interpreter; packages are for the tests that name them.
  static let hasPython = (try? HelperProcess([PythonHelper.interpreter, "-I", "-c", "print(1)"], log: nil))?.readLine(within: 30) == "1"
  /// A Python that has TRL, as `shared/tools` makes it for comparing.
  static let pythonWithTRL: String? = {
    let candidates = [PythonHelper.interpreter, (environmentVariable("HOME") ?? "") + "/.cache/peers/bin/python"]
    return candidates.first { (try? HelperProcess([$0, "-I", "-c", "import trl.rewards, math_verify; print(1)"], log: nil))?.readLine(within: 60) == "1" }
  }()

  /// One of seven completions has no score of its own: there a fault may be planted.
  private static let function = """
    import os, sys, time
    import beside
    calls = []
    def reward(prompts, completions, completion_ids, **kwargs):
        scores = [float(sum(ids) % beside.MODULUS) for ids in completion_ids]
        if 0.0 in scores:
            FAULT
        return scores
    """

  private func files(_ folder: TrialFolder, fault: String = "pass") throws -> String {
    try folder.write(
      "{\"question\": \"How many are 3 + 4?\", \"answer\": \"3 + 4 = <<3+4=7>>7\\n#### 7\", \"hint\": \"add\"}\n{\"problem\": \"Half of 10?\", \"solution\": \"It is \\\\boxed{5}.\"}\n",
      "questions.jsonl")
    try folder.write("MODULUS = 7\n", "beside.py")
    return try folder.write(Self.function.replacing("FAULT", with: fault) + "\n", "mine.py")
  }

  private func options(_ folder: TrialFolder, _ out: String, steps: Int = 1, _ rewards: [String]) -> [String] {
    [
      "rl", "--model", Place.model, "--data", folder.file("questions.jsonl"), "--algo", "grpo", "--out", folder.file(out), "--steps", "\(steps)",
      "--group-size", "6", "--max-new-tokens", "6", "--lr", "1e-3", "--quiet",
    ] + rewards.flatMap { ["--reward", $0] }
  }

  private func samples(_ folder: TrialFolder, _ out: String) throws -> [JSON] {
    try Files.readText(folder.file(out + "/samples.jsonl")).split(separator: "\n").map { try JSON.parse(String($0), name: "samples") }
  }

  private func metric(_ name: String, _ folder: TrialFolder, _ out: String, step: Int = 1) throws -> Double? {
    let lines = try Files.readText(folder.file(out + "/metrics.jsonl")).split(separator: "\n")
    return lines.indices.contains(step - 1) ? try JSON.parse(String(lines[step - 1]), name: "metrics")[name]?.double : nil
  }

  // MARK: What is as it was

  @Test func oneAnswerLeavesTheFilesAsTheyWereAndARunOfTheOldFormGoesOn() throws {
    let folder = try TrialFolder()
    _ = try files(folder)
    for (out, rewards) in [("default", []), ("numeric", ["numeric"]), ("answer", ["answer=1"])] {
      #expect(try tool(options(folder, out, steps: 2, rewards)).code == 0)
      #expect(try JSON.read(folder.file(out + "/run.json"))["identity"]?["reward"] == "numeric")
      #expect(try Files.read(folder.file(out + "/samples.jsonl")) == Files.read(folder.file("default/samples.jsonl")))
    }
    let metrics = try Files.readText(folder.file("default/metrics.jsonl"))
    #expect(!metrics.contains("reward/") && !metrics.contains("reward_errors"))
    #expect(try !Files.readText(folder.file("default/samples.jsonl")).contains("\"parts\""))
    // A record whose arguments say the option as they did before it could be repeated serves as a configuration.
    let path = folder.file("default/run.json")
    var record = try #require(try JSON.read(path).object)
    var arguments = try #require(record["arguments"]?.object)
    arguments["reward"] = "numeric"
    arguments["reward-timeout"] = nil
    record["arguments"] = .object(arguments)
    try AtomicFile.write(JSON.object(record).text(), to: path)
    let again = try tool("rl", "--config", path, "--resume", "--steps", "3", "--quiet")
    #expect(again.code == 0, "\(again.error)")
    expectRefusal(
      try tool(options(folder, "numeric", steps: 3, ["answer", "format"]) + ["--resume"]), 65, "\"reward\" was \"numeric\", now it is [\"numeric\", \"format\"]")
  }

  // MARK: Functions

  @Test(.enabled(if: hasPython)) func partsAreNamedEverywhereAndTheTotalIsTheirWeightedSum() throws {
    let folder = try TrialFolder()
    let path = try files(folder)
    let result = try tool(options(folder, "run", ["format=0.5", "length", path + "=2"]) + ["--no-tensorboard"])
    #expect(result.code == 0, "\(result.error)")
    let samples = try samples(folder, "run")
    #expect(samples.count == 12)
    var sums: [String: Double] = [:]
    for sample in samples {
      let parts = try #require(sample["parts"]?.object)
      #expect(parts.keys == ["format", "length", "mine"])
      for key in parts.keys { sums[key, default: 0] += parts[key]?.double ?? .nan }
      let (format, length, mine) = (parts["format"]?.double ?? .nan, parts["length"]?.double ?? .nan, parts["mine"]?.double ?? .nan)
      #expect(abs(length + Double(try #require(sample["length"]?.int)) / 6) < 1e-6)
      #expect(abs((sample["reward"]?.double ?? .nan) - (0.5 * format + length + 2 * mine)) < 1e-5)
    }
    for (name, sum) in sums { #expect(abs(try #require(try metric("reward/" + name, folder, "run")) - sum / 12) < 1e-9, "\(name)") }
    #expect(try metric("reward_errors", folder, "run") == 0)
    // Whether an answer is right is known though nothing is earned by it.
    #expect(try metric("accuracy", folder, "run") != nil)
    let detail = try tool("inspect", folder.file("run"), "--sample", "1").output
    #expect(detail.contains("part       mine"))
    #expect(try tool("report", folder.file("run"), "--out", folder.file("page.html")).code == 0)
    #expect(try Files.readText(folder.file("page.html")).contains("reward/mine"))
  }

  @Test(.enabled(if: hasPython)) func aFunctionIsGivenTheColumnsOfItsRowAndMayHaveNoSay() throws {
    let folder = try TrialFolder()
    _ = try files(folder)
    let path = try folder.write(
      """
      def first(prompts, completions, completion_ids, question, answer, gold, hint, solution, problem, **kwargs):
          assert kwargs == {}, kwargs
          assert len(prompts) == len(completions) == len(completion_ids) == len(answer)
          for row in zip(prompts, question, answer, gold, hint, solution, problem):
              assert row in [("How many are 3 + 4?", "How many are 3 + 4?", "3 + 4 = <<3+4=7>>7\\n#### 7", "7", "add", None, None),
                             ("Half of 10?", "Half of 10?", "5", "5", None, "It is \\\\boxed{5}.", "Half of 10?")], row
          for text, ids in zip(completions, completion_ids):
              assert isinstance(text, str) and isinstance(ids, list) and all(type(id) is int for id in ids)
              assert text[0]["content"] == text and text[0]["role"] == "assistant" and prompts[0][-1]["content"] == prompts[0]
          return [None if hint_ is None else 1 for hint_ in hint]
      async def second(completions, **kwargs):
          return (0.5 for _ in completions)
      """, "two.py")
    let result = try tool(options(folder, "run", [path + ":first", path + ":second=2"]))
    #expect(result.code == 0 && result.error.isEmpty, "\(result.error)")
    let samples = try samples(folder, "run")
    let said = samples.filter { $0["question"] == "How many are 3 + 4?" }
    #expect(said.count == 6 && said.allSatisfy { $0["reward"]?.double == 2 && $0["parts"]?["first"]?.double == 1 })
    #expect(samples.filter { $0["question"] == "Half of 10?" }.allSatisfy { $0["reward"]?.double == 1 && $0["parts"]?["first"] == .null })
    #expect(try metric("reward/first", folder, "run") == 1 && metric("reward_errors", folder, "run") == 0)
    // Where it is alone, what it has no say on is left out and no error.
    let alone = try tool(options(folder, "alone", [path + ":first"]))
    #expect(alone.code == 0 && alone.error.isEmpty, "\(alone.error)")
    #expect(try metric("reward_errors", folder, "alone") == 0 && metric("reward", folder, "alone") == 1 && metric("dropped_groups", folder, "alone") == 1)
    #expect(try self.samples(folder, "alone").count { $0["reward"] == .null && $0["kept"] == false && $0["error"]?.string?.contains("no part") == true } == 6)
  }

  struct Fault: Sendable, CustomStringConvertible {
    let code: String
    let said: String
    var description: String { code }
  }

  /// Each planted at the same completions: these have no reward, and every other has the one it would have had.
  @Test(.enabled(if: hasPython), arguments: [
    Fault(code: "raise ValueError('boom')", said: "ValueError: boom (mine.py:7)"),
    Fault(code: "sys.exit(3)", said: "SystemExit: 3 (mine.py:7)"),
    Fault(code: "os._exit(3)", said: "its process exited with code 3"),
    Fault(code: "os.abort()", said: "Fatal Python error: Aborted (mine.py:7)"),
    Fault(code: "os.kill(os.getpid(), 9)", said: "its process was ended by signal 9"),
    Fault(code: "while True: pass", said: "no answer within 0.5 s, --reward-timeout (mine.py:7)"),
    Fault(code: "scores = [score or float('nan') for score in scores]", said: "reward gave nan, expected a finite number or None"),
    Fault(code: "scores = [score or -float('inf') for score in scores]", said: "reward gave -inf"),
    Fault(code: "scores = [score or 1e300 for score in scores]", said: "finite number in 32 bits"),
    Fault(code: "scores = [score or 'much' for score in scores]", said: "reward gave 'much', expected a number or None"),
    Fault(code: "scores = scores[1:]", said: "reward gave 0 rewards for 1 completion"),
    Fault(code: "scores = scores + [1.0]", said: "reward gave 2 rewards for 1 completion"),
    Fault(code: "return None", said: "reward gave None, expected a list"),
    Fault(code: "os.fork() or time.sleep(60); os._exit(5)", said: "its process exited with code 5"),
    Fault(code: "print('{\"rewards\": [1]}'); sys.stdout.flush(); os.write(1, b'x\\n'); raise KeyError(sys.stdin.read())", said: "KeyError: '' (mine.py:7)"),
  ])
  func aFaultIsThatCompletionsAloneAndTheOthersKeepTheirRewards(_ fault: Fault) throws {
    let folder = try TrialFolder()
    let path = try files(folder)
    #expect(try tool(options(folder, "sound", [path])).code == 0)
    _ = try files(folder, fault: fault.code)
    let watch = Stopwatch()
    let result = try tool(options(folder, "run", [path]) + ["--reward-timeout", "0.5"])
    #expect(result.code == 0, "\(result.error)")
    #expect(watch.seconds < 50, "a child that keeps the pipe open is not waited for")
    let (sound, faulty) = (try samples(folder, "sound"), try samples(folder, "run"))
    #expect(sound.count == 12 && faulty.count == 12)
    var errors = 0
    for (expected, sample) in zip(sound, faulty) {
      #expect(expected["completion"] == sample["completion"] && expected["sample"] == sample["sample"])
      guard expected["reward"]?.double == 0 else {
        #expect(sample["reward"] == expected["reward"] && sample["error"] == nil)
        continue
      }
      errors += 1
      #expect(sample["reward"] == .null && sample["kept"] == false && sample["advantage"] == nil)
      #expect(sample["error"]?.string?.hasPrefix("reward mine: ") == true && sample["error"]?.string?.contains(fault.said) == true, "\(sample["error"]?.text() ?? "")")
    }
    #expect(errors > 0 && errors <= 6)
    #expect(try metric("reward_errors", folder, "run") == Double(errors))
    #expect(result.error.contains("warning: step 1, example ") && result.error.contains(" is left out: reward mine: "), "\(result.error)")
  }

  /// What prints, and what leaves a child behind that goes on, is no fault.
  @Test(.enabled(if: hasPython), arguments: ["print('seen'); os.system('echo from a child')", "os.fork()"])
  func whatAFunctionPrintsOrStartsDoesNotDisturbTheAnswers(_ code: String) throws {
    let folder = try TrialFolder()
    let path = try files(folder)
    #expect(try tool(options(folder, "sound", steps: 2, [path])).code == 0)
    _ = try files(folder, fault: code)
    let result = try tool(options(folder, "run", steps: 2, [path]))
    #expect(result.code == 0, "\(result.error)")
    #expect(try Files.read(folder.file("sound/samples.jsonl")) == Files.read(folder.file("run/samples.jsonl")))
    if code.hasPrefix("print") { #expect(result.error.contains("seen\n") && result.error.contains("from a child\n")) }
  }

  @Test(.enabled(if: hasPython)) func aRunThatWasStoppedEndsAtTheBytesOfTheOneThatWasNotAndAChangedFileIsRefused() throws {
    let folder = try TrialFolder()
    let path = try files(folder, fault: "raise ValueError")
    let rewards = ["answer", path + "=0.25", "overlong:3=0.5"]
    #expect(try tool(options(folder, "whole", steps: 4, rewards)).code == 0)
    #expect(try tool(options(folder, "parts", steps: 2, rewards)).code == 0)
    let resumed = try tool(options(folder, "parts", steps: 4, rewards) + ["--resume"])
    #expect(resumed.code == 0, "\(resumed.error)")
    for file in ["adapter/adapter_model.safetensors", "samples.jsonl"] {
      #expect(try Files.read(folder.file("whole/\(file)")) == Files.read(folder.file("parts/\(file)")), "\(file)")
    }
    #expect(try deterministicRecords(folder.file("whole/metrics.jsonl")) == deterministicRecords(folder.file("parts/metrics.jsonl")))
    #expect(try metric("reward_errors", folder, "whole") ?? 0 > 0)
    try folder.write(Files.readText(path) + "# another\n", "mine.py")
    let more = options(folder, "parts", steps: 5, rewards) + ["--resume"]
    expectRefusal(try tool(more), 65, "\"reward_sha256\" was", path)
    #expect(try tool(more + ["--allow-changed", "reward"]).code == 0)
    #expect(try Files.readText(folder.file("parts/run.json")).contains("\"name\": \"reward_sha256\""))
  }

  @Test(.enabled(if: hasPython)) func whereMoreThanHalfFailTheRunEndsWithACheckpointAndGoesOnOnceTheyDoNot() throws {
    let folder = try TrialFolder()
    _ = try files(folder)
    let marker = folder.file("asked")
    let path = try folder.write(
      """
      import os
      def reward(completions, completion_ids, **kwargs):
          with open(\(marker.debugDescription), "a") as file:
              file.write("x" * len(completions))
          if os.path.getsize(\(marker.debugDescription)) > 24:
              raise RuntimeError("no more")
          return [float(sum(ids) % 7) for ids in completion_ids]
      """, "tired.py")
    let broken = try tool(options(folder, "run", steps: 4, [path]))
    expectRefusal(broken, 74, "reward tired: RuntimeError: no more (tired.py:6)", "12 completions", "step 3", "step 2")
    #expect(try Files.list(folder.file("run/checkpoints")).contains("step-2"))
    Files.remove(marker)
    try folder.write("", "asked")
    let resumed = try tool(options(folder, "run", steps: 4, [path]) + ["--resume"])
    #expect(resumed.code == 0, "\(resumed.error)")
    Files.remove(marker)
    let first = try tool(options(folder, "whole", steps: 2, [path]))
    #expect(first.code == 0, "\(first.error)")
    Files.remove(marker)
    #expect(try tool(options(folder, "whole", steps: 4, [path]) + ["--resume"]).code == 0)
    #expect(try Files.read(folder.file("run/samples.jsonl")) == Files.read(folder.file("whole/samples.jsonl")))
  }

  /// A function that never ends keeps nobody: not whoever stops the run, and nothing of it stays behind.
  @Test(.enabled(if: hasPython), arguments: [SIGINT, SIGKILL]) func aRunIsStoppedInTheMidstOfAQuestion(_ signal: Int32) throws {
    let folder = try TrialFolder()
    _ = try files(folder)
    let path = try folder.write(
      "import os\ndef reward(**kwargs):\n    open(\(folder.file("asked").debugDescription), 'w').write(str(os.getpid()))\n    while True: pass\n", "endless.py")
    let run = try RunningTool(options(folder, "run", [path]))
    try #require(run.wait { (try? Files.readText(folder.file("asked")))?.isEmpty == false })
    let helper = try #require(pid_t(try Files.readText(folder.file("asked"))))
    let watch = Stopwatch()
    run.signal(signal)
    let result = run.wait()
    #expect(signal == SIGINT ? result.code == 75 : result.code == -SIGKILL, "\(result.error)")
    #expect(watch.seconds < 15)
    while Files.isAlive(helper), watch.seconds < 30 { usleep(50_000) }
    #expect(!Files.isAlive(helper))
  }

  @Test(.enabled(if: hasPython), arguments: [
    ("def reward(**kwargs:\n  pass\n", "", "SyntaxError", "bad.py:1"), ("import no_such_module\n", "", "ModuleNotFoundError", "bad.py:1"),
    ("raise SystemExit(2)\n", "", "SystemExit: 2", "bad.py:1"), ("x = 1\n", "", "expected one function", "found none"),
    ("def a(**k): ...\ndef b(**k): ...\n", "", "expected one function", "found a, b"), ("def a(**k): ...\n", ":c", "expected a function c", "functions there: a"),
    ("a = 3\n", ":a", "expected a function a", "found int"), ("def a(completions): ...\n", "", "does not take what it is called with", "**kwargs"),
  ])
  func whatCannotBeLoadedIsSaidBeforeTheFirstStep(_ text: String, _ function: String, _ expected: String, _ detail: String) throws {
    let folder = try TrialFolder()
    _ = try files(folder)
    let path = try folder.write(text, "bad.py")
    for more in [[], ["--dry-run"]] {
      expectRefusal(try tool(options(folder, "run", [path + function]) + more), 65, "--reward \(path)\(function): ", expected, detail)
    }
    #expect(!Files.exists(folder.file("run/run.json")))
  }

  @Test func whatIsNotThereIsSaidBeforeTheFirstStep() throws {
    let folder = try TrialFolder()
    let path = try files(folder)
    expectRefusal(try tool(options(folder, "run", [folder.file("no.py")])), 66, "no.py: no such file")
    expectRefusal(try tool(options(folder, "run", [path]), environment: ["NR_PYTHON": "/no/such/python"]), 66, "/no/such/python")
    expectRefusal(try tool(options(folder, "run", [path]), environment: ["NR_PYTHON": "/bin/false"]), 66, "NR_PYTHON")
    expectRefusal(try tool(options(folder, "run", ["command:/no/such/program"])), 66, "command:/no/such/program: no such program")
    expectRefusal(try tool(options(folder, "run", ["command:no-such-program -x"])), 66, "no such program")
    expectRefusal(try tool(options(folder, "run", ["command:exit 3"])), 66, "exited with code 3 before it was asked anything")
    expectRefusal(try tool(options(folder, "run", ["overlong:7"])), 64, "--max-new-tokens 6")
    expectRefusal(try tool(options(folder, "run", ["formt"])), 64, "did you mean format?")
    expectRefusal(try tool(options(folder, "run", ["format"]) + ["--reward-timeout", "3"]), 64, "--reward-timeout does nothing")
    expectRefusal(try tool("plan", "--model", Place.model, "--algo", "grpo", "--reward", "formt"), 64, "did you mean format?")
    #expect(!Files.exists(folder.file("run/run.json")))
  }

  // MARK: Commands

  /// What it was asked stands in a file.
  @Test func aCommandIsAskedInJSONLinesAndAnswersWithNumbers() throws {
    let folder = try TrialFolder()
    _ = try files(folder)
    let path = try folder.write(
      """
      #!/bin/sh
      while read -r line; do
        printf '%s\\n' "$line" >> "$1"
        case "$line" in *'"hint":"add"'*) echo 0.5;; *) echo '{"reward": null}';; esac
      done
      """, "grade")
    unsafe chmod(path, 0o755)
    let result = try tool(options(folder, "run", ["answer", "command:\(path) '\(folder.file("asked"))'=2"]))
    #expect(result.code == 0 && result.error.isEmpty, "\(result.error)")
    let asked = try Files.readText(folder.file("asked")).split(separator: "\n").map { try JSON.parse(String($0), name: "asked") }
    #expect(asked.count == 12 && asked.allSatisfy { $0["completion"]?.string != nil && $0["completion_ids"]?.array?.isEmpty == false && $0["prompt"] == $0["question"] })
    for sample in try samples(folder, "run") {
      let isAsked = sample["question"] == "How many are 3 + 4?"
      #expect(sample["parts"]?["grade"] == (isAsked ? .number(0.5) : .null))
      #expect(sample["reward"]?.double == (isAsked ? 1 : 0) + (sample["correct"]?.bool == true ? 1 : 0))
    }
    #expect(try JSON.read(folder.file("run/run.json"))["identity"]?["reward_sha256"]?[path]?.string == SHA256.hex(file: path))
  }

  /// As one writes it at first: nothing is flushed.
  @Test(.enabled(if: hasPython)) func aCommandInPythonNeedNotFlush() throws {
    let folder = try TrialFolder()
    _ = try files(folder)
    let path = try folder.write("import json, sys\nfor line in sys.stdin:\n    print(len(json.loads(line)['completion_ids']))\n", "count.py")
    let result = try tool(options(folder, "run", ["command:\(PythonHelper.interpreter) \(path)=1"]))
    #expect(result.code == 0 && result.error.isEmpty, "\(result.error)")
    #expect(try samples(folder, "run").allSatisfy { $0["reward"]?.double == $0["length"]?.double })
  }

  @Test(arguments: [
    ("echo much", "expected a number on a line, found \"much\""), ("echo 1e400", "expected"), ("echo '{\"error\": \"not this one\"}'", "not this one"),
    ("exit 3", "its process exited with code 3"), ("sleep 60", "no answer within 0.5 s"), ("echo '{\"score\": 1}'", "expected \"reward\""),
  ])
  func aCommandsFaultIsThatCompletionsAlone(_ code: String, _ said: String) throws {
    let folder = try TrialFolder()
    _ = try files(folder)
    // Half of the completions are those of the second question.
    let path = try folder.write(
      "while read -r line; do\n  case \"$line\" in *'\"hint\":\"add\"'*) echo 0.5;; *) \(code);; esac\ndone\n", "grade.sh")
    let result = try tool(options(folder, "run", ["command:sh \(path)"]) + ["--reward-timeout", "0.5"])
    #expect(result.code == 0, "\(result.error)")
    let samples = try samples(folder, "run")
    for sample in samples where sample["question"] == "How many are 3 + 4?" { #expect(sample["reward"]?.double == 0.5) }
    for sample in samples where sample["question"] == "Half of 10?" {
      #expect(sample["reward"] == .null && sample["error"]?.string?.contains(said) == true, "\(sample["error"]?.text() ?? "none")")
    }
    #expect(try metric("reward_errors", folder, "run") == 6 && metric("dropped_groups", folder, "run") == 1 && metric("groups", folder, "run") == 1)
  }

  // MARK: As they come

  @Test(.enabled(if: hasPython)) func theExampleTrainsTheBaseModelAndABenchmarkTakesItToo() throws {
    let folder = try TrialFolder()
    _ = try files(folder)
    let example = Place.repository + "/Examples/Reward/length_reward.py"
    let result = try tool(
      "rl", "--model", Place.repository + "/Models/base", "--data", folder.file("questions.jsonl"), "--algo", "grpo", "--out", folder.file("run"), "--steps", "2",
      "--group-size", "3", "--max-new-tokens", "80", "--reward", "answer,format=0.1", "--reward", example + "=0.2", "--quiet")
    #expect(result.code == 0 && result.error.isEmpty, "\(result.error)")
    for sample in try samples(folder, "run") {
      let length = Double(try #require(sample["length"]?.int))
      if sample["completion"]?.string?.contains(where: { !$0.isWhitespace }) == true {
        #expect(sample["parts"]?["length_reward"]?.double == Double(Float(min(0, (64 - length) / 100))))
      }
    }
    let bench = try tool(
      "bench", "--model", Place.model, "--data", folder.file("questions.jsonl"), "--eval-data", folder.file("questions.jsonl"), "--algos", "grpo", "--seeds", "1",
      "--steps", "1", "--group-size", "3", "--max-new-tokens", "6", "--reward", "answer", "--reward", example, "--out", folder.file("bench"), "--quiet")
    #expect(bench.code == 0, "\(bench.error)")
    #expect(try metric("reward/length_reward", folder, "bench/grpo/seed-42") != nil)
  }

  @Test(.enabled(if: pythonWithTRL != nil)) func functionsOfTRLWorkAsTheyAre() throws {
    let folder = try TrialFolder()
    _ = try files(folder)
    let path = try folder.write(
      """
      from trl.rewards import accuracy_reward, get_repetition_penalty_reward, get_soft_overlong_punishment, think_format_reward
      overlong = get_soft_overlong_punishment(max_completion_len=6, soft_punish_cache=3)
      repetition = get_repetition_penalty_reward(ngram_size=2)
      """, "trls.py")
    let functions = ["accuracy_reward", "overlong", "repetition", "think_format_reward"].map { "\(path):\($0)" }
    let result = try tool(options(folder, "run", ["overlong:3"] + functions), environment: ["NR_PYTHON": Self.pythonWithTRL ?? ""])
    #expect(result.code == 0, "\(result.error)")
    #expect(try metric("reward_errors", folder, "run") == 0, "\(result.error)")
    let samples = try samples(folder, "run")
    // TRL's name for the worked answer is `solution`, which one row has not.
    for sample in samples {
      let parts = try #require(sample["parts"])
      #expect(parts["overlong"] == parts["overlong-2"] && parts["think_format_reward"]?.double == 0 && parts["repetition"]?.double != nil)
    }
    #expect(samples.contains { $0["parts"]?["accuracy_reward"]?.double == 0 })
  }
}
