import PluginHost
import Support
import TestSupport
import Testing

/// Operations of the tape, through a plugin as it is shipped. x, y and z are current, values and entropy: the inputs of a loss that have
/// derivatives. The loss is the sum of what an operation gives at each token, weighted by the advantages.
@Suite("Operations of the tape")
struct TapeTests {
  typealias Three = (x: Double, y: Double, z: Double)

  /// What an operation gives at one token, and its derivatives.
  static let elementwise: [String: (value: @Sendable (Three) -> Double, slopes: @Sendable (Three) -> Three)] = [
    "add": ({ $0.x + $0.y }, { _ in (1, 1, 0) }),
    "subtract": ({ $0.x - $0.y }, { _ in (1, -1, 0) }),
    "multiply": ({ $0.x * $0.y }, { ($0.y, $0.x, 0) }),
    "divide": ({ $0.x / $0.y }, { (1 / $0.y, -$0.x / ($0.y * $0.y), 0) }),
    "add-number": ({ $0.x + 2.5 }, { _ in (1, 0, 0) }),
    "subtract-number": ({ 5 - $0.x }, { _ in (-1, 0, 0) }),
    "multiply-number": ({ -1.5 * $0.x }, { _ in (-1.5, 0, 0) }),
    "divide-number": ({ $0.x / 4 }, { _ in (0.25, 0, 0) }),
    "divide-by": ({ 3 / $0.y }, { (0, -3 / ($0.y * $0.y), 0) }),
    "negate": ({ -$0.x }, { _ in (-1, 0, 0) }),
    "exp": ({ exp($0.x) }, { (exp($0.x), 0, 0) }),
    "log": ({ log($0.z) }, { (0, 0, 1 / $0.z) }),
    "sqrt": ({ $0.z.squareRoot() }, { (0, 0, 1 / (2 * $0.z.squareRoot())) }),
    "square": ({ $0.x * $0.x }, { (2 * $0.x, 0, 0) }),
    "pow": ({ pow($0.z, 1.7) }, { (0, 0, 1.7 * pow($0.z, 0.7)) }),
    "tanh": ({ tanh($0.x) }, { (1 / (cosh($0.x) * cosh($0.x)), 0, 0) }),
    "abs": ({ abs($0.x) }, { ($0.x < 0 ? -1 : 1, 0, 0) }),
    "clamp": ({ min(max($0.x, -0.5), 0.75) }, { ($0.x > -0.5 && $0.x < 0.75 ? 1 : 0, 0, 0) }),
    "min": ({ min($0.x, $0.y) }, { $0.x < $0.y ? (1, 0, 0) : (0, 1, 0) }),
    "max": ({ max($0.x, $0.y) }, { $0.x > $0.y ? (1, 0, 0) : (0, 1, 0) }),
    "min-number": ({ min($0.x, 0.25) }, { ($0.x < 0.25 ? 1 : 0, 0, 0) }),
    "max-number": ({ max($0.x, 0.25) }, { ($0.x > 0.25 ? 1 : 0, 0, 0) }),
    "choose": ({ $0.x > $0.y ? $0.x * $0.x : $0.x * $0.y }, { $0.x > $0.y ? (2 * $0.x, 0, 0) : ($0.y, $0.x, 0) }),
    "choose-any": ({ $0.x < 0 || $0.y >= 1 ? $0.x : -1 }, { ($0.x < 0 || $0.y >= 1 ? 1 : 0, 0, 0) }),
    "choose-not": ({ $0.x > 0.25 ? 2 : $0.y }, { (0, $0.x > 0.25 ? 0 : 1, 0) }),
    "choose-finite": ({ $0.x > -0.5 ? log($0.x + 1) : $0.x }, { ($0.x > -0.5 ? 1 / ($0.x + 1) : 1, 0, 0) }),
    "compare": ({ code($0.x, $0.y) }, { _ in (0, 0, 0) }),
    "compare-number": ({ code($0.x, 0.75) }, { _ in (0, 0, 0) }),
    "twice": (
      { $0.x * $0.x + exp($0.x) / ($0.x + 10) }, { (2 * $0.x + exp($0.x) * ($0.x + 9) / (($0.x + 10) * ($0.x + 10)), 0, 0) }
    ),
    "stop": ({ $0.x * $0.x * $0.y }, { ($0.x * $0.y, 0, 0) }),
  ]

