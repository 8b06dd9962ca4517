/// Tokens and their ids, both ways.
struct Vocabulary: Sendable {
  /// One more than the highest id.
  private(set) var size = 0
  /// Tokens as the file writes them.
  private var contents: ByteStringTable
  private var idOfContent: [Int32] = []
  /// Only what merges may give, not the added tokens: `ignore_merges` looks for whole words here.
  private var modelCount = 0
  private var raw: [UInt8] = []
  private var rawRanges: [Range<Int32>?] = []
  private var special: [Bool] = []
  private var tokenOfByte: [Int32] = Array(repeating: -1, count: 256)

  /// No file of use names more; a higher id is an error in the file, not a reason to take memory.
  static let highestID = 16_777_215

  init(minimumCapacity: Int) {
    contents = ByteStringTable(minimumCapacity: minimumCapacity)
    rawRanges.reserveCapacity(minimumCapacity)
    special.reserveCapacity(minimumCapacity)
  }

  /// Adds a token that merges may give; false where the content or the id is there already.
  mutating func insert(_ content: String, id: Int32) -> Bool {
    guard !contains(id), add(content, id) else { return false }
    modelCount = contents.count
    let bytes = raw(of: id)
    if bytes.count == 1, let byte = bytes.first, content.utf8.elementsEqual(ByteAlphabet.written([byte])) {
      tokenOfByte[Int(byte)] = id
    }
    return true
  }

  /// Adds an added token, which may be one of the model's too; false where the content or the id is another's.
  ///
  /// A normalised token decodes from its normal form, as in Hugging Face `tokenizers` 0.23.
  mutating func insert(_ token: AddedToken, _ normalizer: Normalizer) -> Bool {
    let content = Array(token.content.utf8)
    let known = self.id(of: content)
    guard known == nil ? !contains(token.id) && add(token.content, token.id) : known == token.id else { return false }
    if token.isNormalized, let normal = normalizer.normalized(content.span, content.indices) {
      setRaw(ByteAlphabet.bytes(of: String(decoding: normal, as: UTF8.self)), of: token.id)
    }
    if token.isSpecial { special[Int(token.id)] = true }
    return true
  }

  func contains(_ id: Int32) -> Bool { bytes(of: id) != nil }

  func id(of content: [UInt8]) -> Int32? { contents.find(content).map { idOfContent[$0] } }

  /// The token that stands for a whole word, given as its raw bytes.
  func id(ofWord word: Span<UInt8>) -> Int32? {
    var bytes: [UInt8] = []
    for index in word.indices { bytes.append(word[index]) }
    guard let index = contents.find(ByteAlphabet.written(bytes)), index < modelCount else { return nil }
    return idOfContent[index]
  }

  /// The token of a single byte; -1 where there is none.
  func token(ofByte byte: UInt8) -> Int32 { tokenOfByte[Int(byte)] }

  func isSpecial(_ id: Int32) -> Bool { special.indices.contains(Int(id)) && special[Int(id)] }

  func bytes(of id: Int32) -> ArraySlice<UInt8>? {
    guard rawRanges.indices.contains(Int(id)), rawRanges[Int(id)] != nil else { return nil }
    return raw(of: id)
  }

  private func raw(of id: Int32) -> ArraySlice<UInt8> {
    guard let range = rawRanges[Int(id)] else { return [] }
    return raw[Int(range.lowerBound)..<Int(range.upperBound)]
  }

  private mutating func add(_ content: String, _ id: Int32) -> Bool {
    guard contents.insert(Array(content.utf8)).isNew else { return false }
    idOfContent.append(id)
    while size <= Int(id) {
      rawRanges.append(nil)
      special.append(false)
      size += 1
    }
    setRaw(ByteAlphabet.bytes(of: content), of: id)
    return true
  }

  private mutating func setRaw(_ bytes: [UInt8], of id: Int32) {
    let start = raw.count
    raw += bytes
    rawRanges[Int(id)] = Int32(start)..<Int32(raw.count)
  }
}
