/// A token that stands outside the merges: found in the text as a whole, before it is cut into words.
package struct AddedToken: Sendable, Equatable {
  package var content: String
  package var id: Int32
  /// Left out when decoding skips special tokens.
  package var isSpecial: Bool
  /// Looked for in the normalised text, in its own normal form.
  package var isNormalized: Bool
  /// Takes the white space before it into itself.
  package var stripsLeft = false
  /// Takes the white space after it into itself.
  package var stripsRight = false
  /// Does not count inside a word.
  package var isSingleWord = false

  package init(_ content: String, id: Int32, isSpecial: Bool, isNormalized: Bool = false) {
    self.content = content
    self.id = id
    self.isSpecial = isSpecial
    self.isNormalized = isNormalized
  }
}
