import Foundations

extension Tokenizer {
  /// What a model wrote, without special tokens. A model's vocabulary may have more rows than the tokeniser has tokens
  /// (Qwen2.5 pads to 151 936); such ids say nothing and are left out, as Hugging Face does.
  package func text(of completion: [Int32]) throws(Failure) -> String {
    try decode(completion.filter { contains($0) }, skipSpecialTokens: true)
  }
}
