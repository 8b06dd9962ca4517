/// What becomes of two neighbouring tokens: their merge's rank (lower goes first) and the token it gives.
struct MergeTable: Sendable {
  struct Merge: Sendable, Equatable {
    var rank: Int32
    var token: Int32
  }

  private struct Slot: Sendable {
    var pair = UInt64.max
    var merge = Merge(rank: 0, token: 0)
  }

  private var slots: [Slot]
  private(set) var count = 0

  init(minimumCapacity: Int = 16) {
    var capacity = 32
    while capacity < 2 * minimumCapacity { capacity *= 2 }
    slots = Array(repeating: Slot(), count: capacity)
  }

  /// The merge of two tokens; setting it again replaces it.
  subscript(left: Int32, right: Int32) -> Merge? {
    get {
      let pair = Self.pair(left, right)
      let slot = slots[place(of: pair)]
      return slot.pair == pair ? slot.merge : nil
    }
    set {
      guard let newValue else { return }
      let pair = Self.pair(left, right)
      if 2 * (count + 1) > slots.count { grow() }
      let place = place(of: pair)
      if slots[place].pair != pair { count += 1 }
      slots[place] = Slot(pair: pair, merge: newValue)
    }
  }

  static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  private func place(of pair: UInt64) -> Int {
    let mask = slots.count - 1
    let hash = pair &* 0x9E37_79B9_7F4A_7C15
    var place = Int(truncatingIfNeeded: hash >> 32) & mask
    while slots[place].pair != .max, slots[place].pair != pair { place = (place + 1) & mask }
    return place
  }

  private mutating func grow() {
    let old = slots
    slots = Array(repeating: Slot(), count: 2 * old.count)
    for slot in old where slot.pair != .max { slots[place(of: slot.pair)] = slot }
  }
}
