/// What happens to money, prices and costs.
enum MoneySteps {
  static let all: [StepTemplate] = money + prices

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
}
