/// What happens to pay by the hour, pages, miles and minutes.
enum RateSteps {
  static let all: [StepTemplate] = [
    StepTemplate(
      id: "wage.hours", from: [.wage], to: .dollars, form: .number(.multiply),
      wordings: ["{Who} works for {k} hours.", "This week {who} works {k} hours."],
      questions: ["How many dollars does {name} earn?"]),
    StepTemplate(
      id: "wage.raise", from: [.wage], form: .number(.add),
      wordings: ["Then {his} pay goes up by {k} dollars an hour."], most: 10),
    StepTemplate(
      id: "wage.tax", from: [.wage], form: .number(.subtract),
      wordings: ["{Who} has to pay {k} dollars an hour for the tools."],
      questions: ["How many dollars does {name} keep an hour?"], most: 12),
    StepTemplate(
      id: "wage.times", from: [.wage], form: .number(.multiply),
      wordings: ["{friend} earns {k} times as much an hour."],
      questions: ["How many dollars does {name} earn an hour?"], most: 4, passesToFriend: true),
    StepTemplate(
      id: "making.hours", from: [.making], to: .things, form: .number(.multiply),
      wordings: ["{Who} goes on like this for {k} hours.", "{Who} does this for {k} hours."],
      questions: ["How many {things} does {name} make?"]),
    StepTemplate(
      id: "making.faster", from: [.making], form: .number(.add),
      wordings: ["With a new tool, {who} makes {k} more an hour."], most: 10),
    StepTemplate(
      id: "making.times", from: [.making], form: .number(.multiply),
      wordings: ["{Who} gets a machine that is {k} times as fast."], most: 5),
    StepTemplate(
      id: "rate.days", from: [.reading], to: .pages, form: .number(.multiply), wordings: ["{Who} reads for {k} days."],
      most: 12),
    StepTemplate(
      id: "rate.week", from: [.reading], to: .pages, form: .fixed(.multiply, 7),
      wordings: ["{Who} reads every day for a week."]),
    StepTemplate(
      id: "reading.more", from: [.reading], form: .number(.add), wordings: ["Now {who} reads {k} more pages each day."],
      most: 15),
    StepTemplate(
      id: "pages.more", from: [.pages], form: .number(.add),
      wordings: ["{Who} reads {k} more pages later.", "The next day {who} reads {k} more pages."]),
    StepTemplate(
      id: "pages.days", from: [.pages], form: .product(.add),
      wordings: ["For the next {k} days, {who} reads {m} pages a day."]),
    StepTemplate(
      id: "pages.book", from: [.pages], to: .pagesLeft, form: .from(step: 1),
      wordings: ["The whole book has {k} pages.", "There are {k} pages in the book."]),
    StepTemplate(
      id: "pages.twice", from: [.pages], form: .fixed(.multiply, 2),
      wordings: ["{friend} reads twice as many pages as {name}."],
      questions: ["How many pages does {name} read?"], passesToFriend: true),
    StepTemplate(
      id: "pages.together", from: [.pages], form: .number(.add), wordings: ["{friend} reads {k} pages."],
      questions: ["How many pages do {name} and {friend} read together?"], isLast: true),
    StepTemplate(
      id: "pages.each", from: [.pages], form: .number(.divide),
      wordings: ["There are {k} short stories, all of the same length, on these pages."],
      questions: ["How many pages does each story have?"], isLast: true, most: 9),
    StepTemplate(
      id: "left.tonight", from: [.pagesLeft], form: .number(.subtract),
      wordings: ["{Who} reads {k} of these pages tonight."]),
    StepTemplate(
      id: "left.half", from: [.pagesLeft], form: .fixed(.divide, 2), wordings: ["{Who} reads half of the rest."]),
    StepTemplate(
      id: "left.days", from: [.pagesLeft], form: .number(.divide),
      wordings: ["{Who} reads the rest in {k} days, the same number each day."],
      questions: ["How many pages does {name} read on each of these days?"], isLast: true),
    StepTemplate(
      id: "walk.days", from: [.walking], to: .miles, form: .number(.multiply),
      wordings: ["{Who} walks like this for {k} days."]),
    StepTemplate(
      id: "walk.week", from: [.walking], to: .miles, form: .fixed(.multiply, 7), wordings: ["{Who} walks for a week."]),
    StepTemplate(
      id: "walk.more", from: [.walking], form: .number(.add), wordings: ["Now {who} walks {k} more miles each day."],
      most: 8),
    StepTemplate(
      id: "miles.more", from: [.miles], form: .number(.add),
      wordings: ["{Who} goes {k} more miles.", "The next day {who} goes {k} more miles."]),
    StepTemplate(
      id: "miles.days", from: [.miles], form: .product(.add),
      wordings: ["For the next {k} days, {who} goes {m} miles a day."]),
    StepTemplate(
      id: "miles.twice", from: [.miles], form: .fixed(.multiply, 2),
      wordings: ["{friend} goes twice as far as {name}."], questions: ["How many miles does {name} go?"],
      passesToFriend: true),
    StepTemplate(
      id: "miles.less", from: [.miles], form: .number(.subtract),
      wordings: ["{friend} goes {k} fewer miles than {name}."], questions: ["How many miles does {name} go?"],
      passesToFriend: true),
    StepTemplate(
      id: "miles.goal", from: [.miles], form: .from(step: 1), wordings: ["{Who} wants to go {k} miles in all."],
      questions: ["How many miles are left to go?"], isLast: true),
    StepTemplate(
      id: "miles.hours", from: [.miles], form: .number(.divide),
      wordings: ["It takes {k} hours at the same speed."], questions: ["How many miles does {name} go in one hour?"],
      isLast: true, most: 9),
    StepTemplate(
      id: "play.days", from: [.practice], to: .minutes, form: .number(.multiply),
      wordings: ["{Who} plays for {k} days.", "{Who} has done this for {k} days."]),
    StepTemplate(
      id: "play.more", from: [.practice], form: .number(.add),
      wordings: ["Now {who} plays {k} minutes more each day."], most: 15),
    StepTemplate(
      id: "play.half", from: [.practice], form: .fixed(.divide, 2),
      wordings: ["Half of the time is for a new song."], questions: ["How many minutes a day is the new song?"],
      isLast: true),
    StepTemplate(
      id: "minutes.more", from: [.minutes], form: .number(.add), wordings: ["{Who} plays {k} more minutes on Sunday."]),
    StepTemplate(
      id: "minutes.break", from: [.minutes], form: .number(.subtract),
      wordings: ["{Who} rests for {k} of these minutes."], questions: ["How many minutes does {name} really play?"]),
    StepTemplate(
      id: "minutes.songs", from: [.minutes], form: .number(.divide),
      wordings: ["{Who} plays {k} songs for the same time each."], questions: ["How many minutes does each song get?"],
      isLast: true),
  ]
}
