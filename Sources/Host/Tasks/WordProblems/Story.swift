import Support

/// A problem in the making: who owns what, the running number, and the sentences so far.
struct Story {
  /// A written step, such as `3 * 4 = 12.`
  private(set) var solution: [String] = []
  private(set) var value: Int
  private(set) var expression: Expression
  /// The templates and numbers without names, things and wordings: what decides the split.
  private(set) var signature: String

  private var stream: RandomStream
  private var sentences: [String] = []
  private var question = ""
  private var subject: Subject
  private var operations = 0
  private var used: Set<String> = []
  private let largest: Int
  private static let largestAddend = 25

  private var owner: Vocabulary.Person
  private var friend: Vocabulary.Person
  private var names: Set<String>
  private var isOwnerNamed = false
  private let thing: Vocabulary.Noun
  private let other: Vocabulary.Noun
  private let box: Vocabulary.Noun

  /// Writes a story of `level` operations, or gives nil where the draw leads nowhere.
  static func write(level: Int, distractors: Bool, stream: inout RandomStream) -> Story? {
    var story = Story(level: level, stream: stream)
    defer { stream = story.stream }
    if distractors, level >= 3, story.stream.next(below: 8) == 0 { story.distract() }
    while story.operations < level {
      if !story.addStep(level: level) { return nil }
    }
    story.question = story.fill(story.question)
    // The answer by another road: the expression as a whole must agree with the steps.
    guard story.expression.value == story.value, story.text.split(separator: " ").count <= 60 else { return nil }
    return story
  }

  var text: String { (sentences + [question]).joined(separator: " ") }

  private init(level: Int, stream: RandomStream) {
    var stream = stream
    // Numbers a small model can learn to calculate with: what is hard shall be the reasoning.
    largest = [40, 50, 60, 80][level - 1]
    var place = stream.next(below: StoryOpenings.all.reduce(0) { $0 + $1.weight })
    var opening = StoryOpenings.all[0]
    for candidate in StoryOpenings.all {
      opening = candidate
      place -= candidate.weight
      if place < 0 { break }
    }
    // Small numbers are as frequent as large ones, so that there is room to multiply.
    let lower = opening.range.lowerBound
    let upper = max(lower, min(opening.range.upperBound, largest / 2))
    let middle = min(upper, max(12, lower))
    let range = stream.next(below: 2) == 0 ? lower...middle : lower...upper
    value = stream.next(in: range)
    expression = .number(value)
    signature = "\(opening.id):\(value)"
    subject = opening.subject

    let isGirl = stream.next(below: 2) == 0
    owner = stream.pick(isGirl ? Vocabulary.girls : Vocabulary.boys)
    // A friend of the other kind keeps "he" and "she" clear.
    friend = stream.pick(isGirl ? Vocabulary.boys : Vocabulary.girls)
    names = [owner.name, friend.name]
    let nouns = Vocabulary.things.filter { noun in opening.needs.map { noun.traits.contains($0) } ?? true }
    let thing = stream.pick(nouns)
    self.thing = thing
    other = stream.pick(Vocabulary.things.filter { $0 != thing })
    box = stream.pick(Vocabulary.boxes)
    self.stream = stream
    let wording = self.stream.pick(opening.wordings)
    sentences.append(fill(wording, ["v": value]))
  }

  private mutating func distract() {
    let wording = stream.pick(StoryOpenings.distractors)
    sentences.append(fill(wording, ["d": stream.next(in: 6...15)]))
  }

  /// Adds one sentence with its one or two operations; false where none fits.
  private mutating func addStep(level: Int) -> Bool {
    var choices: [(template: StepTemplate, k: Int, m: Int)] = []
    for template in StorySteps.bySubject[subject] ?? [] where !used.contains(template.id) {
      let remaining = level - operations - template.form.steps
      if remaining < 0 || template.isLast && remaining > 0 { continue }
      if let trait = template.needs, !thing.traits.contains(trait) { continue }
      if let (k, m) = numbers(template.form, most: template.most) { choices.append((template, k, m)) }
    }
    // First the operation, then the sentence: there are more ways to tell of a sum than of a division.
    let possible = Arithmetic.allCases.filter { operation in
      choices.contains { $0.template.form.operation == operation }
    }
    if possible.isEmpty { return false }
    let operation = stream.pick(possible)
    let (template, k, m) = stream.pick(choices.filter { $0.template.form.operation == operation })
    used.insert(template.id)
    apply(template.form, k, m)
    signature += "|\(template.id):\(k):\(m)"
    let wording = stream.pick(template.wordings)
    sentences.append(fill(wording, ["k": k, "m": m]))
    if template.passesToFriend { passToFriend() }
    if let to = template.to { subject = to }
    question = stream.pick(template.questions.isEmpty ? StoryOpenings.questions(subject) : template.questions)
    return true
  }

  private mutating func passToFriend() {
    owner = friend
    let people = owner.isGirl ? Vocabulary.boys : Vocabulary.girls
    friend = stream.pick(people.filter { !names.contains($0.name) })
    names.insert(friend.name)
    isOwnerNamed = false
  }

