import Support
import TestSupport
import Testing

@Suite struct PlanTests {
  private struct Plan {
    let bytes: Int
    let rows: Int
    let checkpoints: Bool

    init(_ more: [String] = []) throws {
      let result = try tool(["plan", "--model", Place.model, "--json"] + more)
      let json = result.json
      try #require(result.code == 0, "\(result.error)")
      bytes = try #require(json["total_bytes"]?.int) - #require(json["bytes"]?["program, tokenizer and data"]?.int)
      rows = try #require(json["micro_batch_tokens"]?.int)
      checkpoints = try #require(json["checkpointing"]?.bool as Bool?)
    }
  }

  private func gibibytes(_ bytes: Int) -> String { "\(Double(bytes) / 1_073_741_824)" }

  @Test func whatDoesNotFitIsSplitThenCheckpointedThenRefused() throws {
    let rows = ["--micro-batch-tokens", "512"]
    let all = try Plan(rows)
    #expect(!all.checkpoints && all.rows == 512)
    #expect(try Plan(rows + ["--checkpointing", "off"]).bytes == all.bytes)
    let checkpointed = try Plan(rows + ["--checkpointing", "on"])
    #expect(checkpointed.checkpoints && checkpointed.bytes < all.bytes && checkpointed.rows == 512)

    // Plans take 7/8 of what there is.
    let between = ["--memory", gibibytes((all.bytes + checkpointed.bytes) / 2 * 8 / 7)]
    #expect(try Plan(rows + between).checkpoints)
    #expect(try Plan(rows + between).bytes == checkpointed.bytes)
    #expect(try !Plan(rows + between + ["--checkpointing", "off"]).checkpoints)
    // Rows that nobody has set come first.
    let split = try Plan(["--memory", gibibytes(all.bytes * 8 / 7)])
    #expect(!split.checkpoints && split.rows < 512 && split.rows >= 256 && split.bytes <= all.bytes)

    let folder = try TrialFolder()
    let refused = try tool(
      "sft", "--model", Place.model, "--data", Place.texts, "--memory", "0.0001", "--out", folder.file("run"))
    expectRefusal(refused, 64, "the run takes", "may have 0.00", "--quantize nf4", "--memory")
    #expect(!Files.exists(folder.file("run")))
  }

  /// A prompt is read in every part that its group is cut into, which here costs more than to compute forwards again.
  @Test func checkpointingIsTakenWhereItComputesLess() throws {
    func rl(_ memory: String, _ checkpointing: String) throws -> Plan {
      try Plan([
        "--algo", "grpo", "--group-size", "16", "--max-new-tokens", "64", "--memory", memory, "--checkpointing", checkpointing,
      ])
    }
    let (auto, off) = (try rl("0.008", "auto"), try rl("0.008", "off"))
    #expect(auto.checkpoints && auto.rows > off.rows)
    #expect(Double(off.bytes) <= 0.008 * 1_073_741_824 * 7 / 8, "keeping everything would fit as well")
    #expect(try !rl("1", "auto").checkpoints)
  }

  @Test func aCheckpointedRunIsTheSameBytes() throws {
    let folder = try TrialFolder()
    var adapters: [[UInt8]] = []
    for (name, rows) in [("on", "64"), ("off", "200"), ("auto", "100")] {
      let run = folder.file(name)
      let result = try tool(
        "sft", "--model", Place.model, "--data", Place.texts, "--max-steps", "2", "--checkpointing", name, "--micro-batch-tokens", rows, "--out", run,
        "--quiet")
      #expect(result.code == 0, "\(result.error)")
      adapters.append(try Files.read(run + "/adapter/adapter_model.safetensors"))
    }
    #expect(!adapters[0].isEmpty && adapters[0] == adapters[1] && adapters[1] == adapters[2])
  }
}
