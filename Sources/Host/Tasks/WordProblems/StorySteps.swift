/// The sentences a story goes on with. The identity of a template decides, with the numbers, which split a problem
/// belongs to: all wordings under one identity must mean the same, and no wording may stand under two.
enum StorySteps {
  static let all: [StepTemplate] = gains + losses + multiples + shares + comparisons + boxes + money + prices + rates

  static let bySubject: [Subject: [StepTemplate]] = Dictionary(
    uniqueKeysWithValues: Subject.allCases.map { subject in (subject, all.filter { $0.from.contains(subject) }) })

  private static let gains: [StepTemplate] = [
    StepTemplate(
      id: "gain.buy", from: [.things], form: .number(.add),
      wordings: ["{Who} buys {k} more {things}.", "Then {who} buys {k} more {things}."]),
    StepTemplate(
      id: "gain.find", from: [.things], form: .number(.add),
      wordings: ["{Who} finds {k} more {things}.", "Later, {who} finds {k} more {things}."]),
    StepTemplate(
      id: "gain.gift", from: [.things], form: .number(.add),
      wordings: ["{friend} gives {him} {k} more {things}.", "{Who} gets {k} more {things} from {friend}."]),
    StepTemplate(
      id: "gain.win", from: [.things], form: .number(.add), wordings: ["{Who} wins {k} more {things} in a game."],
      needs: .toy),
    StepTemplate(
      id: "gain.make", from: [.things], form: .number(.add),
      wordings: ["{Who} makes {k} more {things}.", "The next day {who} makes {k} more {things}."], needs: .made),
    StepTemplate(
      id: "gain.boxes", from: [.things], form: .product(.add),
      wordings: [
        "{Who} buys {k} {boxes} with {m} {things} in each.", "Then {who} gets {k} {boxes} of {m} {things} each.",
      ]),
    StepTemplate(
      id: "gain.friends", from: [.things], form: .product(.add),
      wordings: ["Each of {k} friends gives {him} {m} {things}."]),
    StepTemplate(
      id: "gain.days", from: [.things], form: .product(.add),
      wordings: ["For {k} days, {who} gets {m} more {things} each day."]),
  ]

  private static let losses: [StepTemplate] = [
    StepTemplate(
      id: "loss.give", from: [.things], form: .number(.subtract),
      wordings: ["{Who} gives {k} {things} to {friend}.", "Then {who} gives {friend} {k} of the {things}."],
      questions: left),
    StepTemplate(
      id: "loss.lose", from: [.things], form: .number(.subtract),
      wordings: ["{Who} loses {k} of the {things}.", "On the way home, {who} loses {k} {things}."], questions: left),
    StepTemplate(
      id: "loss.sell", from: [.things], form: .number(.subtract),
      wordings: ["{Who} sells {k} of the {things}.", "Then {who} sells {k} {things}."], questions: left),
    StepTemplate(
      id: "loss.eat", from: [.things], form: .number(.subtract),
      wordings: ["{Who} eats {k} of the {things}.", "{friend} eats {k} of the {things}."], questions: left,
      needs: .food),
    StepTemplate(
      id: "loss.bad", from: [.things], form: .number(.subtract),
      wordings: ["{k} of the {things} are bad, so {who} throws them away."], questions: left, needs: .food),
    StepTemplate(
      id: "loss.break", from: [.things], form: .number(.subtract), wordings: ["{k} of the {things} break."],
      questions: left, needs: .toy),
    StepTemplate(
      id: "loss.friends", from: [.things], form: .product(.subtract),
      wordings: ["{Who} gives {k} friends {m} {things} each.", "Each of {k} friends takes {m} of the {things}."],
      questions: left),
    StepTemplate(
      id: "loss.days", from: [.things], form: .product(.subtract),
      wordings: ["For {k} days, {who} eats {m} {things} a day."], questions: left, needs: .food),
    StepTemplate(
      id: "loss.uses", from: [.things], form: .product(.subtract),
      wordings: ["For {k} days, {who} sells {m} {things} a day."], questions: left),
  ]

  private static let left = ["How many {things} does {name} have left?", "How many {things} are left?"]