  /// Draws the numbers of a step so that every result is a whole number from 1 to `largest`.
  private mutating func numbers(_ form: StepTemplate.Form, most: Int) -> (k: Int, m: Int)? {
    let v = value
    switch form {
    case .number(.add): return draw(2, min(most, Self.largestAddend, largest - v)).map { ($0, 0) }
    case .number(.subtract): return draw(2, min(most, v - 1)).map { ($0, 0) }
    case .number(.multiply): return v < 2 ? nil : draw(2, min(most, 12, largest / v)).map { ($0, 0) }
    case .number(.divide):
      let divisors = (2...min(most, 12)).filter { v % $0 == 0 && v / $0 >= 2 }
      return divisors.isEmpty ? nil : (stream.pick(divisors), 0)
    case .fixed(let operation, let n):
      guard let result = operation.apply(v, n), result <= largest, v > 1 else { return nil }
      return (0, 0)
    case .from(let step):
      let first = (v + 1) / step + 1
      return draw(first, min(largest, v + Self.largestAddend) / step).map { ($0 * step, 0) }
    case .product(.add):
      guard let k = draw(2, min(9, (largest - v) / 2)) else { return nil }
      return draw(2, min(12, (largest - v) / k)).map { (k, $0) }
    case .product:
      guard let k = draw(2, min(9, (v - 1) / 2)) else { return nil }
      return draw(2, min(12, (v - 1) / k)).map { (k, $0) }
    case .total(.add): return draw(2, min(Self.largestAddend, largest - 2 * v)).map { ($0, 0) }
    case .total(.subtract): return draw(max(2, 2 * v - largest), min(Self.largestAddend, v - 1)).map { ($0, 0) }
    case .total(.multiply): return v < 2 ? nil : draw(2, min(9, largest / v - 1)).map { ($0, 0) }
    case .total(.divide): return nil
    case .fixedTotal(let operation, let n):
      guard let result = operation.apply(v, n), v + result <= largest, v > 1 else { return nil }
      return (0, 0)
    }
  }
}

extension Story {
  /// A number from `lower` to `upper`, or nil where there is none.
  private mutating func draw(_ lower: Int, _ upper: Int) -> Int? {
    lower > upper ? nil : stream.next(in: lower...upper)
  }

  /// Writes the operations of a step down and follows them in the expression.
  private mutating func apply(_ form: StepTemplate.Form, _ k: Int, _ m: Int) {
    let before = value
    let whole = expression
    switch form {
    case .number(let operation): calculate(operation, before, k, .operation(operation, whole, .number(k)))
    case .fixed(let operation, let n): calculate(operation, before, n, .operation(operation, whole, .number(n)))
    case .from: calculate(.subtract, k, before, .operation(.subtract, .number(k), whole))
    case .product(let operation):
      calculate(.multiply, k, m, .operation(.multiply, .number(k), .number(m)))
      calculate(operation, before, value, .operation(operation, whole, expression))
    case .total(let operation):
      calculate(operation, before, k, .operation(operation, whole, .number(k)))
      calculate(.add, before, value, .operation(.add, whole, expression))
    case .fixedTotal(let operation, let n):
      calculate(operation, before, n, .operation(operation, whole, .number(n)))
      calculate(.add, before, value, .operation(.add, whole, expression))
    }
  }

  private mutating func calculate(_ operation: Arithmetic, _ a: Int, _ b: Int, _ tree: Expression) {
    // A result that is not a whole number above zero cannot be drawn; 0 would fail the check at the end.
    value = operation.apply(a, b) ?? 0
    expression = tree
    solution.append("\(a) \(operation.rawValue) \(b) = \(value).")
    operations += 1
  }

  /// Fills the slots of a wording.
  private mutating func fill(_ wording: String, _ numbers: [Character: Int] = [:]) -> String {
    var output = ""
    var rest = Substring(wording)
    while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
      output += rest[..<open]
      let slot = String(rest[rest.index(after: open)..<close])
      output += word(slot, numbers)
      rest = rest[rest.index(after: close)...]
    }
    return output + rest
  }

  private mutating func word(_ slot: String, _ numbers: [Character: Int]) -> String {
    switch slot {
    case "name":
      isOwnerNamed = true
      return owner.name
    case "Who", "who":
      // The first time by name, then by name or pronoun.
      if !isOwnerNamed || stream.next(below: 5) < 2 {
        isOwnerNamed = true
        return owner.name
      }
      return slot == "Who" ? owner.he.prefix(1).uppercased() + owner.he.dropFirst() : owner.he
    case "him", "his":
      if !isOwnerNamed {
        isOwnerNamed = true
        return slot == "him" ? owner.name : owner.name + "'s"
      }
      return slot == "him" ? owner.him : owner.his
    case "friend": return friend.name
    case "things": return thing.many
    case "thing": return thing.one
    case "others": return other.many
    case "boxes": return box.many
    case "box": return box.one
    default: return slot.first.flatMap { numbers[$0] }.map(String.init) ?? "{\(slot)}"
    }
  }
}
