import Support
import TestSupport
import Testing

/// A real pretrained model of 135 M parameters beside transformers; runs where the folder is (shared/tools/smollm2.sh).
@Suite(.enabled(if: smolLM2 != nil, "needs SmolLM2-135M-Instruct in ~/.cache/smollm2 (or in $NR_SMOLLM2)"))
struct SmolLM2Tests {
  private static let goldens = Place.tests + "/CommandLineTests/Goldens/smollm2"

  @Test func scoresOfTwentySolutionsAreThoseOfTransformers() throws {
    try expectScores(try #require(smolLM2), Self.goldens + "/scores.safetensors", tolerance: 2e-4)
  }

  @Test func greedyAnswersAreTheSameTokens() throws {
    let answers = try #require(try JSON.read(Self.goldens + "/answers.json").array)
    #expect(answers.count == 5)
    for answer in answers {
      let question = try #require(answer["question"]?.string)
      let result = try tool(
        "generate", "--model", try #require(smolLM2), "--prompt", question, "--max-new-tokens", "48", "--json")
      let tokens = result.json["completions"]?.array?.first?["tokens"]?.array
      #expect(tokens == answer["tokens"]?.array, "\(question)")
    }
  }
}

private let smolLM2: String? = {
  let folder = environmentVariable("NR_SMOLLM2") ?? (environmentVariable("HOME") ?? "") + "/.cache/smollm2"
  return Files.exists(folder + "/model.safetensors") ? folder : nil
}()
