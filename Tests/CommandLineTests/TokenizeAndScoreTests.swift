import Support
import TestSupport
import Testing

/// Offsets, log-probabilities and entropies against transformers in float64.
func expectScores(_ model: String, _ expected: String, _ options: [String] = [], tolerance: Double = 1e-4) throws {
  let golden = try SafetensorsFile(expected)
  let tokens = try golden.integers("tokens")
  let offsets = try golden.integers("token_offsets").map { Int($0) }
  let sequences = zip(offsets, offsets.dropFirst()).map { JSON.array(tokens[$0..<$1].map { .integer(Int($0)) }) }
  let folder = try TrialFolder()
  let list = try folder.write(JSON.array(sequences).text(), "tokens.json")
  let result = try tool(["score", "--model", model, "--tokens", list, "--out", folder.file("o.safetensors")] + options)
  #expect(result.code == 0, "\(result.error)")
  let scores = try SafetensorsFile(folder.file("o.safetensors"))
  #expect(scores.names == ["entropy", "log_prob", "offsets"])
  #expect(try scores.integers("offsets") == golden.integers("offsets"))
  #expect(golden.names.contains("log_prob"))
  for name in ["log_prob", "entropy"] where golden.names.contains(name) {
    #expect(try scores.entry(name).type == .float32)
    let (found, expected) = (try scores.floats(name), try golden.floats(name))
    #expect(found.count == expected.count && !found.isEmpty)
    for (one, other) in zip(found, expected) { #expect(abs(Double(one) - Double(other)) < tolerance) }
  }
}

@Suite struct TokenizeAndScoreTests {
  @Test(arguments: [
    "", "Tom has 3 apples.", "<|im_start|>user\nÄpfel kosten 2 €\r\n\t数学 🧮 e\u{301}<|im_end|>\n", "a\u{2028}b\u{0}c", "   \n\n  ",
  ])
  func idsDecodeToTheTextTheyWereMadeOf(_ text: String) throws {
    let ids = try tool("tokenize", "--model", Place.model, input: text)
    #expect(ids.code == 0)
    #expect(try JSON.parse(ids.output, name: "ids").array != nil)
    let decoded = try tool("tokenize", "--model", Place.model, "--decode", input: ids.output)
    #expect(decoded.code == 0)
    // The tokeniser normalises to NFC, as Qwen2.5's does.
    #expect(Array(decoded.output.utf8) == Array(text.replacing("e\u{301}", with: "\u{E9}").utf8))
  }

  @Test func idsAreThoseOfTheTokenizersPackage() throws {
    let golden = try SafetensorsFile(Place.tests + "/TrainingTests/Goldens/tokens.safetensors")
    let tokens = try golden.integers("tokens")
    let offsets = try golden.integers("token_offsets").map { Int($0) }
    let lines = try Files.readText(Place.texts).split(separator: "\n")
    #expect(lines.count == offsets.count - 1 && lines.count > 3)
    for (index, line) in lines.enumerated() {
      let text = try #require(try JSON.parse(String(line), name: "line")["text"]?.string)
      let ids = try tool("tokenize", "--model", Place.model, input: text).json.array?.compactMap(\.int)
      #expect(ids == tokens[offsets[index]..<offsets[index + 1]].map { Int($0) })
    }
  }

  @Test(arguments: ["[1, 2", "{}", "[1.5]", "[\"a\"]", "[-1]", "[300]", "[99999999999]", ""])
  func whatIsNoListOfIdsIsRefused(_ input: String) throws {
    expectRefusal(try tool("tokenize", "--model", Place.model, "--decode", input: input), 65)
  }

  @Test(arguments: ["tied", "untied", "bf16", "f16"]) func scoresAreThoseOfTransformers(_ name: String) throws {
    let model = "\(Place.transformerGoldens)/\(name)"
    try expectScores(model, model + "/expected.safetensors")
  }

  @Test(arguments: ["r4", "r16"]) func scoresWithAnAdapterAreThoseOfPeftAndSoAreThoseOfTheExportedModel(_ name: String) throws {
    let model = Place.transformerGoldens + "/tied"
    let adapter = "\(Place.transformerGoldens)/lora/\(name)"
    try expectScores(model, adapter + "/expected.safetensors", ["--adapter", adapter])
    let folder = try TrialFolder()
    let export = try tool("export", "--model", model, "--adapter", adapter, "--out", folder.file("merged"))
    #expect(export.code == 0, "\(export.error)")
    try expectScores(folder.file("merged"), adapter + "/expected.safetensors")
  }

  /// Folders that bitsandbytes quantised; and one that is quantised here, on the way or in a folder of its own.
  @Test(arguments: ["nf4", "nf4-plain", "nf4-some"]) func scoresOfAQuantisedFolderAreThoseOfBitsAndBytesValues(_ name: String) throws {
    let model = "\(Place.transformerGoldens)/\(name)"
    try expectScores(model, model + "/expected.safetensors", ["--precision", "fp32"])
  }

  @Test(arguments: ["bf16", "untied"]) func whatIsQuantisedOnTheWayIsWhatAFolderOfItHolds(_ name: String) throws {
    let folder = try TrialFolder()
    let model = "\(Place.transformerGoldens)/\(name)"
    let tokens = try folder.write("[[1, 2, 3, 4, 5, 6, 7, 8, 9]]", "tokens.json")
    func bytes(_ words: String...) throws -> [UInt8] {
      let result = try tool(["score", "--tokens", tokens, "--out", folder.file("o")] + words)
      #expect(result.code == 0, "\(result.error)")
      return try Files.read(folder.file("o"))
    }
    let export = try tool("export", "--model", model, "--quantize", "nf4", "--out", folder.file("small"))
    #expect(export.code == 0 && export.output.contains("linear layers as nf4"), "\(export.error)")
    let full = try tool("export", "--model", folder.file("small"), "--precision", "fp32", "--out", folder.file("full"))
    #expect(full.code == 0, "\(full.error)")
    let small = try bytes("--model", folder.file("small"))
    #expect(try bytes("--model", model, "--quantize", "nf4") == small)
    #expect(try bytes("--model", folder.file("small"), "--quantize", "nf4") == small)
    #expect(try bytes("--model", model) != small)
    #expect(try bytes("--model", folder.file("small"), "--precision", "fp32") == bytes("--model", folder.file("full"), "--precision", "fp32"))
  }

  @Test func threadsDoNotChangeABitOfAScore() throws {
    let folder = try TrialFolder()
    let list = try folder.write("[[1, 2, 3, 4, 5, 60], [], [7], [8, 9], [4, 4, 4, 4, 4]]", "tokens.json")
    for threads in ["1", "2", "3"] {
      let result = try tool(
        "score", "--model", Place.transformerGoldens + "/tied", "--tokens", list, "--out", folder.file(threads), "--threads", threads)
      #expect(result.code == 0)
    }
    #expect(try Files.read(folder.file("1")) == Files.read(folder.file("2")))
    #expect(try Files.read(folder.file("1")) == Files.read(folder.file("3")))
    #expect(try SafetensorsFile(folder.file("1")).integers("offsets") == [0, 5, 5, 5, 6, 10])
  }

  @Test(arguments: [("[]", [0]), ("[[]]", [0, 0]), ("[[5], [], [6]]", [0, 0, 0, 0])] as [(String, [Int64])])
  func sequencesWithNothingToPredictHaveNoScores(_ tokens: String, _ offsets: [Int64]) throws {
    let folder = try TrialFolder()
    let list = try folder.write(tokens, "tokens.json")
    let result = try tool("score", "--model", Place.model, "--tokens", list, "--out", folder.file("o"), "--json")
    #expect(result.code == 0)
    #expect(result.json["tokens"]?.int == 0)
    let scores = try SafetensorsFile(folder.file("o"))
    #expect(try scores.integers("offsets") == offsets)
    #expect(try scores.floats("log_prob").isEmpty)
  }

  @Test(arguments: [
    ("[[1, 300]]", "sequence 1: expected ids from 0 to 299, found 300"), ("[[1], [-2]]", "sequence 2: expected ids"),
    ("[[1.5]]", "found 1.5"), ("[1, 2]", "sequence 1: expected a list of token ids, found 1"),
    ("{}", "expected a list of lists"), ("[[1", "line 1, column 4"),
  ])
  func tokensThatAreNoneAreRefusedByTheirPlace(_ tokens: String, _ expected: String) throws {
    let folder = try TrialFolder()
    let list = try folder.write(tokens, "tokens.json")
    expectRefusal(
      try tool("score", "--model", Place.model, "--tokens", list, "--out", folder.file("o")), 65, list, expected)
    #expect(!Files.exists(folder.file("o")))
  }
}
