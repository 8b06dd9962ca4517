/// A whole number of any size: sign and magnitude in limbs of 32 bits, least first, without zeros on top.
struct BigInteger: Sendable, Hashable, Comparable {
  private(set) var limbs: [UInt32]
  private(set) var isNegative: Bool

  static let zero = BigInteger(0)
  static let one = BigInteger(1)

  init(_ value: Int) {
    isNegative = value < 0
    let size = value.magnitude
    limbs = [UInt32(truncatingIfNeeded: size), UInt32(truncatingIfNeeded: size >> 32)]
    trim()
  }

  private init(limbs: [UInt32], isNegative: Bool) {
    self.limbs = limbs
    self.isNegative = isNegative
    trim()
  }

  /// Decimal digits, each 0 to 9.
  init(digits: some Sequence<UInt8>) {
    limbs = []
    isNegative = false
    var chunk: UInt32 = 0
    var scale: UInt32 = 1
    for digit in digits {
      chunk = chunk * 10 + UInt32(digit)
      scale *= 10
      if scale == 1_000_000_000 {
        multiplyAdd(scale, chunk)
        (chunk, scale) = (0, 1)
      }
    }
    if scale > 1 { multiplyAdd(scale, chunk) }
    trim()
  }

  private mutating func multiplyAdd(_ factor: UInt32, _ addend: UInt32) {
    var carry = UInt64(addend)
    for index in limbs.indices {
      let value = UInt64(limbs[index]) * UInt64(factor) + carry
      limbs[index] = UInt32(truncatingIfNeeded: value)
      carry = value >> 32
    }
    if carry > 0 { limbs.append(UInt32(carry)) }
  }

  private mutating func trim() {
    while limbs.last == 0 { limbs.removeLast() }
    if limbs.isEmpty { isNegative = false }
  }

  var isZero: Bool { limbs.isEmpty }
  var isOne: Bool { limbs == [1] && !isNegative }
  var isEven: Bool { (limbs.first ?? 0) & 1 == 0 }
  var magnitude: BigInteger { BigInteger(limbs: limbs, isNegative: false) }

  /// Bits of the magnitude; 0 for zero.
  var bitWidth: Int { limbs.isEmpty ? 0 : limbs.count * 32 - limbs[limbs.count - 1].leadingZeroBitCount }

  /// The value where it fits.
  var int: Int? {
    guard limbs.count <= 2 else { return nil }
    var size: UInt = 0
    for (index, limb) in limbs.enumerated() { size |= UInt(limb) << UInt(32 * index) }
    guard size <= UInt(Int.max) else { return nil }
    return isNegative ? -Int(size) : Int(size)
  }

  var text: String {
    if limbs.isEmpty { return "0" }
    var rest = limbs
    var chunks: [UInt32] = []
    while !rest.isEmpty {
      chunks.append(Self.divide(&rest, by: 1_000_000_000))
      while rest.last == 0 { rest.removeLast() }
    }
    var output = isNegative ? "-" : ""
    for (index, chunk) in chunks.reversed().enumerated() {
      let digits = String(chunk)
      output += index == 0 ? digits : String(repeating: "0", count: 9 - digits.count) + digits
    }
    return output
  }

  // MARK: Comparison

  static func < (a: BigInteger, b: BigInteger) -> Bool {
    if a.isNegative != b.isNegative { return a.isNegative }
    let order = compare(a.limbs, b.limbs)
    return a.isNegative ? order > 0 : order < 0
  }

  private static func compare(_ a: [UInt32], _ b: [UInt32]) -> Int {
    if a.count != b.count { return a.count < b.count ? -1 : 1 }
    for index in a.indices.reversed() where a[index] != b[index] { return a[index] < b[index] ? -1 : 1 }
    return 0
  }

  // MARK: Arithmetic

  static prefix func - (a: BigInteger) -> BigInteger { BigInteger(limbs: a.limbs, isNegative: !a.isNegative) }

