/// A sentence that changes the running number v. Slots as in ``OpeningTemplate``, with `{k}` and `{m}` for its numbers.
struct StepTemplate: Sendable {
  enum Form: Sendable {
    /// `v op k`.
    case number(Arithmetic)
    /// `v op n`, where the sentence says n in words.
    case fixed(Arithmetic, Int)
    /// `k - v`, where k is a multiple of `step`.
    case from(step: Int)
    /// `k * m`, then `v op` that.
    case product(Arithmetic)
    /// `v op k`, then `v +` that: two owners together.
    case total(Arithmetic)
    case fixedTotal(Arithmetic, Int)

    /// How many operations it takes.
    var steps: Int {
      switch self {
      case .number, .fixed, .from: 1
      case .product, .total, .fixedTotal: 2
      }
    }

    /// The operation a choice between templates is balanced over.
    var operation: Arithmetic {
      switch self {
      case .number(let operation), .fixed(let operation, _), .total(let operation), .fixedTotal(let operation, _):
        operation
      case .from: .subtract
      case .product: .multiply
      }
    }
  }

  let id: String
  let from: [Subject]
  /// What the number counts afterwards; nil for what it counted before.
  var to: Subject? = nil
  let form: Form
  let wordings: [String]
  /// What is asked if the story ends here; empty for the question of the subject.
  var questions: [String] = []
  /// Whether the story must end here.
  var isLast = false
  var needs: Vocabulary.Trait? = nil
  /// The largest number the sentence may hold, where larger ones would be odd.
  var most = 60
  /// Whether the number is the friend's afterwards.
  var passesToFriend = false
}