  /// What an operation over many tokens gives at each of them: of x, y, z and the tokens of each sequence.
  static let structured: [String: @Sendable (_ x: [Double], _ y: [Double], _ z: [Double], _ sequences: [Range<Int>]) -> [Double]] = [
    "sum-per-sequence": { x, _, _, sequences in sequences.flatMap { tokens in tokens.map { _ in pow(sum(x, tokens), 2) } } },
    "mean-per-sequence": { x, _, _, sequences in
      sequences.flatMap { tokens in tokens.map { _ in pow(sum(x, tokens) / Double(tokens.count), 2) } }
    },
    "per-token": { x, y, _, sequences in sequences.flatMap { tokens in tokens.map { x[$0] * sum(y, tokens) } } },
    "sum": { x, y, _, _ in y.map { $0 * pow(sum(x, x.indices), 2) } },
    "add-scalar": { x, y, _, _ in x.map { 2 * ($0 + sum(y, y.indices)) } },
    "subtract-scalar": { x, y, _, _ in x.map { -pow($0 - sum(y, y.indices), 2) } },
    "multiply-scalar": { x, y, _, _ in x.map { ($0 + $0 * $0) * sum(y, y.indices) } },
    "divide-scalar": { x, y, z, _ in zip(x, z).map { $0 / exp(sum(y, y.indices)) + sum(y, y.indices) / $1 } },
    "sum-per-segment": { x, _, _, sequences in
      sequences.indices.flatMap { one in
        let total = sequences.indices.reduce(0.0) { $1 % 2 == one % 2 ? $0 + sum(x, sequences[$1]) : $0 }
        return sequences[one].map { _ in total * total }
      }
    },
    "mean-per-segment": { x, _, _, sequences in
      sequences.indices.flatMap { one in
        let members = sequences.indices.filter { $0 % 2 == one % 2 }
        let total = members.reduce(0.0) { $0 + sum(x, sequences[$1]) } / Double(members.count)
        return sequences[one].map { _ in total * total }
      }
    },
  ]

  /// A bit for each comparison that holds.
  private static func code(_ x: Double, _ y: Double) -> Double {
    (x < y ? 1 : 0) + (x <= y ? 2 : 0) + (x > y ? 4 : 0) + (x >= y ? 8 : 0) + (x == y ? 16 : 0)
  }

  private static func sum(_ x: [Double], _ tokens: Range<Int>) -> Double { tokens.reduce(0.0) { $0 + x[$1] } }

  @Test func everyOperationOfThePluginIsTriedHere() throws {
    #expect(Set(try TwinLibrary.choices(of: "operation")) == Set(Self.elementwise.keys).union(Self.structured.keys))
  }

  @Test("Values and derivatives are those of the closed form", arguments: elementwise.keys.sorted())
  func closedForms(name: String) throws {
    let form = try #require(Self.elementwise[name])
    let instance = try TwinLibrary.instance(["algorithm=operation", "operation=\(name)"])
    for seed in 0..<6 {
      let numbers = Operands(seed: UInt64(seed))
      let found = try instance.loss(numbers.batch)
      var expected = 0.0
      var size = 0.0
      for token in numbers.x.indices {
        let point = (Double(numbers.x[token]), Double(numbers.y[token]), Double(numbers.z[token]))
        let weight = Double(numbers.weights[token])
        let slopes = form.slopes(point)
        expected += weight * form.value(point)
        size += abs(weight * form.value(point))
        let pairs: [(Float?, Double)] = [
          (found.dCurrent[token], slopes.x), (found.dValues?[token], slopes.y), (found.dEntropy?[token], slopes.z),
        ]
        for (one, slope) in pairs {
          #expect(abs(Double(one ?? .nan) - weight * slope) <= 2e-7 * abs(weight * slope), "\(name) at \(point): \(String(describing: one))")
        }
      }
      #expect(abs(found.loss - expected) <= 1e-14 * size + 1e-15, "\(name): \(found.loss), expected \(expected)")
    }
  }

  @Test("Sums and spreads are what plain loops give", arguments: structured.keys.sorted())
  func loops(name: String) throws {
    let form = try #require(Self.structured[name])
    let instance = try TwinLibrary.instance(["algorithm=operation", "operation=\(name)"])
    for seed in 0..<6 {
      let numbers = Operands(seed: UInt64(seed))
      let values = form(numbers.x.map { Double($0) }, numbers.y.map { Double($0) }, numbers.z.map { Double($0) }, numbers.sequences)
      try #require(values.count == numbers.x.count)
      let terms = zip(numbers.weights, values).map { Double($0) * $1 }
      let found = try instance.loss(numbers.batch).loss
      #expect(abs(found - terms.reduce(0, +)) <= 1e-13 * terms.reduce(0) { $0 + abs($1) }, "\(name): \(found)")
    }
  }