  private static let multiples: [StepTemplate] = [
    StepTemplate(
      id: "double", from: [.things], form: .fixed(.multiply, 2),
      wordings: ["Then the number of {things} doubles.", "Soon {who} has twice as many {things}."]),
    StepTemplate(
      id: "triple", from: [.things], form: .fixed(.multiply, 3),
      wordings: ["Then the number of {things} triples.", "Soon {who} has three times as many {things}."]),
    StepTemplate(
      id: "times", from: [.things], form: .number(.multiply),
      wordings: ["A week later, {who} has {k} times as many {things}."]),
    StepTemplate(
      id: "sell.all", from: [.things], to: .dollars, form: .number(.multiply),
      wordings: [
        "{Who} sells all the {things} for {k} dollars each.", "Then {who} sells each {thing} for {k} dollars.",
      ],
      questions: ["How many dollars does {name} get?", "How much money does {name} make?"]),
  ]

  private static let shares: [StepTemplate] = [
    StepTemplate(
      id: "share.child", from: [.things], form: .number(.divide),
      wordings: ["{Who} shares the {things} equally among {k} children. {friend} is one of them."],
      questions: ["How many {things} does {name} get?"], passesToFriend: true),
    StepTemplate(
      id: "share.each", from: [.things], form: .number(.divide),
      wordings: [
        "{Who} shares the {things} equally among {k} friends.", "{k} friends share all the {things} equally.",
      ],
      questions: ["How many {things} does each friend get?"], isLast: true),
    StepTemplate(
      id: "share.piles", from: [.things], form: .number(.divide),
      wordings: ["{Who} makes {k} equal piles of {things} and keeps one pile."]),
    StepTemplate(
      id: "share.put", from: [.things], form: .number(.divide),
      wordings: ["{Who} puts the {things} into {k} {boxes}, the same number in each."],
      questions: ["How many {things} are in each {box}?"], isLast: true),
    StepTemplate(
      id: "half.give", from: [.things], form: .fixed(.divide, 2),
      wordings: ["{Who} gives half of the {things} to {friend}.", "Then {who} gives half of the {things} away."],
      questions: left),
    StepTemplate(
      id: "half.sell", from: [.things], form: .fixed(.divide, 2), wordings: ["{Who} sells half of the {things}."],
      questions: left),
    StepTemplate(
      id: "third", from: [.things], form: .fixed(.divide, 3),
      wordings: ["{Who} keeps only a third of the {things}."], questions: left),
    StepTemplate(
      id: "pack", from: [.things], to: .packs, form: .number(.divide),
      wordings: ["{Who} packs the {things} into {boxes} of {k}.", "{Who} puts {k} {things} into each {box}."],
      questions: ["How many {boxes} does {name} fill?", "How many {boxes} does {name} need?"]),
  ]

  private static let plainThings = ["How many {things} does {name} have?"]
  private static let together = [
    "How many {things} do {name} and {friend} have together?", "How many {things} do {name} and {friend} have in all?",
  ]

  private static let comparisons: [StepTemplate] = [
    StepTemplate(
      id: "compare.times", from: [.things], form: .number(.multiply),
      wordings: ["{friend} has {k} times as many {things} as {name}."], questions: plainThings, passesToFriend: true),
    StepTemplate(
      id: "compare.twice", from: [.things], form: .fixed(.multiply, 2),
      wordings: ["{friend} has twice as many {things} as {name}."], questions: plainThings, passesToFriend: true),
    StepTemplate(
      id: "compare.more", from: [.things], form: .number(.add),
      wordings: ["{friend} has {k} more {things} than {name}."], questions: plainThings, passesToFriend: true),
    StepTemplate(
      id: "compare.fewer", from: [.things], form: .number(.subtract),
      wordings: ["{friend} has {k} fewer {things} than {name}."], questions: plainThings, passesToFriend: true),
    StepTemplate(
      id: "compare.half", from: [.things], form: .fixed(.divide, 2),
      wordings: ["{friend} has half as many {things} as {name}."], questions: plainThings, passesToFriend: true),
    StepTemplate(
      id: "together", from: [.things], form: .number(.add), wordings: ["{friend} has {k} {things}."],
      questions: together, isLast: true),
    StepTemplate(
      id: "together.times", from: [.things], form: .total(.multiply),
      wordings: ["{friend} has {k} times as many {things} as {name}."], questions: together, isLast: true),
    StepTemplate(
      id: "together.twice", from: [.things], form: .fixedTotal(.multiply, 2),
      wordings: ["{friend} has twice as many {things} as {name}."], questions: together, isLast: true),
    StepTemplate(
      id: "together.more", from: [.things], form: .total(.add),
      wordings: ["{friend} has {k} more {things} than {name}."], questions: together, isLast: true),
    StepTemplate(
      id: "together.fewer", from: [.things], form: .total(.subtract),
      wordings: ["{friend} has {k} fewer {things} than {name}."], questions: together, isLast: true),
    StepTemplate(
      id: "together.half", from: [.things], form: .fixedTotal(.divide, 2),
      wordings: ["{friend} has half as many {things} as {name}."], questions: together, isLast: true),
    StepTemplate(
      id: "need", from: [.things], form: .from(step: 1),
      wordings: ["{Who} wants to have {k} {things}.", "{Who} needs {k} {things} for school."],
      questions: ["How many more {things} does {name} need?"], isLast: true),
  ]