  static func + (a: BigInteger, b: BigInteger) -> BigInteger {
    if a.isNegative == b.isNegative { return BigInteger(limbs: add(a.limbs, b.limbs), isNegative: a.isNegative) }
    return compare(a.limbs, b.limbs) >= 0
      ? BigInteger(limbs: subtract(a.limbs, b.limbs), isNegative: a.isNegative)
      : BigInteger(limbs: subtract(b.limbs, a.limbs), isNegative: b.isNegative)
  }

  static func - (a: BigInteger, b: BigInteger) -> BigInteger { a + -b }

  static func * (a: BigInteger, b: BigInteger) -> BigInteger {
    if a.isZero || b.isZero { return .zero }
    var product = [UInt32](repeating: 0, count: a.limbs.count + b.limbs.count)
    for i in a.limbs.indices {
      var carry: UInt64 = 0
      let factor = UInt64(a.limbs[i])
      for j in b.limbs.indices {
        let value = factor * UInt64(b.limbs[j]) + UInt64(product[i + j]) + carry
        product[i + j] = UInt32(truncatingIfNeeded: value)
        carry = value >> 32
      }
      product[i + b.limbs.count] = UInt32(carry)
    }
    return BigInteger(limbs: product, isNegative: a.isNegative != b.isNegative)
  }

  private static func add(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
    let short = a.count >= b.count ? b : a
    var long = a.count >= b.count ? a : b
    var carry: UInt64 = 0
    for index in long.indices {
      if index >= short.count, carry == 0 { break }
      let value = UInt64(long[index]) + (index < short.count ? UInt64(short[index]) : 0) + carry
      long[index] = UInt32(truncatingIfNeeded: value)
      carry = value >> 32
    }
    if carry > 0 { long.append(1) }
    return long
  }

  /// a − b for a ≥ b.
  private static func subtract(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
    var result = a
    var borrow: Int64 = 0
    for index in result.indices {
      if index >= b.count, borrow == 0 { break }
      var value = Int64(result[index]) - (index < b.count ? Int64(b[index]) : 0) - borrow
      borrow = value < 0 ? 1 : 0
      if value < 0 { value += 1 << 32 }
      result[index] = UInt32(value)
    }
    return result
  }

  private static func divide(_ limbs: inout [UInt32], by divisor: UInt32) -> UInt32 {
    var remainder: UInt64 = 0
    for index in limbs.indices.reversed() {
      let value = remainder << 32 | UInt64(limbs[index])
      limbs[index] = UInt32(value / UInt64(divisor))
      remainder = value % UInt64(divisor)
    }
    return UInt32(remainder)
  }

  /// Quotient towards zero and remainder with the sign of the dividend; nil for a divisor of zero.
  func dividedWithRemainder(by divisor: BigInteger) -> (quotient: BigInteger, remainder: BigInteger)? {
    if divisor.isZero { return nil }
    if Self.compare(limbs, divisor.limbs) < 0 { return (.zero, self) }
    let (quotient, remainder) = Self.divide(limbs, by: divisor.limbs)
    return (
      BigInteger(limbs: quotient, isNegative: isNegative != divisor.isNegative),
      BigInteger(limbs: remainder, isNegative: isNegative)
    )
  }

