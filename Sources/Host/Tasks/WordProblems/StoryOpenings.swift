/// The sentences a story begins with, and what is asked about each subject at the end.
enum StoryOpenings {
  static let all: [OpeningTemplate] = [
    OpeningTemplate(
      id: "has", subject: .things, weight: 16, range: 2...60,
      wordings: ["{name} has {v} {things}.", "At first, {name} has {v} {things}.", "{name} starts with {v} {things}."]),
    OpeningTemplate(
      id: "buys", subject: .things, weight: 6, range: 2...60,
      wordings: ["{name} buys {v} {things} at the store.", "{name} orders {v} {things} online."]),
    OpeningTemplate(
      id: "makes", subject: .things, weight: 6, range: 4...60,
      wordings: ["{name} makes {v} {things} for a fair.", "{name} makes {v} {things} for a party."], needs: .made),
    OpeningTemplate(
      id: "finds", subject: .things, weight: 4, range: 2...40,
      wordings: ["{name} finds {v} {things} in a big bag.", "{name} finds {v} {things} at home."], needs: .toy),
    OpeningTemplate(
      id: "boxes", subject: .boxes, weight: 8, range: 2...16,
      wordings: ["{name} has {v} {boxes} of {things}.", "There are {v} {boxes} of {things} in {name}'s room."]),
    OpeningTemplate(
      id: "dollars", subject: .dollars, weight: 12, range: 4...90,
      wordings: ["{name} has {v} dollars.", "{name} saved {v} dollars.", "{name} got {v} dollars as a gift."]),
    OpeningTemplate(
      id: "price", subject: .price, weight: 10, range: 2...15,
      wordings: ["One {thing} costs {v} dollars.", "The price of one {thing} is {v} dollars."]),
    OpeningTemplate(
      id: "wage", subject: .wage, weight: 6, range: 4...20,
      wordings: ["{name} earns {v} dollars an hour.", "A job pays {name} {v} dollars for each hour."]),
    OpeningTemplate(
      id: "making", subject: .making, weight: 6, range: 2...15,
      wordings: ["{name} makes {v} {things} an hour.", "{name} can make {v} {things} in an hour."], needs: .made),
    OpeningTemplate(
      id: "reading", subject: .reading, weight: 5, range: 3...25,
      wordings: ["{name} reads {v} pages a day.", "Each day {name} reads {v} pages of a book."]),
    OpeningTemplate(
      id: "pages", subject: .pages, weight: 5, range: 5...60,
      wordings: ["{name} reads {v} pages on Monday.", "On Monday, {name} reads {v} pages of a book."]),
    OpeningTemplate(
      id: "walking", subject: .walking, weight: 4, range: 2...15,
      wordings: ["{name} walks {v} miles a day.", "Each day {name} walks {v} miles."]),
    OpeningTemplate(
      id: "miles", subject: .miles, weight: 3, range: 2...40,
      wordings: ["{name} rides {v} miles on Monday.", "On Monday, {name} rides a bike for {v} miles."]),
    OpeningTemplate(
      id: "practice", subject: .practice, weight: 5, range: 5...30,
      wordings: ["{name} plays the piano for {v} minutes a day.", "Each day {name} plays the piano for {v} minutes."]),
  ]

  static func questions(_ subject: Subject) -> [String] {
    switch subject {
    case .things:
      ["How many {things} does {name} have now?", "How many {things} does {name} have in the end?"]
    case .boxes, .packs: ["How many {boxes} does {name} have now?", "How many {boxes} does {name} have in the end?"]
    case .dollars: ["How many dollars does {name} have now?", "How much money does {name} have in the end?"]
    case .cost: ["How many dollars does {name} pay in all?", "What is the total cost in dollars?"]
    case .price: ["How many dollars does one {thing} cost now?", "What is the new price of one {thing} in dollars?"]
    case .wage: ["How many dollars does {name} earn an hour now?"]
    case .making: ["How many {things} does {name} make an hour now?"]
    case .reading: ["How many pages does {name} read a day now?"]
    case .pages: ["How many pages does {name} read in all?", "How many pages has {name} read now?"]
    case .pagesLeft: ["How many pages are left to read?"]
    case .walking: ["How many miles does {name} walk a day now?"]
    case .miles: ["How many miles does {name} go in all?", "How many miles has {name} gone in the end?"]
    case .practice: ["How many minutes does {name} play a day now?"]
    case .minutes: ["How many minutes does {name} play in all?", "How many minutes of piano is that in all?"]
    }
  }

  /// A sentence with a number that has nothing to do with the question.
  static let distractors = [
    "{friend} is {d} years old.", "{Who} is {d} years old.", "{Who} also has {d} {others}.",
    "{friend} lives {d} miles away.",
  ]
}
