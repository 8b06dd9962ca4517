/// The operations of one call in the order they were written, with their values; then, from the last to the first, their derivatives.
/// Nothing here is generic over shapes: those the compiler has checked (``Tensor``). The memory is kept from call to call.
final class Recording {
  private var nodes: [Node] = []
  private var arena = Arena()
  /// Derivatives of what has passed them on, to be used again.
  private var spare: [Numbers] = []
  /// [S + 1] into tokens.
  private var offsets: [Int] = []
  /// Of every segmentation, each sequence's segment, one segmentation after another.
  private var segments: [Int] = []
  private var segmentCounts: [Int] = []

  var sequenceCount: Int { offsets.count - 1 }
  var tokenCount: Int { offsets[offsets.count - 1] }

  /// Begins anew with a micro-batch's shape.
  func begin(_ batch: Batch) throws(PluginError) {
    nodes.removeAll(keepingCapacity: true)
    spare.removeAll(keepingCapacity: true)
    segments.removeAll(keepingCapacity: true)
    segmentCounts.removeAll(keepingCapacity: true)
    offsets.removeAll(keepingCapacity: true)
    arena.reset()
    offsets.append(0)
    for sequence in batch.sequences {
      let (start, end) = batch.bounds(of: sequence)
      if start != offsets[sequence] || end < start { throw .badArgument("token_offsets must begin with 0 and must not fall") }
      offsets.append(end)
    }
    if tokenCount != batch.tokenCount { throw .badArgument("token_offsets must end with the number of tokens") }
  }

  // MARK: - Recording

  func constant(_ count: Int, _ fill: (Numbers) -> Void) -> Int {
    let value = arena.take(count)
    fill(value)
    return append(Node(.constant, value))
  }

  func input(_ values: Values<Float>, _ inputs: StoppedGradients) -> Int {
    let index = constant(values.count) { $0.copy(values) }
    nodes[index].follows = inputs
    return index
  }

  func unary(_ operation: Operation, _ x: Int, _ a: Double = 0, _ b: Double = 0) -> Int {
    var node = Node(operation, arena.take(nodes[x].value.count))
    (node.x, node.a, node.b, node.segmentation) = (x, a, b, nodes[x].segmentation)
    return append(node, following: x)
  }

  /// Nil where the two are segments of two segmentations.
  func binary(_ operation: Operation, _ x: Int, _ y: Int, where condition: Int = 0) -> Int? {
    let (first, second) = (nodes[x], nodes[y])
    if first.value.count != second.value.count || first.segmentation != second.segmentation { return nil }
    if operation == .choice {
      let condition = nodes[condition]
      if condition.value.count != first.value.count || condition.segmentation != first.segmentation { return nil }
    }
    var node = Node(operation, arena.take(first.value.count))
    (node.x, node.y, node.condition, node.segmentation) = (x, y, condition, first.segmentation)
    return append(node, following: x, y)
  }

  /// Sums along a map, or with `.spread` the other way.
  func mapped(_ operation: Operation, _ x: Int, _ map: Map, _ count: Int) -> Int {
    var node = Node(operation, arena.take(count))
    (node.x, node.map) = (x, map)
    if operation == .sum, case .segments(let index) = map { node.segmentation = index }
    return append(node, following: x)
  }

  /// A number as many times as `y` has elements.
  func spread(_ x: Int, like y: Int) -> Int {
    let index = mapped(.spread, x, .all, nodes[y].value.count)
    nodes[index].segmentation = nodes[y].segmentation
    return index
  }

  /// The same numbers, of which no derivative is taken.
  func stopped(_ x: Int) -> Int {
    var node = Node(.constant, nodes[x].value)
    node.segmentation = nodes[x].segmentation
    node.stops = nodes[x].stops.union(nodes[x].follows)
    nodes.append(node)
    return nodes.count - 1
  }

