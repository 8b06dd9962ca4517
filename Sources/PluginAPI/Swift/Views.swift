/// A lent array. Empty where the host has nothing to give because the instance does not need it.
@safe public struct Values<Element: BitwiseCopyable> {
  private let start: UnsafePointer<Element>?
  public let count: Int

  init(_ start: UnsafePointer<Element>?, _ count: Int) {
    unsafe self.start = unsafe start
    self.count = unsafe start == nil ? 0 : count
  }

  @inline(__always)
  public subscript(index: Int) -> Element {
    precondition(index >= 0 && index < count)
    return unsafe start.unsafelyUnwrapped[index]
  }
}

/// A lent array to write to.
@safe public struct Output<Element: BitwiseCopyable> {
  private let start: UnsafeMutablePointer<Element>?
  public let count: Int

  init(_ start: UnsafeMutablePointer<Element>?, _ count: Int, filledWith value: Element) {
    unsafe self.start = unsafe start
    self.count = unsafe start == nil ? 0 : count
    unsafe start?.update(repeating: value, count: count)
  }

  @inline(__always)
  public subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count)
      return unsafe start.unsafelyUnwrapped[index]
    }
    nonmutating set {
      precondition(index >= 0 && index < count)
      unsafe start.unsafelyUnwrapped[index] = newValue
    }
  }

  /// Writes one value to a range, such as the tokens of a sequence.
  public func fill(_ range: Range<Int>, _ value: Element) {
    for index in range { self[index] = value }
  }
}

/// Which groups to keep; all of them when the call begins.
public struct Selection {
  let flags: Output<UInt8>

  public subscript(group: Int) -> Bool {
    get { flags[group] != 0 }
    nonmutating set { flags[group] = newValue ? 1 : 0 }
  }
}
