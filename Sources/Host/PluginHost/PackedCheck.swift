import Support

/// Checks of packed arrays, with messages that name the array.
struct PackedCheck {
  let name: String

  func length(_ found: Int, _ what: String, _ expected: Int) throws(Failure) {
    if found != expected { throw .badData("\(name): \(what): expected \(expected) elements, found \(found)") }
  }

  func offsets(_ offsets: [Int], _ what: String, into count: Int, _ of: String) throws(Failure) {
    guard let first = offsets.first, let last = offsets.last else {
      throw .badData("\(name): \(what): is empty; it holds one number more than there are parts")
    }
    if first != 0 { throw .badData("\(name): \(what): must begin with 0, begins with \(first)") }
    for index in 1..<max(offsets.count, 1) where offsets[index] < offsets[index - 1] {
      throw .badData(
        "\(name): \(what): must not fall, but \(offsets[index - 1]) is followed by \(offsets[index]) at \(index)")
    }
    if last != count { throw .badData("\(name): \(what): ends with \(last), but there are \(count) \(of)") }
  }

  func numbers(_ array: [Float]?, _ what: String, _ expected: Int) throws(Failure) {
    guard let array else { return }
    try length(array.count, what, expected)
    if let index = array.firstIndex(where: { !$0.isFinite }) {
      throw .badData("\(name): \(what): element \(index) is \(array[index]), not a finite number")
    }
  }
}
