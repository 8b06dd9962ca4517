/// The sentences a story goes on with. The identity of a template decides, with the numbers, which split a problem
/// belongs to: all wordings under one identity must mean the same, and no wording may stand under two.
enum StorySteps {
  static let all: [StepTemplate] = ThingSteps.all + MoneySteps.all + RateSteps.all

  static let bySubject: [Subject: [StepTemplate]] = Dictionary(
    uniqueKeysWithValues: Subject.allCases.map { subject in (subject, all.filter { $0.from.contains(subject) }) })
}
