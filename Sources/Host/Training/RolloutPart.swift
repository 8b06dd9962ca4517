import Transformer

/// Some sequences of one group: what goes through the model together because it shares a prompt.
private struct RolloutSlice {
  let group: Int
  /// Position in the rollout.
  let sequences: Range<Int>
  let rows: Int
}

/// A micro-batch of a rollout: whole sequences that follow one another, and what the model is given of them.
struct RolloutPart {
  /// Positions in the rollout.
  let sequences: [Int]
  let batch: TokenBatch
  let targets: TokenTargets
}

extension Rollout {
  /// The sequences of some groups as slices of at most `limit` rows; a group is split only where it must be.
  private func slices(groups range: Range<Int>, limit: Int) -> [RolloutSlice] {
    range.flatMap { group -> [RolloutSlice] in
      let first = sequences(of: group).lowerBound
      let completions = groups[group].completions
      let prompt = groups[group].prompt.tokens.count
      let runs = microBatches(rows: completions.map(\.tokens.count), limit: max(1, limit - prompt))
      return runs.map { run in
        RolloutSlice(
          group: group, sequences: (first + run.lowerBound)..<(first + run.upperBound),
          rows: prompt + completions[run].reduce(0) { $0 + $1.tokens.count })
      }
    }
  }

  /// The sequences of some groups as micro-batches.
  func parts(of groups: Range<Int>, limit: Int) -> [RolloutPart] {
    let slices = slices(groups: groups, limit: limit)
    return microBatches(rows: slices.map(\.rows), limit: limit).map { part(slices[$0]) }
  }

  /// Packs consecutive slices, prompts once each, with all completion tokens as targets.
  private func part(_ slices: ArraySlice<RolloutSlice>) -> RolloutPart {
    var batch = TokenBatch()
    var targets = TokenTargets()
    var numbers: [Int] = []
    for slice in slices {
      let group = groups[slice.group]
      let first = sequences(of: slice.group).lowerBound
      let own = (slice.sequences.lowerBound - first)..<(slice.sequences.upperBound - first)
      batch.append(prompt: group.prompt.tokens, completions: group.completions[own].map(\.tokens), targets: &targets)
      numbers += slice.sequences
    }
    return RolloutPart(sequences: numbers, batch: batch, targets: targets)
  }
}