  // Of all but "stop", where the derivative is not that of the value, and comparisons, which have none. Inputs lie on a grid of which no point is at a corner and none nearer to one than the step.
  @Test("Derivatives are the central differences of the loss", arguments: (Array(elementwise.keys) + structured.keys).sorted().filter { !["stop", "compare", "compare-number"].contains($0) })
  func centralDifferences(name: String) throws {
    let instance = try TwinLibrary.instance(["algorithm=operation", "operation=\(name)"])
    let step = Float(0x1p-10)
    var seen = 0
    for seed in 0..<3 {
      let numbers = Operands(seed: UInt64(seed))
      let found = try instance.loss(numbers.batch)
      let derivatives = [found.dCurrent, try #require(found.dValues), try #require(found.dEntropy)]
      for (input, derivative) in derivatives.enumerated() {
        let scale = derivative.reduce(0.0) { max($0, Double(abs($1))) }
        for token in derivative.indices {
          let losses = try [step, -step].map { try instance.loss(numbers.moving(input, token, by: $0).batch).loss }
          let difference = (losses[0] - losses[1]) / (2 * Double(step))
          #expect(abs(difference - Double(derivative[token])) <= 1e-4 * scale + 1e-9, "\(name): \(derivative[token]), differences give \(difference)")
          seen += derivative[token] != 0 ? 1 : 0
        }
      }
    }
    #expect(seen > 0)
  }

  @Test("At a tie the first operand has the derivative, a clamp's edges are inside, and comparisons say which they are")
  func ties() throws {
    var numbers = Operands(seed: 1)
    numbers.x = numbers.x.indices.map { $0 % 2 == 0 ? -0.5 : 0.75 }
    numbers.y = numbers.x
    for name in ["min", "max", "clamp", "abs"] {
      let found = try TwinLibrary.instance(["algorithm=operation", "operation=\(name)"]).loss(numbers.batch)
      let expected = zip(numbers.weights, numbers.x).map { name == "abs" && $1 < 0 ? -$0 : $0 }
      #expect(found.dCurrent == expected, "\(name)")
      #expect(found.dValues?.allSatisfy { $0 == 0 } == true)
    }
    for (name, expected) in [("compare", [26.0, 26]), ("compare-number", [3, 26])] {
      let found = try TwinLibrary.instance(["algorithm=operation", "operation=\(name)"]).loss(numbers.batch)
      let sum = numbers.weights.enumerated().reduce(0.0) { $0 + Double($1.element) * expected[$1.offset % 2] }
      #expect(abs(found.loss - sum) <= 1e-13, "\(name): \(found.loss), expected \(sum)")
    }
    numbers.x = numbers.x.map { _ in 0 }
    let atZero = try TwinLibrary.instance(["algorithm=operation", "operation=abs"]).loss(numbers.batch)
    #expect(atZero.dCurrent.allSatisfy { $0 == 0 })
  }

  @Test("A batch without a token, and sequences without one, give 0 and not 0/0", arguments: [[], [0], [0, 0, 0], [0, 1, 0]])
  func empty(lengths: [Int]) throws {
    for name in try TwinLibrary.choices(of: "operation") {
      let found = try TwinLibrary.instance(["algorithm=operation", "operation=\(name)"]).loss(Operands(seed: 2, lengths: lengths).batch)
      #expect(found.loss.isFinite && (lengths.contains(1) || found.loss == 0), "\(name)")
    }
  }

  @Test("A metric of a tensor is folded as it is declared; of no numbers an extreme says nothing")
  func metrics() throws {
    let instance = try TwinLibrary.instance(["algorithm=operation", "operation=negate"])
    let names = try TwinLibrary.library.descriptor.metrics.map(\.name)
    let (smallest, largest) = (try #require(names.firstIndex(of: "smallest")), try #require(names.firstIndex(of: "largest")))
    let numbers = Operands(seed: 5)
    let found = try instance.loss(numbers.batch).metrics
    #expect(found[smallest] == PluginMetricValue(value: Double(try #require(numbers.x.min())), weight: 1))
    #expect(found[largest] == PluginMetricValue(value: Double(try #require(numbers.x.max())), weight: 1))
    let empty = try instance.loss(Operands(seed: 5, lengths: [0]).batch).metrics
    #expect(empty[smallest].weight == 0 && empty[largest].weight == 0)
  }

  @Test("Memory of a larger call is used again and changes no bit")
  func reuse() throws {
    let settings = ["algorithm=operation", "operation=mean-per-segment"]
    let kept = try TwinLibrary.instance(settings)
    for lengths in [[3, 0, 2], [900, 7000, 1], [3, 0, 2], [20, 20], [9000, 7000, 1], [1]] {
      let numbers = Operands(seed: 3, lengths: lengths)
      let (again, fresh) = (try kept.loss(numbers.batch), try TwinLibrary.instance(settings).loss(numbers.batch))
      #expect(again.loss == fresh.loss && again.dCurrent == fresh.dCurrent)
    }
  }
}

@Suite("What the tape refuses")
struct TapeRefusalTests {
  static let refusals: [(misuse: String, says: String?)] = [
    ("none", nil), ("unnamed-need", "the loss reads reference, which the instance's needs do not name"),
    ("unnamed-critic", "the loss reads values, which"), ("two-segmentations", "tensors of two segmentations"),
    ("no-such-segment", "the segment of sequence 2 is not one of the segmentation's 2"),
    ("negative-segments", "a segmentation of -1 segments"), ("clamp-bounds", "clamp: the lower bound"),
    ("undeclared-stop", "add var stoppedGradients: StoppedGradients { .current }"), ("stop-of-a-metric", nil),
    ("not-finite", "the first that is none comes from log, at position 0"),
    ("no-slope", "the derivative by current at token 0 is not a finite number: the first that is none comes from sqrt"),
    ("too-large", "the derivative by current at token 0 is too large for a float"), ("kept-result", "a number of another call's tape"),
    ("kept-operand", "a tensor of another call's tape"), ("kept-first", "a number of another call's tape"),
  ]

  @Test("A mistake the compiler cannot see ends the call with one line", arguments: refusals)
  func refuses(misuse: String, says: String?) throws {
    let instance = try TwinLibrary.instance(["algorithm=misuse", "misuse=\(misuse)"])
    let batch = Operands(seed: 4, lengths: [2, 0, 3]).batch
    var found = message { () throws(Failure) in try instance.loss(batch) }
    // What is kept of a call is wrong in the next.
    if misuse.hasPrefix("kept") {
      #expect(found == nil)
      found = message { () throws(Failure) in try instance.loss(batch) }
    }
    #expect(says == nil ? found == nil : found?.contains(says!) == true, "\(misuse): \(found ?? "nothing was thrown")")
    #expect(found?.contains("\n") != true)
  }

  @Test func everyMisuseOfThePluginIsTriedHere() throws {
    #expect(Set(try TwinLibrary.choices(of: "misuse")) == Set(Self.refusals.map(\.misuse)))
  }
}

/// Three inputs and weights on grids that keep off every corner of the operations.
private struct Operands {
  var x: [Float] = []
  var y: [Float] = []
  var z: [Float] = []
  var weights: [Float] = []
  let sequences: [Range<Int>]

  init(seed: UInt64, lengths: [Int] = [3, 0, 1, 4, 1]) {
    var random = RandomStream(seed: seed)
    var sequences: [Range<Int>] = []
    for length in lengths { sequences.append((sequences.last?.upperBound ?? 0)..<((sequences.last?.upperBound ?? 0) + length)) }
    self.sequences = sequences
    for _ in 0..<lengths.reduce(0, +) {
      x.append(Float(random.next(in: -96...96)) / 64 + 1 / 256)
      let size = Float(random.next(in: 16...128)) / 64 + 3 / 256
      y.append(random.next(below: 2) == 0 ? size : -size)
      z.append(Float(random.next(in: 16...128)) / 64)
      weights.append(Float(random.nextNormal()))
    }
  }

  func moving(_ input: Int, _ token: Int, by step: Float) -> Operands {
    var moved = self
    switch input {
    case 0: moved.x[token] += step
    case 1: moved.y[token] += step
    default: moved.z[token] += step
    }
    return moved
  }

  var batch: PluginBatch {
    var rollout = PluginRollout(
      groupKeys: [1], groupOffsets: [0, sequences.count], tokenOffsets: [0] + sequences.map(\.upperBound),
      rewards: sequences.map { _ in 0 }, sequenceFlags: sequences.map { _ in 0 }, tokenLimit: 10_000)
    rollout.old = x
    rollout.values = y
    let stage = PluginAdvantages(advantages: weights, returns: y, counted: sequences.map { _ in true }, metrics: [])
    return rollout.wholeBatch(stage, current: x, entropies: z, values: y)
  }
}
