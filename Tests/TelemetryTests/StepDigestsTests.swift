import Support
import Telemetry
import Testing

@Suite struct StepDigestsTests {
  private func digest(_ text: String) -> Digest {
    var writer = DigestWriter()
    writer.add(text)
    return writer.digest()
  }

  /// A step with two updates; what is given differs.
  private func step(_ changed: String? = nil, updates: Int = 2, plugin: String = "plugin") -> StepDigests {
    func digest(_ name: String) -> Digest { self.digest(name == changed ? "another " + name : name) }
    var digests = StepDigests()
    digests.add("data", digest("data"))
    digests.add("log_probs", digest("log_probs"))
    digests.add("scores", ofUpdates: (0..<updates).map { digest("scores \($0)") })
    digests.add("gradients", ofUpdates: (0..<updates).map { digest("gradients \($0)") })
    digests.add("plugin", digest(plugin))
    digests.add("weights", digest("weights"))
    digests.add("numbers", digest("numbers"))
    digests.close(stage: "rl", step: 3, after: self.digest("before"))
    return digests
  }

  @Test func aProofIsReadBackAsItWasWritten() throws {
    let digests = step()
    let read = try StepDigests(digests.json)
    #expect(read == digests)
    #expect(read.link(stage: "rl", step: 3, after: digest("before")) == digests.chain)
    for (stage, number, before) in [("sft", 3, "before"), ("rl", 4, "before"), ("rl", 3, "another")] {
      #expect(read.link(stage: stage, step: number, after: digest(before)) != digests.chain)
    }
    // Without an update there is no list.
    #expect(step(updates: 0)["scores"] == nil)
  }

  @Test(arguments: [
    ("[]", "expected an object"), (#"{"data":"00"}"#, "\"data\": expected 64 hexadecimal digits"), (#"{"scores":[7]}"#, "\"scores\": expected 64"),
    (#"{"scores":"x"}"#, "\"scores\": expected a list"), (#"{"data":["x"]}"#, "\"data\": expected 64"), ("{}", "has no \"chain\""),
  ])
  func whatIsNoProofIsRefusedByItsKey(_ text: String, _ part: String) throws {
    let error = #expect(throws: Failure.self) { try StepDigests(JSON.parse(text, name: "proof")) }
    #expect(error?.code == .badData && error?.message.contains(part) == true, "\(error?.message ?? "")")
  }

  /// Update after update: what a later stage of an earlier update changes comes before an earlier stage of a later one.
  @Test func stepsPartInTheStageThatIsComputedFirst() {
    #expect(step().parting(from: step()) == nil)
    for (changed, stage, update) in [
      ("data", "data", nil), ("scores 0", "scores", 1), ("gradients 0", "gradients", 1), ("scores 1", "scores", 2), ("weights", "weights", nil),
      ("numbers", "numbers", nil), ("plugin", "plugin", nil),
    ] as [(String, String, Int?)] {
      let parting = step().parting(from: step(changed))
      #expect(parting?.stage == stage && parting?.update == update, "\(changed)")
    }
    #expect(step().parting(from: step("weights", plugin: "other"))?.stage == "weights", "the library alone explains nothing")
    let longer = step(updates: 3).parting(from: step())
    #expect(longer?.stage == "scores" && longer?.update == 3 && longer?.digests.1 == nil)
  }

  @Test func whatIsMeasuredIsInNoDigestAndEverythingElseIs() {
    let metrics: Metrics = ["loss": 0.5, "reward": .nan, "seconds/step": 1, "training_tokens_per_second": 2, "peak_mebibytes": 3]
    var other = metrics
    for name in ["seconds/step", "training_tokens_per_second", "peak_mebibytes"] { other[name] = 9 }
    #expect(other.numbersDigest == metrics.numbersDigest && metrics.heldOutDigest == nil)
    other["held_out_accuracy"] = 0.25
    #expect(other.numbersDigest == metrics.numbersDigest && other.heldOutDigest != nil)
    for (name, value) in [("loss", 0.5000000000000001), ("reward", 0), ("another", 0)] {
      var changed = metrics
      changed[name] = value
      #expect(changed.numbersDigest != metrics.numbersDigest, "\(name)")
    }
  }
}
