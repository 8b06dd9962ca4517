import Support
import Telemetry
import TestSupport
import Testing

@Suite("Samples")
struct SampleTests {
  static func sample() -> Sample {
    var sample = Sample()
    sample.question = "How many \"apples\"?"
    sample.completion = "3\n</script>"
    sample.extracted = "3"
    sample.gold = "4"
    sample.reason = "expected 4, found 3"
    sample.length = 3
    sample.advantage = -0.25
    var tokens = SampleTokens()
    tokens.texts = ["3", "\n", "</script>"]
    tokens.logProbs = [-0.12345, 0, -.infinity]
    tokens.entropies = [1.5, 0.00004, 2]
    tokens.ratios = [1, 0.99996, 12.5]
    sample.tokens = tokens
    return sample
  }

  static func step(_ number: Int, stage: String = "rl", samples: [Sample] = [sample()]) throws(Failure) -> StepRecord {
    try StepRecord(
      MetricRecord(stage: stage, step: number, elapsed: Double(number), metrics: ["reward": 0.5]), samples: samples)
  }

  @Test("A line has numbers of four decimals, and reads back")
  func line() throws {
    let folder = try TrialFolder()
    do {
      var log = try SampleLog(creating: folder.file("samples.jsonl"))
      try log.append(try Self.step(3))
    }
    let text = try Files.readText(folder.file("samples.jsonl"))
    #expect(text.hasPrefix(#"{"stage":"rl", "step":3, "example":0, "question":"How many \"apples\"?", "sample":0"#))
    #expect(
      text.hasSuffix(
        #""log_probs":[-0.1235,0,null], "entropies":[1.5,0,2], "ratios":[1,1,12.5]}"# + "\n"))
    let back = Sample(try #require(try SampleLog.read(folder.file("samples.jsonl")).first))
    #expect(back.completion == "3\n</script>" && back.reason == "expected 4, found 3" && back.advantage == -0.25)
    #expect(back.tokens?.texts == ["3", "\n", "</script>"])
    #expect(back.tokens?.entropies == [1.5, 0, 2])
    #expect(back.outcome == "wrong" && back.isKept)
  }

  @Test("One step is read without the others")
  func oneStep() throws {
    let folder = try TrialFolder()
    let path = folder.file("samples.jsonl")
    var lines = ""
    for step in [1, 2, 10] { lines += #"{"stage":"rl", "step":\#(step), "sample":0, "completion":"of \#(step)"}"# + "\n" }
    try AtomicFile.write(lines + #"{"stage":"rl", "step":1"#, to: path)
    let newest = try SampleLog.read(path, step: nil)
    #expect(newest.steps == [1, 2, 10] && newest.samples.map(\.completion) == ["of 10"])
    #expect(try SampleLog.read(path, step: 2).samples.map(\.completion) == ["of 2"])
    #expect(try SampleLog.read(path, step: 3).samples.isEmpty)
  }

  @Test("In a terminal each token stands on the shade of its measure, and nothing steers the terminal")
  func colours() throws {
    var sample = Self.sample()
    sample.tokens?.texts = ["3", "\n", "\u{1B}[2J"]
    let coloured = SampleText(.entropy, isColoured: true).text(sample)
    #expect(coloured == "\u{1B}[38;5;231;48;5;166m3\u{1B}[0m\n\u{1B}[38;5;231;48;5;166m\\u{1b}[2J\u{1B}[0m")
    let plain = SampleText(.entropy, isColoured: false)
    #expect(plain.text(sample) == sample.completion)
    #expect(plain.notable(sample, count: 2).text().split(separator: "\n").dropFirst(2).count == 2)
    #expect(SampleText(.advantage, isColoured: true).value(sample, 1) == -0.25)
  }
}