  /// Numbers that are 1 where something holds: they have no derivative, whatever their operands have. Nil as of ``binary(_:_:_:where:)``.
  func comparison(_ comparison: Comparison, _ x: Int, _ y: Int) -> Int? {
    let (first, second) = (nodes[x], nodes[y])
    if first.value.count != second.value.count || first.segmentation != second.segmentation { return nil }
    let value = arena.take(first.value.count)
    switch comparison {
    case .less: value.set(first.value, second.value) { $0 < $1 ? 1 : 0 }
    case .lessOrEqual: value.set(first.value, second.value) { $0 <= $1 ? 1 : 0 }
    case .equal: value.set(first.value, second.value) { $0 == $1 ? 1 : 0 }
    case .and: value.set(first.value, second.value) { $0 * $1 }
    case .or: value.set(first.value, second.value) { $0 + $1 > 0 ? 1 : 0 }
    }
    var node = Node(.constant, value)
    node.segmentation = first.segmentation
    nodes.append(node)
    return nodes.count - 1
  }

  func complement(_ x: Int) -> Int {
    let value = nodes[x].value
    let index = constant(value.count) { $0.set(value) { 1 - $0 } }
    nodes[index].segmentation = nodes[x].segmentation
    return index
  }

  /// A segmentation's number; the first sequence whose segment there is not, where there is one.
  func segmentation(_ count: Int, _ segment: (Int) -> Int) -> (index: Int, wrong: Int?) {
    // All of them before any is kept: the author's function may make a segmentation itself.
    let found = (0..<sequenceCount).map(segment)
    segments += found
    segmentCounts.append(count)
    return (segmentCounts.count - 1, found.firstIndex { $0 < 0 || $0 >= count })
  }

  private func append(_ node: Node, following x: Int? = nil, _ y: Int? = nil) -> Int {
    var node = node
    for operand in [x, y] {
      guard let operand else { continue }
      node.follows.formUnion(nodes[operand].follows)
      node.stops.formUnion(nodes[operand].stops)
    }
    nodes.append(node)
    run(nodes.count - 1, .forward)
    return nodes.count - 1
  }

  // MARK: - What was recorded

  func values(_ index: Int) -> Numbers { nodes[index].value }
  func segmentation(of index: Int) -> Int { nodes[index].segmentation }
  func segmentCount(_ segmentation: Int) -> Int { segmentCounts[segmentation] }
  /// Inputs of which a part of a result's derivative was stopped.
  func stops(_ index: Int) -> StoppedGradients { nodes[index].stops }
  func follows(_ index: Int) -> StoppedGradients { nodes[index].follows }

  /// The first operation with a result that is not a finite number, and which of its numbers that is.
  var firstNotFinite: (operation: StaticString, element: Int)? {
    for node in nodes {
      for element in 0..<node.value.count where !node.value[element].isFinite { return (node.operation.name, element) }
    }
    return nil
  }

  /// The derivative by an input; nil where nothing depends on it.
  func derivative(_ index: Int) -> Numbers? { nodes[index].derivative }

  // MARK: - The passes

  /// Takes the derivatives of a number by every input.
  ///
  /// - Parameter isWatched: also says which operation was the first to give one that is not a finite number.
  func backward(from result: Int, isWatched: Bool = false) -> StaticString? {
    for index in nodes.indices { release(index) }
    guard let seed = derivative(by: result) else { return nil }
    seed.fill(1)
    for index in stride(from: result, through: 0, by: -1) {
      let node = nodes[index]
      if node.derivative == nil || node.operation == .constant { continue }
      run(index, .backward)
      if isWatched, !isFinite(nodes[node.x].derivative) || !isFinite(nodes[node.y].derivative) { return node.operation.name }
      // Everything that it went into comes later, so it is complete and nobody asks for it again.
      release(index)
    }
    return nil
  }

  private func release(_ index: Int) {
    guard let derivative = nodes[index].derivative else { return }
    nodes[index].derivative = nil
    spare.append(derivative)
  }

  private func isFinite(_ numbers: Numbers?) -> Bool {
    guard let numbers else { return true }
    for index in 0..<numbers.count where !numbers[index].isFinite { return false }
    return true
  }

  /// Where to add what comes back to an operand; nil for what has no derivative.
  private func derivative(by index: Int) -> Numbers? {
    if nodes[index].follows.isEmpty { return nil }
    if let derivative = nodes[index].derivative { return derivative }
    let count = nodes[index].value.count
    let derivative: Numbers
    if let position = spare.firstIndex(where: { $0.count == count }) {
      derivative = spare.remove(at: position)
    } else {
      derivative = arena.take(count)
    }
    derivative.fill(0)
    nodes[index].derivative = derivative
    return derivative
  }