  /// Knuth, The Art of Computer Programming, volume 2, algorithm 4.3.1 D.
  private static func divide(_ dividend: [UInt32], by divisor: [UInt32]) -> (quotient: [UInt32], remainder: [UInt32]) {
    if divisor.count == 1 {
      var quotient = dividend
      let remainder = divide(&quotient, by: divisor[0])
      return (quotient, [remainder])
    }
    let shift = divisor[divisor.count - 1].leadingZeroBitCount
    let v = shifted(divisor, left: shift)
    var u = shifted(dividend, left: shift)
    if u.count == dividend.count { u.append(0) }
    let n = v.count
    let m = u.count - n - 1
    var quotient = [UInt32](repeating: 0, count: m + 1)
    for j in (0...m).reversed() {
      let top = UInt64(u[j + n]) << 32 | UInt64(u[j + n - 1])
      var estimate = top / UInt64(v[n - 1])
      var rest = top % UInt64(v[n - 1])
      while estimate >> 32 != 0 || estimate * UInt64(v[n - 2]) > (rest << 32 | UInt64(u[j + n - 2])) {
        estimate -= 1
        rest += UInt64(v[n - 1])
        if rest >> 32 != 0 { break }
      }
      var borrow: Int64 = 0
      var carry: UInt64 = 0
      for i in 0..<n {
        let product = estimate * UInt64(v[i]) + carry
        carry = product >> 32
        let value = Int64(u[i + j]) - borrow - Int64(product & 0xFFFF_FFFF)
        u[i + j] = UInt32(truncatingIfNeeded: value)
        borrow = value < 0 ? 1 : 0
      }
      let value = Int64(u[j + n]) - borrow - Int64(carry)
      u[j + n] = UInt32(truncatingIfNeeded: value)
      if value < 0 {
        estimate -= 1
        var sum: UInt64 = 0
        for i in 0..<n {
          sum += UInt64(u[i + j]) + UInt64(v[i])
          u[i + j] = UInt32(truncatingIfNeeded: sum)
          sum >>= 32
        }
        u[j + n] = UInt32(truncatingIfNeeded: UInt64(u[j + n]) + sum)
      }
      quotient[j] = UInt32(truncatingIfNeeded: estimate)
    }
    return (quotient, shifted(Array(u[..<n]), right: shift))
  }

  private static func shifted(_ limbs: [UInt32], left: Int) -> [UInt32] {
    if left == 0 { return limbs }
    var output: [UInt32] = []
    output.reserveCapacity(limbs.count + 1)
    var carry: UInt32 = 0
    for limb in limbs {
      output.append(limb << UInt32(left) | carry)
      carry = limb >> UInt32(32 - left)
    }
    if carry > 0 { output.append(carry) }
    return output
  }

  private static func shifted(_ limbs: [UInt32], right: Int) -> [UInt32] {
    if right == 0 { return limbs }
    var output = limbs
    for index in output.indices {
      let above = index + 1 < output.count ? output[index + 1] << UInt32(32 - right) : 0
      output[index] = output[index] >> UInt32(right) | above
    }
    return output
  }

  /// Times 2^bits; with negative bits the magnitude is shifted down and what falls off is lost.
  func shifted(by bits: Int) -> BigInteger {
    if bits >= 0 {
      let limbs = [UInt32](repeating: 0, count: bits / 32) + Self.shifted(limbs, left: bits % 32)
      return BigInteger(limbs: limbs, isNegative: isNegative)
    }
    let whole = -bits / 32
    if whole >= limbs.count { return .zero }
    return BigInteger(limbs: Self.shifted(Array(limbs[whole...]), right: -bits % 32), isNegative: isNegative)
  }

  func power(_ exponent: Int) -> BigInteger {
    var result = BigInteger.one
    var base = self
    var rest = exponent
    while rest > 0 {
      if rest & 1 == 1 { result = result * base }
      rest >>= 1
      if rest > 0 { base = base * base }
    }
    return result
  }

  static func greatestCommonDivisor(_ a: BigInteger, _ b: BigInteger) -> BigInteger {
    var (a, b) = (a.magnitude, b.magnitude)
    while let (_, remainder) = a.dividedWithRemainder(by: b) { (a, b) = (b, remainder) }
    return a
  }

  /// The largest whole number whose k-th power is at most this one, which must not be negative (Newton from above).
  func root(_ k: Int) -> BigInteger {
    if k == 1 || isZero || isOne { return self }
    var guess = BigInteger.one.shifted(by: (bitWidth + k - 1) / k)
    let (degree, below) = (BigInteger(k), BigInteger(k - 1))
    while let (quotient, _) = dividedWithRemainder(by: guess.power(k - 1)),
      let (next, _) = (below * guess + quotient).dividedWithRemainder(by: degree), next < guess
    {
      guess = next
    }
    return guess
  }
}
