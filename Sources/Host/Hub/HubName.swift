import Support

/// What the hub calls a model or a data set: `owner/name`, perhaps with a revision; of a data set perhaps with configuration and split:
/// `openai/gsm8k`, `openai/gsm8k:test`, `openai/gsm8k@e53f048:socratic/train`.
package struct HubName: Sendable, Equatable {
  package enum Kind: String, Sendable, CaseIterable {
    case model, dataset

    /// As paths have it.
    package var plural: String { rawValue + "s" }
    package var words: String { self == .model ? "model" : "data set" }
  }

  package let owner: String
  package let name: String
  /// A branch, a tag or a commit; nil: `main`.
  package let revision: String?
  /// A split, a configuration, or both as `configuration/split`.
  package let part: String?

  package var repository: String { "\(owner)/\(name)" }
  /// The name with its revision, as a command takes it.
  package var pinned: String { repository + (revision.map { "@" + $0 } ?? "") }

  /// nil where the text cannot be such a name.
  package init?(_ text: String) {
    let colon = text.firstIndex(of: ":")
    let whole = colon.map { text[..<$0] } ?? text[...]
    let part = colon.map { String(text[text.index(after: $0)...]) }
    let at = whole.firstIndex(of: "@")
    let repository = (at.map { whole[..<$0] } ?? whole).split(separator: "/", omittingEmptySubsequences: false)
    let revision = at.map { String(whole[whole.index(after: $0)...]) }
    guard repository.count == 2, repository.allSatisfy(Self.isLegal) else { return nil }
    for piece in [revision, part].compactMap({ $0 }) where !piece.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(Self.isLegal) {
      return nil
    }
    owner = String(repository[0])
    name = String(repository[1])
    self.revision = revision
    self.part = part
  }

  /// Letters, digits, `.`, `_` and `-`; what could lead out of a folder is none.
  private static func isLegal(_ word: Substring) -> Bool {
    guard !word.isEmpty, word.utf8.count <= 96, !word.hasPrefix("."), !word.contains("--") else { return false }
    return word.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || [0x2D, 0x2E, 0x5F].contains($0) }
  }
}
