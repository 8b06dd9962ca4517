import Support

extension Tokenizer {
  /// What a model wrote, without special tokens. A model's vocabulary may have more rows than the tokeniser has tokens
  /// (Qwen2.5 pads to 151 936); such ids say nothing and are left out, as Hugging Face does.
  package func text(of completion: [Int32]) throws(Failure) -> String {
    try decode(completion.filter { contains($0) }, skipSpecialTokens: true)
  }

  /// The text each token adds to those before it, special tokens as they are written. A character of several tokens
  /// stands at the last of them.
  package func tokenTexts(of completion: [Int32]) throws(Failure) -> [String] {
    var decoder = StreamingDecoder(self)
    var texts: [String] = []
    for id in completion { texts.append(contains(id) ? try decoder.feed(id) : "") }
    let rest = decoder.finish()
    if !rest.isEmpty, !texts.isEmpty { texts[texts.count - 1] += rest }
    return texts
  }
}
