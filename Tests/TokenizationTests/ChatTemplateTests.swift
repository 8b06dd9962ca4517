import Testing
import Tokenization

@Suite struct ChatTemplates {
  @Test func thePromptEndsWhereTheAssistantBeginsToThink() {
    #expect(
      ChatTemplate().prompt(question: "What is 2 + 2?") == #"""
        <|im_start|>system
        Please reason step by step and put your final answer within \boxed{}.<|im_end|>
        <|im_start|>user
        What is 2 + 2?<|im_end|>
        <|im_start|>assistant
        <think>

        """#)
  }

  @Test func aDocumentIsThePromptTheCompletionAndTheEnd() {
    let template = ChatTemplate(system: "Count.")
    let document = template.document(question: "Q", completion: "It is four.\n</think>\n\\boxed{4}")
    #expect(document == template.prompt(question: "Q") + "It is four.\n</think>\n\\boxed{4}<|im_end|>")
    #expect(document.hasPrefix("<|im_start|>system\nCount.<|im_end|>\n"))
  }

  @Test func theMarkersAreSingleTokensWhereTheVocabularyHasThem() throws {
    let tokenizer = try Golden.tokenizer()
    let ids = tokenizer.encode(ChatTemplate().prompt(question: "Q"))
    #expect(ids.filter { $0 == tokenizer.id(of: "<|im_start|>") }.count == 3)
    #expect(ids.filter { $0 == tokenizer.id(of: "<|im_end|>") }.count == 2)
    #expect(ids.filter { $0 == tokenizer.id(of: "<think>") }.count == 1)
  }
}