  private func run(_ index: Int, _ pass: Pass) {
    let node = nodes[index]
    switch node.operation {
    case .constant: return
    case .affine: run(Affine.self, node, pass)
    case .part: run(Part.self, node, pass)
    case .inverse: run(Inverse.self, node, pass)
    case .exponential: run(Exponential.self, node, pass)
    case .logarithm: run(Logarithm.self, node, pass)
    case .root: run(Root.self, node, pass)
    case .square: run(Square.self, node, pass)
    case .power: run(Power.self, node, pass)
    case .hyperbolicTangent: run(HyperbolicTangent.self, node, pass)
    case .magnitude: run(Magnitude.self, node, pass)
    case .clamp: run(Clamp.self, node, pass)
    case .addition: run(Addition.self, node, pass)
    case .subtraction: run(Subtraction.self, node, pass)
    case .multiplication: run(Multiplication.self, node, pass)
    case .division: run(Division.self, node, pass)
    case .minimum: run(Minimum.self, node, pass)
    case .maximum: run(Maximum.self, node, pass)
    case .choice:
      let condition = nodes[node.condition].value
      if pass == .forward { return node.value.set(nodes[node.x].value, nodes[node.y].value, where: condition) }
      guard let d = node.derivative else { return }
      derivative(by: node.x)?.add(d, where: condition, is: true)
      derivative(by: node.y)?.add(d, where: condition, is: false)
    case .sum:
      if pass == .forward {
        node.value.fill(0)
        return addSums(of: nodes[node.x].value, to: node.value, node.map)
      }
      guard let d = node.derivative, let dx = derivative(by: node.x) else { return }
      addSpread(of: d, to: dx, node.map)
    case .spread:
      if pass == .forward {
        node.value.fill(0)
        return addSpread(of: nodes[node.x].value, to: node.value, node.map)
      }
      guard let d = node.derivative, let dx = derivative(by: node.x) else { return }
      addSums(of: d, to: dx, node.map)
    }
  }

  private func run<F: Function>(_ function: F.Type, _ node: Node, _ pass: Pass) {
    let (x, a, b) = (nodes[node.x].value, node.a, node.b)
    if pass == .forward { return node.value.set(x) { F.value($0, a, b) } }
    guard let d = node.derivative else { return }
    derivative(by: node.x)?.add(d, x, node.value) { F.slope($0, $1, a, b) }
  }

  private func run<C: Combination>(_ combination: C.Type, _ node: Node, _ pass: Pass) {
    let (x, y) = (nodes[node.x].value, nodes[node.y].value)
    if pass == .forward { return node.value.set(x, y) { C.value($0, $1) } }
    guard let d = node.derivative else { return }
    derivative(by: node.x)?.add(d, x, y) { C.slopeX($0, $1) }
    derivative(by: node.y)?.add(d, x, y) { C.slopeY($0, $1) }
  }

  // Sums and spreads are each other's derivatives.

  private func addSums(of fine: Numbers, to coarse: Numbers, _ map: Map) {
    switch map {
    case .all: coarse[0] += fine.sum(0..<fine.count)
    case .sequences:
      for sequence in 0..<sequenceCount { coarse[sequence] += fine.sum(offsets[sequence]..<offsets[sequence + 1]) }
    case .segments(let segmentation):
      for sequence in 0..<sequenceCount { coarse[segments[segmentation * sequenceCount + sequence]] += fine[sequence] }
    }
  }

  private func addSpread(of coarse: Numbers, to fine: Numbers, _ map: Map) {
    switch map {
    case .all: fine.add(coarse[0], to: 0..<fine.count)
    case .sequences:
      for sequence in 0..<sequenceCount { fine.add(coarse[sequence], to: offsets[sequence]..<offsets[sequence + 1]) }
    case .segments(let segmentation):
      for sequence in 0..<sequenceCount { fine[sequence] += coarse[segments[segmentation * sequenceCount + sequence]] }
    }
  }
}