  private static let boxes: [StepTemplate] = [
    StepTemplate(
      id: "boxes.hold", from: [.boxes], to: .things, form: .number(.multiply),
      wordings: ["Each {box} holds {k} {things}.", "There are {k} {things} in each {box}."]),
    StepTemplate(
      id: "boxes.dozen", from: [.boxes], to: .things, form: .fixed(.multiply, 12),
      wordings: ["Each {box} holds a dozen {things}."]),
    StepTemplate(
      id: "boxes.buy", from: [.boxes, .packs], form: .number(.add), wordings: ["{Who} buys {k} more {boxes}."]),
    StepTemplate(
      id: "boxes.give", from: [.boxes, .packs], form: .number(.subtract),
      wordings: ["{Who} gives {k} {boxes} to {friend}."], questions: ["How many {boxes} does {name} have left?"]),
    StepTemplate(
      id: "boxes.sell", from: [.boxes, .packs], to: .dollars, form: .number(.multiply),
      wordings: ["{Who} sells each {box} for {k} dollars."], questions: ["How many dollars does {name} get?"]),
    StepTemplate(
      id: "boxes.share", from: [.boxes, .packs], form: .number(.divide),
      wordings: ["{k} families share the {boxes} equally."], questions: ["How many {boxes} does each family get?"],
      isLast: true),
  ]

  private static let plainDollars = ["How many dollars does {name} have?"]
  private static let leftDollars = ["How many dollars does {name} have left?", "How much money does {name} have left?"]
  private static let togetherDollars = ["How many dollars do {name} and {friend} have together?"]

  private static let money: [StepTemplate] = [
    StepTemplate(
      id: "money.earn", from: [.dollars], form: .number(.add),
      wordings: ["{Who} earns {k} more dollars.", "Then {who} earns {k} dollars by washing cars."]),
    StepTemplate(
      id: "money.gift", from: [.dollars], form: .number(.add),
      wordings: ["Grandma gives {him} {k} dollars.", "{Who} gets {k} dollars from an aunt."]),
    StepTemplate(
      id: "money.work", from: [.dollars], form: .product(.add),
      wordings: ["{Who} works {k} hours for {m} dollars an hour."]),
    StepTemplate(
      id: "money.week", from: [.dollars], form: .product(.add),
      wordings: ["For {k} weeks, {who} saves {m} dollars a week."]),
    StepTemplate(
      id: "money.lunch", from: [.dollars], form: .number(.subtract),
      wordings: ["{Who} spends {k} dollars on lunch.", "Then lunch costs {him} {k} dollars."], questions: leftDollars),
    StepTemplate(
      id: "money.ticket", from: [.dollars], form: .number(.subtract),
      wordings: ["{Who} pays {k} dollars for a ticket.", "Then {who} buys a ticket for {k} dollars."],
      questions: leftDollars),
    StepTemplate(
      id: "money.lend", from: [.dollars], form: .number(.subtract), wordings: ["{Who} lends {k} dollars to {friend}."],
      questions: leftDollars),
    StepTemplate(
      id: "money.buy", from: [.dollars], form: .product(.subtract),
      wordings: ["{Who} buys {k} {things} for {m} dollars each."], questions: leftDollars),
    StepTemplate(
      id: "money.half", from: [.dollars], form: .fixed(.divide, 2),
      wordings: ["{Who} spends half of the money.", "Then {who} gives half of the money to {friend}."],
      questions: leftDollars),
    StepTemplate(
      id: "money.double", from: [.dollars], form: .fixed(.multiply, 2),
      wordings: ["Dad doubles {his} money.", "A month later, {who} has twice as much money."]),
    StepTemplate(
      id: "money.share", from: [.dollars], form: .number(.divide),
      wordings: ["{Who} shares the money equally among {k} children."],
      questions: ["How many dollars does each child get?"], isLast: true),
    StepTemplate(
      id: "money.child", from: [.dollars], form: .number(.divide),
      wordings: ["{k} children share the money equally. {friend} is one of them."],
      questions: ["How many dollars does {name} get?"], passesToFriend: true),
    StepTemplate(
      id: "money.all", from: [.dollars], to: .things, form: .number(.divide),
      wordings: ["{Who} uses all the money to buy {things} for {k} dollars each."],
      questions: ["How many {things} does {name} buy?", "How many {things} does {name} get?"]),
    StepTemplate(
      id: "money.times", from: [.dollars], form: .number(.multiply),
      wordings: ["{friend} has {k} times as much money as {name}."], questions: plainDollars, most: 9,
      passesToFriend: true),
    StepTemplate(
      id: "money.more", from: [.dollars], form: .number(.add), wordings: ["{friend} has {k} dollars more than {name}."],
      questions: plainDollars, passesToFriend: true),
    StepTemplate(
      id: "money.less", from: [.dollars], form: .number(.subtract),
      wordings: ["{friend} has {k} dollars less than {name}."], questions: plainDollars, passesToFriend: true),
    StepTemplate(
      id: "money.together", from: [.dollars], form: .number(.add), wordings: ["{friend} has {k} dollars."],
      questions: togetherDollars, isLast: true),
    StepTemplate(
      id: "money.together.times", from: [.dollars], form: .total(.multiply),
      wordings: ["{friend} has {k} times as much money as {name}."], questions: togetherDollars, isLast: true),
    StepTemplate(
      id: "money.together.more", from: [.dollars], form: .total(.add),
      wordings: ["{friend} has {k} dollars more than {name}."], questions: togetherDollars, isLast: true),
    StepTemplate(
      id: "money.need", from: [.dollars], form: .from(step: 1),
      wordings: ["{Who} wants a bike that costs {k} dollars.", "{Who} wants to have {k} dollars."],
      questions: ["How many more dollars does {name} need?"], isLast: true),
  ]

