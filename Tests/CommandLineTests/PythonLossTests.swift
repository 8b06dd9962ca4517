import Support
import TestSupport
import Testing

/// Losses in Python, through the program as a user has it.
@Suite(.enabled(if: shell("python3 -I -c 'import numpy'").status == 0, "needs a python3 with numpy"))
struct PythonLossTests {
  private let folder: TrialFolder
  private let environment: [String: String]

  init() throws {
    folder = try TrialFolder()
    environment = ["XDG_CACHE_HOME": folder.file("cache")]
  }

  /// GRPO's default form, with its derivative by hand.
  private static let grpo = """
    \"""GRPO with a clip, by hand.\"""
    from dataclasses import dataclass
    from typing import Annotated
    import numpy as np

    reference = "arXiv:2402.03300"


    @dataclass
    class Parameters:
        clip: Annotated[float, (0, 1)] = 0.2  # how far a ratio may go


    def loss(batch, parameters):
        ratio, A = batch.ratio, batch.advantages
        clipped = np.clip(ratio, 1 - parameters.clip, 1 + parameters.clip)
        taken = ratio * A <= clipped * A
        moves = taken & (np.abs(batch.current - batch.old) <= 20)
        batch.log("clipped", 1.0 - taken)
        return -np.minimum(ratio * A, clipped * A).sum() / batch.update_tokens, -(ratio * A * moves) / batch.update_tokens
    """

  private func run(_ out: String, _ algo: String, _ words: [String] = []) throws -> ToolResult {
    let data = try folder.write((0..<8).map { "{\"question\": \"\($0) + 1?\", \"answer\": \"\($0 + 1)\"}\n" }.joined(), "data.jsonl")
    return try tool(
      ["rl", "--model", Place.repository + "/Models/base", "--data", data, "--algo", algo, "--out", folder.file(out), "--steps", "2", "--group-size", "4",
        "--prompts-per-step", "2", "--max-new-tokens", "40", "--lr", "1e-3", "--quiet",
        // Of lengths there is always something to learn.
        "--reward", "numeric", "--reward", "length"] + words, environment: environment)
  }

  @Test func aFileIsShownAndPassesItsCheck() throws {
    let file = try folder.write(Self.grpo, "my_grpo.py")
    let shown = try tool("plugin", "show", file, environment: environment)
    #expect(shown.code == 0, "\(shown.error)")
    for text in ["my_grpo 1: GRPO with a clip, by hand.", "arXiv:2402.03300", "clip  real 0 to 1", "how far a ratio may go", "clipped  mean", file] {
      #expect(shown.output.contains(text), "\(text): \(shown.output)")
    }
    let check = try tool("plugin", "check", file, environment: environment)
    #expect(check.code == 0, "\(check.output)")
    #expect(check.output.contains("pass  gradient-current") && check.output.contains("pass  same-bits") && check.output.contains("pass  parameters"))
  }

  @Test func aRunIsTheOneOfTheLibraryWithTheSameLoss() throws {
    let file = try folder.write(Self.grpo, "my_grpo.py")
    #expect(try run("swift", "grpo").code == 0)
    let python = try run("python", file)
    #expect(python.code == 0, "\(python.error)")
    func metrics(_ out: String) throws -> [JSON] {
      try Files.readText(folder.file("\(out)/metrics.jsonl")).split(separator: "\n").map { (line) throws in try JSON.parse(String(line), name: out) }
    }
    let (one, two) = (try metrics("swift"), try metrics("python"))
    for (a, b) in zip(one, two) {
      #expect((a["gradient_norm"]?.double ?? 0) > 0)
      for name in ["reward", "length_mean", "ratio_max", "gradient_norm"] {
        let (x, y) = (a[name]?.double ?? .nan, b[name]?.double ?? .nan)
        #expect(abs(x - y) <= 1e-4 * max(1e-3, abs(x)), "\(name): \(x) and \(y)")
      }
    }
    let record = try JSON.read(folder.file("python/run.json"))
    #expect(record["plugin"]?["card"]?.array?.contains { $0.string == "source: \(file)" } == true)
  }

  /// The same without a derivative: autograd's.
  private static let taped = """
    import torch


    def loss(batch):
        ratio, A = batch.ratio, batch.advantages
        return -(ratio * A).minimum(ratio.clamp(0.8, 1.2) * A).sum() / batch.update_tokens
    """

  /// Whether the interpreter that losses are run by has torch.
  private static let hasTorch = shell("\(PythonHelper.interpreter) -I -c 'import torch'").status == 0

