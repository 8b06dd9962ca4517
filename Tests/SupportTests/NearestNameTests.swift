import Support
import Testing

@Suite struct NearestNameTests {
  @Test(arguments: [
    ("grop", "grpo"), ("grpoo", "grpo"), ("dr-gpro", "dr-grpo"), ("clip_hi", "clip_high"), ("bta", "beta"), ("xyz", nil), ("", nil),
  ] as [(String, String?)])
  func aMisspeltNameIsFound(_ word: String, _ expected: String?) {
    #expect(NearestName.find(word, among: ["grpo", "dr-grpo", "clip_high", "beta"]) == expected)
  }
}
