/// The words the problems are told with: few and short, so that a vocabulary of 512 tokens holds them.
enum Vocabulary {
  struct Person: Sendable, Equatable {
    let name: String
    let isGirl: Bool

    var he: String { isGirl ? "she" : "he" }
    var him: String { isGirl ? "her" : "him" }
    var his: String { isGirl ? "her" : "his" }
  }

  enum Trait: Sendable { case food, toy, made }

  struct Noun: Sendable, Equatable {
    let one: String
    let many: String
    var traits: [Trait] = []

    /// With its article.
    var a: String { "aeiou".contains(one.first ?? " ") ? "an \(one)" : "a \(one)" }
  }

  static let girls = [
    "Anna", "Emma", "Mia", "Lily", "Sara", "Kate", "Rosa", "Nina", "Ella", "Jane", "Lucy", "Maya",
  ].map { Person(name: $0, isGirl: true) }

  static let boys = [
    "Tom", "Ben", "Sam", "Leo", "Max", "Jack", "Omar", "Paul", "Adam", "Luke", "Dan", "Hugo",
  ].map { Person(name: $0, isGirl: false) }

  static let things = [
    Noun(one: "apple", many: "apples", traits: [.food]),
    Noun(one: "orange", many: "oranges", traits: [.food]),
    Noun(one: "pear", many: "pears", traits: [.food]),
    Noun(one: "peach", many: "peaches", traits: [.food]),
    Noun(one: "egg", many: "eggs", traits: [.food]),
    Noun(one: "candy", many: "candies", traits: [.food]),
    Noun(one: "cookie", many: "cookies", traits: [.food, .made]),
    Noun(one: "muffin", many: "muffins", traits: [.food, .made]),
    Noun(one: "cake", many: "cakes", traits: [.food, .made]),
    Noun(one: "pie", many: "pies", traits: [.food, .made]),
    Noun(one: "card", many: "cards", traits: [.toy, .made]),
    Noun(one: "kite", many: "kites", traits: [.toy, .made]),
    Noun(one: "mask", many: "masks", traits: [.toy, .made]),
    Noun(one: "candle", many: "candles", traits: [.made]),
    Noun(one: "marble", many: "marbles", traits: [.toy]),
    Noun(one: "sticker", many: "stickers", traits: [.toy]),
    Noun(one: "stamp", many: "stamps", traits: [.toy]),
    Noun(one: "shell", many: "shells", traits: [.toy]),
    Noun(one: "bead", many: "beads", traits: [.toy]),
    Noun(one: "pencil", many: "pencils", traits: [.toy]),
    Noun(one: "book", many: "books", traits: [.toy]),
    Noun(one: "balloon", many: "balloons", traits: [.toy]),
    Noun(one: "toy", many: "toys", traits: [.toy]),
    Noun(one: "flower", many: "flowers"),
  ]

  static let boxes = [
    Noun(one: "box", many: "boxes"), Noun(one: "bag", many: "bags"), Noun(one: "basket", many: "baskets"),
    Noun(one: "jar", many: "jars"), Noun(one: "pack", many: "packs"),
  ]
}
