/// Some numbers of a tape, in the memory of an ``Arena``. All pointer work of the tape's passes is in here; the loops are plain ones
/// over whole arrays, made for each function that is given to them.
@safe struct Numbers {
  private let start: UnsafeMutablePointer<Double>
  let count: Int

  init(_ start: UnsafeMutablePointer<Double>, _ count: Int) {
    unsafe self.start = unsafe start
    self.count = count
  }

  @inline(__always)
  subscript(index: Int) -> Double {
    get {
      precondition(index >= 0 && index < count)
      return unsafe start[index]
    }
    nonmutating set {
      precondition(index >= 0 && index < count)
      unsafe start[index] = newValue
    }
  }

  var values: Values<Double> { unsafe Values(start, count) }

  func fill(_ value: Double) { unsafe start.update(repeating: value, count: count) }

  func copy(_ x: Values<Float>) {
    precondition(x.count == count)
    for index in 0..<count { unsafe start[index] = Double(x[index]) }
  }

  // MARK: Values

  @inline(__always)
  func set(_ x: Numbers, _ value: (Double) -> Double) {
    precondition(x.count == count)
    for index in 0..<count { unsafe start[index] = value(x.start[index]) }
  }

  @inline(__always)
  func set(_ x: Numbers, _ y: Numbers, _ value: (Double, Double) -> Double) {
    precondition(x.count == count && y.count == count)
    for index in 0..<count { unsafe start[index] = value(x.start[index], y.start[index]) }
  }

  @inline(__always)
  func set(_ x: Numbers, _ y: Numbers, where condition: Numbers) {
    precondition(x.count == count && y.count == count && condition.count == count)
    for index in 0..<count { unsafe start[index] = condition.start[index] != 0 ? x.start[index] : y.start[index] }
  }

  // MARK: Derivatives

  /// Adds `d · slope(x, y)`. Where nothing comes back nothing is passed on, whatever the slope: an infinite one beside a selection, a
  /// clamp or a minimum that did not take it does no harm.
  @inline(__always)
  func add(_ d: Numbers, _ x: Numbers, _ y: Numbers, _ slope: (Double, Double) -> Double) {
    precondition(d.count == count && x.count == count && y.count == count)
    for index in 0..<count {
      let back = unsafe d.start[index]
      let product = unsafe back * slope(x.start[index], y.start[index])
      unsafe start[index] += back == 0 ? 0 : product
    }
  }

  /// Adds what comes back where the condition holds, or where it does not.
  @inline(__always)
  func add(_ d: Numbers, where condition: Numbers, is holding: Bool) {
    precondition(d.count == count && condition.count == count)
    for index in 0..<count { unsafe start[index] += (condition.start[index] != 0) == holding ? d.start[index] : 0 }
  }

  // MARK: Ranges

  func sum(_ range: Range<Int>) -> Double {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    var sum = 0.0
    for index in range { unsafe sum += start[index] }
    return sum
  }

  /// The first in some order; nil of none.
  func extreme(_ isBefore: (Double, Double) -> Bool) -> Double? {
    if count == 0 { return nil }
    var result = unsafe start[0]
    for index in 0..<count where unsafe isBefore(start[index], result) { unsafe result = start[index] }
    return result
  }

  func add(_ value: Double, to range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    for index in range { unsafe start[index] += value }
  }
}

/// Memory for the numbers of one call, kept for the next. Blocks never move while a call lasts; a call that took several leaves one
/// that is as large as all of them.
@safe struct Arena: ~Copyable {
  private static let smallest = 1 << 12
  private var blocks: [UnsafeMutableBufferPointer<Double>] = unsafe []
  /// Of the last block.
  private var used = 0
  private var total = 0

  mutating func take(_ count: Int) -> Numbers {
    if unsafe blocks.isEmpty || blocks[blocks.count - 1].count - used < count { grow(count) }
    let start = unsafe blocks[blocks.count - 1].baseAddress.unsafelyUnwrapped + used
    // Whole lines of the cache.
    used = Swift.min(used + (count + 7) / 8 * 8, unsafe blocks[blocks.count - 1].count)
    return unsafe Numbers(start, count)
  }

  private mutating func grow(_ count: Int) {
    let size = Swift.max(count, total, Self.smallest)
    unsafe blocks.append(.allocate(capacity: size))
    total += size
    used = 0
  }

  /// Takes everything back.
  mutating func reset() {
    used = 0
    if unsafe blocks.count < 2 { return }
    let size = total
    clear()
    grow(size)
  }

  private mutating func clear() {
    for unsafe block in unsafe blocks { unsafe block.deallocate() }
    unsafe blocks.removeAll(keepingCapacity: true)
    total = 0
  }

  deinit { for unsafe block in unsafe blocks { unsafe block.deallocate() } }
}
