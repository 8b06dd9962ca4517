/// The control tokens around the turns of a dialogue.
enum TurnMarkers: Sendable {
  /// `<|im_start|>user`, a line feed, the turn, `<|im_end|>`, a line feed.
  case chatML
  /// `<|start_header_id|>user<|end_header_id|>`, an empty line, the turn without white space at its ends, `<|eot_id|>`.
  case llama3

  /// What stands before the first turn. `<|begin_of_text|>` is part of Llama 3's template, so prompts take no other from the tokenizer.
  var opening: String { self == .llama3 ? "<|begin_of_text|>" : "" }

  func head(_ role: String) -> String {
    switch self {
    case .chatML: "<|im_start|>\(role)\n"
    case .llama3: "<|start_header_id|>\(role)<|end_header_id|>\n\n"
    }
  }

  /// The token that ends a turn.
  var end: String {
    switch self {
    case .chatML: "<|im_end|>"
    case .llama3: "<|eot_id|>"
    }
  }

  /// What stands between two turns.
  var afterEnd: String { self == .chatML ? "\n" : "" }

  /// The tokens that a vocabulary needs for these turns.
  var tokens: [String] {
    switch self {
    case .chatML: ["<|im_start|>", end]
    case .llama3: [opening, "<|start_header_id|>", "<|end_header_id|>", end]
    }
  }

  /// A turn as it stands between the markers.
  func written(_ content: String) -> String {
    guard self == .llama3 else { return content }
    let scalars = content.unicodeScalars
    guard let first = scalars.firstIndex(where: { !Self.isSpaceInPython($0) }),
      let last = scalars.lastIndex(where: { !Self.isSpaceInPython($0) })
    else { return "" }
    return String(scalars[first...last])
  }

  /// What Python's `str.strip`, and so Jinja's `trim`, takes away.
  private static func isSpaceInPython(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
  }
}
