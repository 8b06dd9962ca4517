import Support

/// The special tokens that a tokenizer's `post_processor` puts around a text, such as Llama 3's `<|begin_of_text|>`.
struct TextFrame: Sendable, Equatable {
  var before: [Int32] = []
  var behind: [Int32] = []
}

extension TextFrame {
  /// Reads `post_processor`: none, `ByteLevel` (which moves offsets alone), `TemplateProcessing`, or a `Sequence` of these.
  ///
  /// The template of a single text is read; that of a pair has no use here.
  init(_ field: TokenizerField, _ vocabulary: Vocabulary) throws(Failure) {
    guard field.isPresent else { return }
    let object = try field.object()
    switch try object["type"].string() {
    case "ByteLevel": return
    case "TemplateProcessing": try readTemplate(object, vocabulary)
    case "Sequence":
      for part in try object["processors"].array(default: nil) {
        let frame = try TextFrame(part, vocabulary)
        if frame == TextFrame() { continue }
        // The second would take what the first made for a pair of texts.
        guard self == TextFrame() else { throw part.failure("expected one template that adds tokens, found a second") }
        self = frame
      }
    default: throw object["type"].unexpected("\"ByteLevel\", \"TemplateProcessing\" or a \"Sequence\" of them")
    }
  }

  private mutating func readTemplate(_ template: TokenizerField, _ vocabulary: Vocabulary) throws(Failure) {
    var hasText = false
    for piece in try template["single"].array(default: nil) {
      if piece["Sequence"].isPresent {
        let id = piece["Sequence"]["id"]
        guard try id.string() == "A" else { throw id.unexpected("\"A\"") }
        if hasText { throw piece.failure("expected the text once, found it again") }
        hasText = true
        continue
      }
      let name = try piece["SpecialToken"].object()["id"].string()
      for id in try template["special_tokens"][name].object()["ids"].array(default: nil) {
        let token = try id.id()
        guard vocabulary.contains(token) else { throw id.failure("there is no token \(token) in the vocabulary") }
        if hasText { behind.append(token) } else { before.append(token) }
      }
    }
    if !hasText { throw template["single"].failure("expected the text (a \"Sequence\" with the id \"A\"), found none") }
  }
}
