import PluginAPI

/// What operations are tried on: three inputs with derivatives.
struct Operands {
  let tape: Tape
  var x: Tokens { tape.current }
  var y: Tokens { tape.values }
  var z: Tokens { tape.entropy }

  init(_ tape: Tape) { self.tape = tape }

  /// Two segments by turns, and one without a sequence.
  var turns: Segmentation { tape.segmentation(count: 3) { $0 % 2 } }
}

extension Twin {
  /// Each gives a number per token, of which the loss is the sum weighted by the advantages.
  static var operations: [(name: StaticString, of: (Operands) -> Tokens, stops: StoppedGradients)] {
    [
      ("add", { $0.x + $0.y }, []),
      ("subtract", { $0.x - $0.y }, []),
      ("multiply", { $0.x * $0.y }, []),
      ("divide", { $0.x / $0.y }, []),
      ("add-number", { 0.5 + ($0.x + 2) }, []),
      ("subtract-number", { 3 - ($0.x - 2) }, []),
      ("multiply-number", { 3 * ($0.x * -0.5) }, []),
      ("divide-number", { $0.x / 4 }, []),
      ("divide-by", { 3 / $0.y }, []),
      ("negate", { -$0.x }, []),
      ("exp", { exp($0.x) }, []),
      ("log", { log($0.z) }, []),
      ("sqrt", { sqrt($0.z) }, []),
      ("square", { square($0.x) }, []),
      ("pow", { pow($0.z, 1.7) }, []),
      ("tanh", { tanh($0.x) }, []),
      ("abs", { abs($0.x) }, []),
      ("clamp", { clamp($0.x, -0.5, 0.75) }, []),
      ("min", { min($0.x, $0.y) }, []),
      ("max", { max($0.x, $0.y) }, []),
      ("min-number", { min($0.x, 0.25) }, []),
      ("max-number", { max($0.x, 0.25) }, []),
      ("choose", { choose($0.x .> $0.y, square($0.x), else: $0.x * $0.y) }, []),
      ("choose-any", { choose(($0.x .< 0) .| ($0.y .>= 1), $0.x, else: -1) }, []),
      ("choose-not", { choose(.!($0.x .<= 0.25), 2, else: $0.y) }, []),
      // The logarithm of 0, with its infinite slope, is not chosen and does no harm.
      ("choose-finite", { choose($0.x .> -0.5, log(max($0.x + 1, 0)), else: $0.x) }, []),
      ("compare", { codes($0.x .< $0.y, $0.x .<= $0.y, $0.x .> $0.y, $0.x .>= $0.y, $0.x .== $0.y) }, []),
      ("compare-number", { codes($0.x .< 0.75, $0.x .<= 0.75, $0.x .> 0.75, $0.x .>= 0.75, $0.x .== 0.75) }, []),
      ("twice", { $0.x * $0.x + exp($0.x) / ($0.x + 10) }, []),
      ("stop", { $0.x * stopGradient($0.x * $0.y) }, [.current, .values]),
      ("sum-per-sequence", { square($0.x.sumPerSequence()).perToken() }, []),
      ("mean-per-sequence", { square($0.x.meanPerSequence()).perToken() }, []),
      ("per-token", { $0.x * ($0.y.sumPerSequence()).perToken() }, []),
      ("sum", { $0.y * square($0.x.sum()) }, []),
      ("add-scalar", { ($0.x + $0.y.sum()) + ($0.y.sum() + $0.x) }, []),
      ("subtract-scalar", { ($0.x - $0.y.sum()) * ($0.y.sum() - $0.x) }, []),
      ("multiply-scalar", { ($0.x * $0.y.sum()) + ($0.y.sum() * square($0.x)) }, []),
      ("divide-scalar", { $0.x / exp($0.y.sum()) + $0.y.sum() / $0.z }, []),
      ("sum-per-segment", { square($0.x.sumPerSequence().sum(per: $0.turns)).perSequence().perToken() }, []),
      ("mean-per-segment", { square($0.x.sumPerSequence().mean(per: $0.turns)).perSequence().perToken() }, []),
    ]
  }

  /// A bit for each condition.
  private static func codes(
    _ a: Condition<TokenShape>, _ b: Condition<TokenShape>, _ c: Condition<TokenShape>, _ d: Condition<TokenShape>,
    _ e: Condition<TokenShape>
  ) -> Tokens {
    let low = a.numbers + 2 * b.numbers + 4 * c.numbers
    return low + 8 * d.numbers + 16 * e.numbers
  }

  /// What a tape refuses, and a message is expected of.
  static var misuses: [(name: StaticString, loss: (Tape, inout Scalar?) -> Scalar)] {
    [
      ("none", { tape, _ in tape.current.sum() }),
      ("unnamed-need", { tape, _ in (tape.current - tape.reference).sum() }),
      ("unnamed-critic", { tape, _ in square(tape.values - tape.returns).sum() }),
      (
        "two-segmentations",
        { tape, _ in
          let lengths = tape.current.sumPerSequence()
          let one = tape.segmentation(count: 1) { _ in 0 }
          let two = tape.segmentation(count: 2) { $0 % 2 }
          return (lengths.sum(per: one) * lengths.sum(per: two)).sum()
        }
      ),
      ("no-such-segment", { tape, _ in tape.current.sumPerSequence().sum(per: tape.segmentation(count: 2) { $0 }).sum() }),
      ("negative-segments", { tape, _ in tape.current.sumPerSequence().sum(per: tape.segmentation(count: -1) { $0 }).sum() }),
      ("clamp-bounds", { tape, _ in clamp(tape.current, 1, -1).sum() }),
      ("undeclared-stop", { tape, _ in (tape.current * stopGradient(tape.current)).sum() }),
      ("stop-of-a-metric", { tape, _ in
        tape.record(Self.valueMean, stopGradient(tape.current))
        return tape.current.sum()
      }),
      ("not-finite", { tape, _ in log(tape.current - tape.current).sum() }),
      ("no-slope", { tape, _ in sqrt(square(tape.current - tape.old)).sum() }),
      ("too-large", { tape, _ in (1e300 * tape.current).sum() }),
      (
        "kept-result",
        { tape, kept in
          if let kept { return kept }
          kept = tape.current.sum()
          return tape.current.sum()
        }
      ),
      (
        "kept-operand",
        { tape, kept in
          if let kept { return tape.current.sum() + kept }
          kept = tape.current.sum()
          return tape.current.sum()
        }
      ),
      (
        "kept-first",
        { tape, kept in
          if let kept { return kept + tape.current.sum() }
          kept = tape.current.sum()
          return tape.current.sum()
        }
      ),
    ]
  }
}