  private static let prices: [StepTemplate] = [
    StepTemplate(
      id: "price.buy", from: [.price], to: .cost, form: .number(.multiply),
      wordings: ["{Who} buys {k} {things}.", "{Who} wants to buy {k} {things}."]),
    StepTemplate(
      id: "price.dozen", from: [.price], to: .cost, form: .fixed(.multiply, 12),
      wordings: ["{Who} buys a dozen {things}."]),
    StepTemplate(
      id: "price.up", from: [.price], form: .number(.add), wordings: ["The price goes up by {k} dollars."], most: 12),
    StepTemplate(
      id: "price.down", from: [.price], form: .number(.subtract),
      wordings: ["The price goes down by {k} dollars.", "Today the price is {k} dollars less."]),
    StepTemplate(
      id: "price.half", from: [.price], form: .fixed(.divide, 2),
      wordings: ["Today each {thing} is sold at half price."]),
    StepTemplate(
      id: "price.times", from: [.price], form: .number(.multiply),
      wordings: ["A year later, the price is {k} times as high."], most: 4),
    StepTemplate(
      id: "cost.also", from: [.cost], form: .number(.add),
      wordings: ["{Who} also buys a hat for {k} dollars.", "{Who} also buys a game for {k} dollars."], most: 40),
    StepTemplate(
      id: "cost.delivery", from: [.cost], form: .number(.add), wordings: ["The delivery costs {k} dollars more."],
      most: 20),
    StepTemplate(
      id: "cost.product", from: [.cost], form: .product(.add),
      wordings: ["{Who} also buys {k} {others} for {m} dollars each."]),
    StepTemplate(
      id: "cost.coupon", from: [.cost], form: .number(.subtract),
      wordings: ["{Who} uses a coupon for {k} dollars off.", "The store takes {k} dollars off the bill."]),
    StepTemplate(
      id: "cost.split", from: [.cost], form: .number(.divide), wordings: ["{k} friends split the cost equally."],
      questions: ["How many dollars does each friend pay?"], isLast: true, most: 8),
    StepTemplate(
      id: "cost.half", from: [.cost], form: .fixed(.divide, 2), wordings: ["{friend} pays half of the cost."],
      questions: ["How many dollars does {name} pay?"]),
    StepTemplate(
      id: "cost.change", from: [.cost], to: .dollars, form: .from(step: 10),
      wordings: ["{Who} pays with {k} dollars and gets change.", "{Who} gives the clerk {k} dollars."],
      questions: ["How many dollars does {name} get back?", "How much change does {name} get in dollars?"]),
    StepTemplate(
      id: "cost.pay", from: [.cost], to: .dollars, form: .from(step: 1),
      wordings: ["Before paying, {who} has {k} dollars."], questions: leftDollars),
  ]

  private static let rates: [StepTemplate] = [
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
