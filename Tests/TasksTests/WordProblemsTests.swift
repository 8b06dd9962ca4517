import Support
import Testing

@testable import Tasks

@Suite struct `Generated problems are right and their splits apart` {
  /// What a solution comes to, worked out from its lines alone: every line must be true.
  private func evaluate(_ solution: String) throws -> (steps: Int, value: Int, operands: [Int]) {
    var value = 0
    var operands: [Int] = []
    let lines = solution.split(separator: "\n", omittingEmptySubsequences: false)
    var results: [Int] = []
    for line in lines {
      let words = line.split(separator: " ")
      try #require(words.count == 5 && words[3] == "=" && words[4].hasSuffix("."), "\(line)")
      let a = try #require(Int(words[0]))
      let b = try #require(Int(words[2]))
      let c = try #require(Int(words[4].dropLast()))
      switch words[1] {
      case "+": value = a + b
      case "-": value = a - b
      case "*": value = a * b
      case "/":
        try #require(b != 0 && a % b == 0, "\(line)")
        value = a / b
      default: Issue.record("\(line)")
      }
      #expect(value == c && value > 0, "\(line)")
      operands += [a, b].filter { !results.contains($0) }
      results.append(value)
    }
    return (lines.count, value, operands)
  }

  private func numbers(_ text: String) -> [Int] {
    text.split { !$0.isNumber }.compactMap { Int($0) }
  }

  @Test(arguments: WordProblems.levels, WordProblems.Split.allCases)
  func `every step is true and every operand stands in the question`(level: Int, split: WordProblems.Split) throws {
    let spelled: Set = [2, 3, 7, 12]
    let largest = [40, 50, 60, 80][level - 1]
    for index in 0..<1500 {
      let example = WordProblems.make(seed: 11, split: split, level: level, index: index)
      let solution = try #require(example.solution)
      let (steps, value, operands) = try evaluate(solution)
      #expect(steps == level)
      #expect(example.level == level)
      #expect(example.answer == String(value))
      #expect(value <= largest)
      let given = numbers(example.question)
      for operand in operands { #expect(given.contains(operand) || spelled.contains(operand), "\(example)") }
      #expect(example.question.split(separator: " ").count <= 60)
      let text = example.question + solution
      #expect(text.utf8.allSatisfy { $0 < 0x80 })
      #expect(!example.question.contains { "{}<>\\\n".contains($0) }, "\(example.question)")
      #expect(example.question.hasSuffix("?"))
      #expect(try Verifier().verdict(on: "\\boxed{\(value)}", gold: example.answer ?? "").isCorrect)
    }
  }

  @Test func `a problem is a pure function of its place`() {
    for index in [0, 1, 999, 123_456_789] {
      for split in WordProblems.Split.allCases {
        let example = WordProblems.make(seed: 5, split: split, level: 3, index: index)
        #expect(example == WordProblems.make(seed: 5, split: split, level: 3, index: index))
        #expect(example != WordProblems.make(seed: 6, split: split, level: 3, index: index))
        #expect(example != WordProblems.make(seed: 5, split: split, level: 3, index: index + 1))
      }
    }
    #expect(WordProblems.pretrainingText(seed: 1, index: 2) == WordProblems.pretrainingText(seed: 1, index: 2))
  }

  @Test func `this is the first problem, so that no change goes unseen`() {
    let example = WordProblems.make(seed: 42, split: .train, level: 2, index: 0)
    let question =
      "Rosa buys 12 oranges at the store. She sells all the oranges for 3 dollars each. "
      + "She wants a bike that costs 47 dollars. How many more dollars does Rosa need?"
    #expect(example.question == question)
    #expect(example.solution == "12 * 3 = 36.\n47 - 36 = 11.")
    #expect(
      WordProblems.pretrainingText(seed: 42, index: 0, level: 2)
        == "Question: \(question)\nAnswer: 12 * 3 = 36.\n47 - 36 = 11.\nThe answer is 11.")
  }

