import Support
import Tokenization

/// The tokens that end a completion, for every command that draws one and for exported folders.
///
/// They are what SFT's examples end with (`<|im_end|>`, `<|eot_id|>`: the form's), every end that the model's folder declares, and the tokenizer's own. A base
/// model's folder names only `<|endoftext|>`; after SFT its completions end with `<|im_end|>` all the same.
package enum StopTokens {
  /// - Parameters:
  ///   - form: how the model is prompted, and so what ends its turns.
  ///   - declared: the ends of `generation_config.json` and `config.json`.
  ///   - sources: the file and key that declare each of them.
  ///   - vocabularySize: rows of the model's embedding; an end outside could never be drawn.
  package static func make(
    _ form: PromptForm, declared: [Int32], sources: [Int32: String], tokenizer: Tokenizer?, vocabularySize: Int, path: String
  ) throws(Failure) -> [Int32] {
    var ends = declared
    for id in [tokenizer?.id(of: form.end), tokenizer?.endOfText].compactMap({ $0 }) where !ends.contains(id) { ends.append(id) }
    if let outside = ends.first(where: { $0 < 0 || Int($0) >= vocabularySize }) {
      let place = sources[outside] ?? (tokenizer?.endOfText == outside ? "\(path)/tokenizer_config.json: \"eos_token\"" : "\(path)/tokenizer.json: \(form.end)")
      throw .badData("\(place): the token \(outside) ends a text, but the model's vocabulary has \(vocabularySize) ids (\"vocab_size\")")
    }
    if ends.isEmpty {
      throw .badData(
        "\(path): no token is known to end a completion: expected \"eos_token_id\" in generation_config.json or config.json, \"eos_token\" in tokenizer_config.json or a token \(form.end)")
    }
    return ends
  }
}
