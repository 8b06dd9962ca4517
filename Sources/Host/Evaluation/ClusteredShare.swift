import Support

/// Intervals where several samples belong to one problem: they are not independent, the problems are.
extension Statistics {
  /// The mean of one share per problem with its interval over problems as clusters.
  ///
  /// Wilson's score interval at an effective number of trials between the number of problems K and K·m. The design effect
  /// (Kish, Survey Sampling, 1965) is 1 + (m − 1)·ρ, with ρ the part of the variance that lies between problems. With few
  /// problems ρ cannot be told, so it is drawn towards 1 with the weight of two problems, and the trials that the samples
  /// add are scaled by (z/t)² with K − 1 degrees of freedom, as Korn and Graubard do (Survey Methodology 24, 1998). With one
  /// sample a problem, or samples that all agree, this is Wilson's interval over problems to the last bit.
  ///
  /// - Parameters:
  ///   - shares: for each problem an estimate in [0, 1].
  ///   - trialsEach: m, how many independent trials of a problem its share stands for, if problems were all alike.
  package static func clusteredShare(_ shares: [Double], trialsEach: Double, confidence: Double = 0.95) -> Interval {
    guard !shares.isEmpty else { return Interval(estimate: 0, lower: 0, upper: 1) }
    let problems = Double(shares.count)
    let mean = min(1, max(0, shares.reduce(0, +) / problems))
    var trials = problems
    let between = shares.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / problems
    if trialsEach > 1, shares.count > 1, between > 0, mean > 0, mean < 1 {
      // Between all alike (m trials a problem count) and all agreeing (one does).
      let naive = min(max(mean * (1 - mean) / between, 1), trialsEach)
      let measured = (trialsEach / naive - 1) / (trialsEach - 1)
      let correlation = measured + (1 - measured) * 2 / (problems + 2)
      let effective = problems * trialsEach / (1 + (trialsEach - 1) * correlation)
      let ratio =
        normalQuantile(0.5 + confidence / 2) / studentTQuantile(confidence: confidence, degrees: problems - 1)
      trials = max(problems, effective * ratio * ratio)
    }
    return wilson(share: mean, trials: trials, confidence: confidence)
  }
}