  @Test(arguments: WordProblems.levels)
  func `abridged solutions keep the last step and nothing else changes`(level: Int) throws {
    var abridged = 0
    for index in 0..<1500 {
      let full = WordProblems.make(seed: 7, split: .train, level: level, index: index)
      let short = WordProblems.make(seed: 7, split: .train, level: level, index: index, working: .abridged)
      let mixed = WordProblems.make(seed: 7, split: .train, level: level, index: index, working: .mixed)
      let steps = try #require(full.solution).split(separator: "\n")
      #expect(short.solution == String(steps[steps.count - 1]))
      #expect(mixed.solution == full.solution || mixed.solution == short.solution)
      for other in [short, mixed] { #expect(other.question == full.question && other.answer == full.answer) }
      if mixed.solution != full.solution { abridged += 1 }
    }
    #expect(abs(Double(abridged) / 1500 - [0, 0.2, 0.3, 0.4][level - 1]) < 0.04, "\(abridged)")
  }

  @Test func `a page of calculations is true line by line, in the range of the problems`() throws {
    var operations: Set<Substring> = []
    for index in 0..<500 {
      let lines = WordProblems.practiceText(seed: 3, index: index).split(separator: "\n")
      #expect(lines.count == 13 && lines[0] == "Practice:")
      for line in lines.dropFirst() {
        let (_, value, _) = try evaluate(String(line))
        #expect((1...80).contains(value), "\(line)")
        operations.insert(line.split(separator: " ")[1])
      }
    }
    #expect(operations == ["+", "-", "*", "/"])
    #expect(WordProblems.practiceText(seed: 3, index: 1) != WordProblems.practiceText(seed: 3, index: 2))
  }

  /// The question with names, pronouns and things made alike: what a problem is, apart from its wording's nouns.
  private func skeleton(_ question: String) -> String {
    var classes: [String: String] = [:]
    for person in Vocabulary.girls + Vocabulary.boys { classes[person.name] = "N" }
    for word in ["he", "she", "He", "She", "him", "her", "his"] { classes[word] = "N" }
    for noun in Vocabulary.things { classes[noun.one] = "thing"; classes[noun.many] = "things" }
    for noun in Vocabulary.boxes { classes[noun.one] = "box"; classes[noun.many] = "boxes" }
    return question.split(separator: " ").map { word in
      let bare = word.filter { $0.isLetter || $0.isNumber }
      return classes[String(bare)] ?? String(bare)
    }.joined(separator: " ")
  }

  @Test func `no problem stands in both splits, whatever the seeds`() {
    var questions: [WordProblems.Split: Set<String>] = [:]
    var skeletons: [WordProblems.Split: Set<String>] = [:]
    var signatures: [WordProblems.Split: Set<String>] = [:]
    var signatureOfQuestion: [String: String] = [:]
    for (split, count) in [(WordProblems.Split.train, 24_000), (.heldOut, 8_000)] {
      for index in 0..<count {
        let problem = WordProblems.problem(seed: UInt64(index % 3), split: split, level: index % 4 + 1, index: index)
        let question = problem.example.question
        questions[split, default: []].insert(question)
        skeletons[split, default: []].insert(skeleton(question))
        signatures[split, default: []].insert(problem.signature)
        #expect(WordProblems.split(of: problem.signature) == split)
        let known = signatureOfQuestion.updateValue(problem.signature, forKey: question)
        #expect(known == nil || known == problem.signature, "\(question)")
      }
    }
    #expect(questions[.train]!.isDisjoint(with: questions[.heldOut]!))
    #expect(skeletons[.train]!.isDisjoint(with: skeletons[.heldOut]!))
    #expect(signatures[.train]!.isDisjoint(with: signatures[.heldOut]!))
    #expect(questions[.train]!.count > 23_000)
  }

  @Test func `mixed problems have all levels evenly, and every template and operation occurs`() {
    var levels: [Int: Int] = [:]
    var templates: Set<String> = []
    var operations: [String: Int] = [:]
    for index in 0..<8000 {
      let problem = WordProblems.problem(seed: 3, split: .train, level: nil, index: index)
      levels[problem.example.level ?? 0, default: 0] += 1
      for part in problem.signature.split(separator: "|") { templates.insert(String(part.prefix { $0 != ":" })) }
      for line in (problem.example.solution ?? "").split(separator: "\n") {
        operations[String(line.split(separator: " ")[1]), default: 0] += 1
      }
    }
    for level in WordProblems.levels { #expect((1800...2200).contains(levels[level] ?? 0)) }
    let all = Set(StoryOpenings.all.map(\.id) + StorySteps.all.map(\.id))
    #expect(templates == all, "never used: \(all.subtracting(templates))")
    #expect(StorySteps.all.count >= 25)
    let total = operations.values.reduce(0, +)
    for operation in ["+", "-", "*", "/"] { #expect((operations[operation] ?? 0) * 10 > total, "\(operations)") }
  }

  @Test func `identities are unique and no sentence stands under two of them`() {
    let ids = StoryOpenings.all.map(\.id) + StorySteps.all.map(\.id)
    #expect(Set(ids).count == ids.count)

    /// A sentence as the sets of words each place may hold.
    func places(_ wording: String) -> [Set<String>] {
      let people = Set((Vocabulary.girls + Vocabulary.boys).map(\.name))
      return wording.lowercased().split(separator: " ").map { word in
        guard let open = word.firstIndex(of: "{"), let close = word.firstIndex(of: "}") else { return [String(word)] }
        let words: Set<String> =
          switch word[word.index(after: open)..<close] {
          case "k", "m", "v", "d": ["#"]
          case "name", "friend", "who", "him", "his": people.union(["he", "she", "him", "her", "his"])
          case "things", "others": Set(Vocabulary.things.map(\.many))
          case "thing": Set(Vocabulary.things.map(\.one))
          case "boxes": Set(Vocabulary.boxes.map(\.many))
          default: Set(Vocabulary.boxes.map(\.one))
          }
        return Set(words.map { word[..<open] + $0.lowercased() + word[word.index(after: close)...] })
      }
    }
    func canBeSame(_ a: [Set<String>], _ b: [Set<String>]) -> Bool {
      a.count == b.count && zip(a, b).allSatisfy { !$0.isDisjoint(with: $1) }
    }
    func check(_ sentences: [(id: String, places: [Set<String>])]) {
      for (index, a) in sentences.enumerated() {
        for b in sentences[..<index] where a.id != b.id && canBeSame(a.places, b.places) {
          Issue.record("\(a.id) and \(b.id) can be told in the same words")
        }
      }
    }
    check(StoryOpenings.all.flatMap { opening in opening.wordings.map { (opening.id, places($0)) } })
    // A story's end is told apart by its question.
    let asked = StorySteps.all.filter(\.isLast)
    let mid = StorySteps.all.filter { !$0.isLast }
    let distractors = StoryOpenings.distractors.map { (id: "distractor", places: places($0)) }
    check(mid.flatMap { step in step.wordings.map { (step.id, places($0)) } } + distractors)
    func ends(_ step: StepTemplate) -> [(id: String, places: [Set<String>])] {
      let questions =
        step.questions.isEmpty ? step.from.flatMap { StoryOpenings.questions(step.to ?? $0) } : step.questions
      return step.wordings.flatMap { wording in questions.map { (step.id, places(wording + " " + $0)) } }
    }
    check(asked.flatMap(ends) + mid.flatMap(ends))
  }

  @Test func `distractors come at high levels and only where they are wanted`() {
    let isDistracted = { (question: String) in
      ["years old.", "miles away.", "also has"].contains { question.contains($0) }
    }
    var counts = [0, 0, 0, 0, 0]
    for index in 0..<4000 {
      let level = index % 4 + 1
      if isDistracted(WordProblems.make(seed: 2, split: .train, level: level, index: index).question) {
        counts[level] += 1
      }
      #expect(
        !isDistracted(
          WordProblems.make(seed: 2, split: .train, level: level, index: index, distractors: false).question))
    }
    #expect(counts[1] == 0 && counts[2] == 0)
    for level in 3...4 { #expect((80...180).contains(counts[level]), "\(counts)") }
  }

  @Test func `a generated line reads back as the same example`() throws {
    let examples = (0..<200).map { WordProblems.make(seed: 1, split: .heldOut, index: $0) }
    let lines = examples.map(\.jsonLine)
    #expect(try ExampleFile.parse(Array(lines.joined(separator: "\n").utf8), name: "made.jsonl") == examples)
    #expect(lines[0].contains("\\n#### "))
  }

  @Test func `an expression agrees with the four operations`() {
    #expect(Expression.operation(.subtract, .number(5), .number(5)).value == nil)
    #expect(Expression.operation(.divide, .number(5), .number(2)).value == nil)
    #expect(Expression.operation(.divide, .number(5), .number(0)).value == nil)
    let sum = Expression.operation(.add, .number(2), .operation(.multiply, .number(3), .number(4)))
    #expect(sum.value == 14)
  }
}
