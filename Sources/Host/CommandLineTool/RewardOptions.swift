import Arguments
import Support
import Tasks

/// `--reward` and what goes with it, of commands that learn from rewards.
enum RewardOptions {
  static let options: [OptionSpec] = [
    .repeated(
      "reward", .text,
      "what completions earn: answer (the default), numeric, exact, math-verify, format, length[:TOKENS], overlong[:TOKENS], FILE.py[:FUNCTION] or command:PROGRAM, each with =WEIGHT where that is not 1; the sum is learned from (docs/reward.md)",
      group: .training, placeholder: "R[=WEIGHT]"),
    .value(
      "reward-timeout", .number(above: 0, through: 1e6), default: .number(RewardPlan.usualSeconds),
      "seconds that a function or a program of --reward may take for the completions it is asked about together", group: .training),
  ]

  static func plan(_ arguments: ParsedArguments) throws(Failure) -> RewardPlan {
    var plan = try RewardPlan(try arguments.list("reward"))
    plan.seconds = try arguments.number("reward-timeout")
    if try arguments.isMeant("reward-timeout"), !plan.readsColumns {
      throw .usage("--reward-timeout does nothing without a function or a program in --reward; leave it out")
    }
    return plan
  }

  /// What of a run's identity the reward is, with what else is.
  static func identity(_ plan: RewardPlan, beside extra: JSON.Object) throws(Failure) -> JSON.Object {
    var object = extra
    let reward = try plan.identity()
    for key in reward.keys { object[key] = reward[key] }
    return object
  }
}
