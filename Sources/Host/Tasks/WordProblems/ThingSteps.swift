/// What happens to things and to boxes of them.
enum ThingSteps {
  static let all: [StepTemplate] = gains + losses + multiples + shares + comparisons + boxes

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
}
