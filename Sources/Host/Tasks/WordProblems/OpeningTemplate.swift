/// The first sentence of a story, which gives the first number.
///
/// Slots: `{v}` the number; `{name}` the owner, `{Who}`, `{who}`, `{him}`, `{his}` the owner as a name or pronoun;
/// `{friend}`; `{things}`, `{thing}`, `{a thing}`; `{boxes}`, `{box}`.
struct OpeningTemplate: Sendable {
  let id: String
  let subject: Subject
  /// How often it is taken, beside the others.
  let weight: Int
  let range: ClosedRange<Int>
  let wordings: [String]
  var needs: Vocabulary.Trait? = nil
}
