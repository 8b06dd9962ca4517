/// A regular expression, or a step of its kind, that cuts a text into words, exactly as `tokenizers` does by it.
enum WordPattern: Sendable, Equatable {
  /// Qwen2 (single digits) and Llama 3 (up to three):
  /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,d}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
  case qwen2(digits: Int)
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
  case gpt2
  /// The step `Digits`: numbers come apart from everything else, each scalar for itself or a run of them as one.
  case digits(individually: Bool)

  /// The end of the word that begins at `start`; the text ends at `end`.
  func wordEnd(_ text: Span<UInt8>, from start: Int, to end: Int) -> Int {
    switch self {
    case .qwen2(let digits): Self.qwen2WordEnd(text, start, end, digits)
    case .gpt2: Self.gpt2WordEnd(text, start, end)
    case .digits(let individually): Self.digitsEnd(text, start, end, individually)
    }
  }

  private static func qwen2WordEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int, _ digits: Int) -> Int {
    let first = text.scalar(at: start)
    let next = start + first.length
    if first.value == apostrophe, let stop = contractionEnd(text, next, end, ignoringCase: true) { return stop }
    switch ScalarClass(first.value) {
    case .letter:
      return runEnd(text, of: .letter, next, end)
    case .number:
      return runEnd(text, of: .number, next, end, limit: digits - 1)
    case .newline:
      return whitespaceEnd(text, start, end, linesApart: true)
    case .space:
      switch classAt(text, next, end) {
      case .letter: return runEnd(text, of: .letter, next, end)
      case .other where first.value == 0x20: return punctuationEnd(text, next, end)
      default: return whitespaceEnd(text, start, end, linesApart: true)
      }
    case .other:
      if classAt(text, next, end) == .letter { return runEnd(text, of: .letter, next, end) }
      return punctuationEnd(text, next, end)
    }
  }

  private static func gpt2WordEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    let first = text.scalar(at: start)
    let next = start + first.length
    if first.value == apostrophe, let stop = contractionEnd(text, next, end, ignoringCase: false) { return stop }
    let kind = ScalarClass(first.value)
    if kind == .space || kind == .newline {
      if first.value == 0x20, let following = classAt(text, next, end), following != .space, following != .newline {
        return runEnd(text, of: following, next, end)
      }
      return whitespaceEnd(text, start, end, linesApart: false)
    }
    return runEnd(text, of: kind, next, end)
  }

  private static func digitsEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int, _ individually: Bool) -> Int {
    let first = text.scalar(at: start)
    let isNumeric = ScalarClass.isNumericInRust(first.value)
    var index = start + first.length
    if isNumeric, individually { return index }
    while index < end {
      let scalar = text.scalar(at: index)
      if ScalarClass.isNumericInRust(scalar.value) != isNumeric { break }
      index += scalar.length
    }
    return index
  }

  private static let apostrophe: UInt32 = 0x27

  private static func classAt(_ text: Span<UInt8>, _ index: Int, _ end: Int) -> ScalarClass? {
    index < end ? ScalarClass(text.scalar(at: index).value) : nil
  }

  private static func runEnd(
    _ text: Span<UInt8>, of kind: ScalarClass, _ start: Int, _ end: Int, limit: Int = .max
  ) -> Int {
    var index = start
    var count = 0
    while index < end, count < limit {
      let scalar = text.scalar(at: index)
      if ScalarClass(scalar.value) != kind { break }
      index += scalar.length
      count += 1
    }
    return index
  }

  /// `[^\s\p{L}\p{N}]*[\r\n]*`
  private static func punctuationEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    runEnd(text, of: .newline, runEnd(text, of: .other, start, end), end)
  }

  /// `\s*[\r\n]+|\s+(?!\S)|\s+`, the first alternative only where lines come apart.
  private static func whitespaceEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int, linesApart: Bool) -> Int {
    var index = start
    var last = start
    var afterNewline: Int?
    while index < end {
      let scalar = text.scalar(at: index)
      let kind = ScalarClass(scalar.value)
      guard kind == .space || kind == .newline else { break }
      last = index
      index += scalar.length
      if kind == .newline { afterNewline = index }
    }
    if linesApart, let afterNewline { return afterNewline }
    return index < end && last > start ? last : index
  }

  /// The end of `s`, `t`, `re`, `ve`, `m`, `ll` or `d`; `start` stands after the apostrophe.
  private static func contractionEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int, ignoringCase: Bool) -> Int? {
    func letter(_ index: Int) -> UInt8 {
      guard index < end else { return 0 }
      let byte = text[index]
      return ignoringCase && (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
    }
    switch letter(start) {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return start + 1
    case UInt8(ascii: "r"), UInt8(ascii: "v"): return letter(start + 1) == UInt8(ascii: "e") ? start + 2 : nil
    case UInt8(ascii: "l"): return letter(start + 1) == UInt8(ascii: "l") ? start + 2 : nil
    // The long s, U+017F, folds to s.
    case 0xC5: return ignoringCase && letter(start + 1) == 0xBF ? start + 2 : nil
    default: return nil
    }
  }
}
