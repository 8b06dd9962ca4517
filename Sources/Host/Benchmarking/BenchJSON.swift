import Evaluation
import Support

// `bench.json`.
extension BenchReport {
  package var json: JSON {
    [
      "conclusion": .string(conclusion), "statements": .array(statements.map { .string($0) }),
      "baseline": .string(labels[result.baseline]), "seeds": .array(result.seeds.map { .integer(Int($0)) }),
      "steps": .integer(result.steps), "problems": .integer(result.start.count),
      "start": ["accuracy": Self.json(analysis.start)],
      "algorithms": .array(result.algorithms.indices.map(algorithm)),
      "comparisons_with_baseline": .array(analysis.withBaseline.map(comparison)),
      "pairs": .array(analysis.pairs.map(comparison)),
      "not_told_apart": .array(analysis.groups.map { .array($0.map { .string(labels[$0]) }) }),
      "run": .array(facts.map { .string($0) }),
      "further": .array(
        further.map { other in
          [
            "set": .string(other.result.set ?? ""), "problems": .integer(other.result.start.count), "conclusion": .string(other.conclusion),
            "start": ["accuracy": Self.json(other.analysis.start)],
            "algorithms": .array(
              zip(other.labels, other.analysis.accuracies).map { label, accuracy in
                ["label": .string(label), "accuracy": Self.json(accuracy.estimate), "gain": Self.json(accuracy.gain)]
              }), "comparisons_with_baseline": .array(other.analysis.withBaseline.map(other.comparison)),
          ]
        }),
    ]
  }

  private static func json(_ interval: Statistics.Interval) -> JSON {
    ["estimate": .number(interval.estimate), "low": .number(interval.lower), "high": .number(interval.upper)]
  }

  private static func json(_ estimate: CrossedEstimate) -> JSON {
    [
      "estimate": .number(estimate.interval.estimate), "low": .number(estimate.interval.lower),
      "high": .number(estimate.interval.upper), "standard_error": .number(estimate.standardError),
      "degrees_of_freedom": .number(estimate.degreesOfFreedom), "p": .number(estimate.pValue),
    ]
  }

  private func algorithm(_ index: Int) -> JSON {
    let algorithm = result.algorithms[index]
    let accuracy = analysis.accuracies[index]
    var curves = JSON.Object()
    for metric in BenchMetric.allCases {
      let curve = metric.curve(algorithm, of: result)
      if !curve.points.isEmpty { curves[metric.rawValue] = curve.json }
    }
    var means = JSON.Object()
    for name in algorithm.runs.first?.records.first?.metrics.names ?? [] {
      if let mean = algorithm.mean({ $0.mean(name) }) { means[name] = .number(mean) }
    }
    return [
      "label": .string(algorithm.label), "accuracy": Self.json(accuracy.estimate),
      "accuracy_bootstrap": Self.json(accuracy.bootstrap), "gain": Self.json(accuracy.gain),
      "seeds": .array(
        zip(algorithm.runs, accuracy.seeds).map { run, interval in
          [
            "seed": .integer(Int(run.seed)), "accuracy": Self.json(interval), "mean_length": .number(run.meanLength),
            "truncated": .number(run.truncated), "dropped_groups": .number(run.sum("dropped_groups")),
            "refilled_groups": .number(run.sum("refilled_groups")), "training_seconds": .number(run.sum("seconds/step")),
            "evaluation_seconds": .number(run.evaluationSeconds),
          ]
        }),
      "plugin_share_of_step": Self.pluginShare(algorithm).map { .number($0) } ?? .null,
      "metric_means": .object(means), "curves": .object(curves),
    ]
  }

  private func comparison(_ comparison: Comparison) -> JSON {
    func pairs(_ pairs: Comparison.Pairs) -> JSON {
      ["gained": .integer(pairs.gained), "lost": .integer(pairs.lost), "mcnemar_p": .number(pairs.pValue)]
    }
    return [
      "algorithm": .string(labels[comparison.other]), "base": .string(labels[comparison.base]),
      "difference": Self.json(comparison.difference), "difference_bootstrap": Self.json(comparison.bootstrap),
      "p_holm": .number(comparison.adjustedPValue), "pooled": pairs(comparison.pooled),
      "seeds": .array(comparison.seeds.map(pairs)), "verdict": .string(comparison.verdict.rawValue),
      "two_points_need": comparison.seedsNeeded.map { needed in
        [
          "seeds": needed.seeds.map { .integer($0) } ?? .null, "problems": needed.problems.map { .integer($0) } ?? .null,
          "seed_deviation": .number(needed.seedDeviation), "problem_error": .number(needed.problemError),
        ]
      } ?? .null,
    ]
  }
}
