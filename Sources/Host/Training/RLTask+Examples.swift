import Foundations
import Tasks
import Tokenization

extension RLTask {
  /// Questions in chat form; a completion is judged by its text after the prompt.
  package init(
    _ examples: [Example], tokenizer: Tokenizer, template: ChatTemplate = ChatTemplate(), verifier: Verifier, name: String,
    progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) {
    var prompts: [Prompt] = []
    for (number, example) in examples.enumerated() {
      guard !example.question.isEmpty, example.answer != nil else {
        throw .badData("\(name): example \(number + 1): reinforcement learning needs a question and an answer")
      }
      progress(number + 1, examples.count)
      prompts.append(Prompt(tokens: tokenizer.encode(template.prompt(question: example.question)), key: example.key))
    }
    self.init(prompts: prompts) { index, completion in
      let text = try tokenizer.text(of: completion.tokens)
      return verifier.verdict(on: text, gold: examples[index].answer ?? "")
    }
    tokenTexts = { try tokenizer.tokenTexts(of: $0) }
  }
}
