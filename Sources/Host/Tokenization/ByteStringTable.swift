import Support

/// Numbers byte strings 0, 1, 2, … in the order they come, and finds them again: bytes are compared, never text.
struct ByteStringTable: Sendable {
  private var slots: [Int32]
  private var bytes: [UInt8] = []
  private var ends: [Int] = []

  init(minimumCapacity: Int = 16) {
    var capacity = 32
    while capacity < 2 * minimumCapacity { capacity *= 2 }
    slots = Array(repeating: -1, count: capacity)
    ends.reserveCapacity(minimumCapacity)
  }

  var count: Int { ends.count }

  /// The string of a number.
  subscript(index: Int) -> ArraySlice<UInt8> { bytes[start(of: index)..<ends[index]] }

  func find(_ key: Span<UInt8>) -> Int? {
    let found = slots[slot(of: key)]
    return found < 0 ? nil : Int(found)
  }

  func find(_ key: [UInt8]) -> Int? { find(key.span) }

  /// The number of a string, and whether it was new.
  @discardableResult
  mutating func insert(_ key: Span<UInt8>) -> (index: Int, isNew: Bool) {
    var place = slot(of: key)
    if slots[place] >= 0 { return (Int(slots[place]), false) }
    if 2 * (count + 1) > slots.count {
      grow()
      place = slot(of: key)
    }
    slots[place] = Int32(count)
    for index in key.indices { bytes.append(key[index]) }
    ends.append(bytes.count)
    return (count - 1, true)
  }

  @discardableResult
  mutating func insert(_ key: [UInt8]) -> (index: Int, isNew: Bool) { insert(key.span) }

  private func start(of index: Int) -> Int { index == 0 ? 0 : ends[index - 1] }

  private mutating func grow() {
    slots = Array(repeating: -1, count: 2 * slots.count)
    for index in 0..<count {
      let place = slot(of: bytes.span.extracting(start(of: index)..<ends[index]))
      slots[place] = Int32(index)
    }
  }

  /// The slot that holds the key, or the free one where it belongs.
  private func slot(of key: Span<UInt8>) -> Int {
    let mask = slots.count - 1
    var place = Self.hash(key) & mask
    while slots[place] >= 0, !equals(Int(slots[place]), key) { place = (place + 1) & mask }
    return place
  }

  private func equals(_ index: Int, _ key: Span<UInt8>) -> Bool {
    let start = start(of: index)
    guard ends[index] - start == key.count else { return false }
    for offset in key.indices where bytes[start + offset] != key[offset] { return false }
    return true
  }

  /// FNV-1a with a final mix, as the low bits choose the slot.
  private static func hash(_ key: Span<UInt8>) -> Int {
    var hash = StableHash()
    hash.combine(key)
    return Int(truncatingIfNeeded: hash.value ^ (hash.value >> 32))
  }
}