  @Test(.enabled(if: hasTorch, "needs torch: NR_PYTHON"))
  func aDerivativeOfTorchIsTheOneThatTheLibraryHasByHand() throws {
    #expect(try run("run", "grpo", ["--capture"]).code == 0)
    let batch = folder.file("run/captures/step-000002.safetensors")
    var found: [[Float]] = []
    for plugin in ["grpo", try folder.write(Self.taped, "taped.py")] {
      let out = folder.file("eval.safetensors")
      let eval = try tool("plugin", "eval", plugin, "--batch", batch, "--out", out, environment: environment)
      #expect(eval.code == 0, "\(eval.error)")
      found.append(try SafetensorsFile(out).floats("d_current"))
    }
    #expect(found[0].contains { $0 != 0 } && found[0].count == found[1].count)
    for (one, other) in zip(found[0], found[1]) { #expect(abs(one - other) <= 1e-6 * abs(one)) }
  }

  @Test func aChangedFileIsAnotherPlugin() throws {
    let file = try folder.write(Self.grpo, "my_grpo.py")
    func digest() throws -> String? { try tool("plugin", "show", file, "--json", environment: environment).json["sha256"]?.string }
    let first = try digest()
    #expect(first != nil)
    #expect(try digest() == first)
    _ = try folder.write(Self.grpo + "\n# another\n", "my_grpo.py")
    #expect(try digest() != first)
  }

  /// A file, and a piece of the one line that it is refused with.
  static let refused: [(source: String, says: String)] = [
    ("def loss(b)\n  x", "bad.py:1: "), ("x = 1", "bad.py: has no function loss(batch)"),
    ("import numpy\ndef loss(b):\n    return b.curent", "bad.py:3: loss: AttributeError: batch has no curent; did you mean current?"),
    ("import sys\nsys.exit(3)", "bad.py:2: the file: SystemExit(3)"), ("import nonexisting_module\n", "ModuleNotFoundError"),
    ("import numpy\ndef loss(b):\n    return 1.0", "without torch it returns (loss, d_current)"),
    ("import numpy\ndef loss(b):\n    return 1.0, b.current[:2]", "d_current"),
    ("import numpy\ndef loss(b):\n    return b.current, b.current", "expected one number, found shape"),
    ("import numpy\ndef loss(b):\n    return (b.current * b.reference).sum(), b.reference", "needs = [\"reference\"]"),
    ("import numpy\nneeds = ['critics']\ndef loss(b):\n    return 0.0, b.current", "expected some of reference, critic"),
    ("import os\ndef loss(b):\n    os.abort()", "bad.py"),
    ("import numpy\nclass Parameters:\n    a = 1\ndef loss(b):\n    return 0.0, b.current", "must be a dataclass"),
  ]

  @Test(arguments: refused)
  func whatIsWrongIsSaidInOneLineWithItsPlace(_ source: String, _ says: String) throws {
    let file = try folder.write(source, "bad.py")
    let result = try tool("plugin", "show", file, environment: environment)
    #expect(result.code == 65 && result.error.contains(says), "\(result.code) \(result.error)")
    #expect(result.error.split(separator: "\n").count == 1, "\(result.error)")
  }

  @Test func aMissingInterpreterIsSaid() throws {
    let file = try folder.write(Self.grpo, "my_grpo.py")
    var environment = environment
    environment["NR_PYTHON"] = "/nowhere/python3"
    let result = try tool("plugin", "show", file, environment: environment)
    #expect(result.code == 66 && result.error.contains("NR_PYTHON"), "\(result.error)")
    expectRefusal(try tool("plugin", "show", folder.file("none.py")), 66, "no such file")
  }

  @Test func aLossThatFailsInARunIsNamedAndTheRunStopsWithACheckpoint() throws {
    let faults = [("raise ValueError('no more')", "ValueError: no more"), ("import os; os.abort()", "its Python process ended"), ("while True: pass", "--plugin-timeout")]
    for (number, (deed, says)) in faults.enumerated() {
      let file = try folder.write(Self.grpo.split(separator: "\n", omittingEmptySubsequences: false).map { line in
        line.hasPrefix("    ratio, A") ? "    if batch.step == 1:\n        \(deed)\n\(line)" : String(line)
      }.joined(separator: "\n"), "fails\(number).py")
      let result = try run("run\(number)", file, ["--trust-plugin", "--plugin-timeout", "5"])
      #expect(result.code != 0 && result.error.contains(says) && result.error.contains("the checkpoint of step 1 is whole"), "\(result.error)")
    }
  }
}
