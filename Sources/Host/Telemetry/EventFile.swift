import Support

/// What an event file can hold of a step.
package enum EventValue: Sendable {
  case scalar(String, Float)
  case histogram(String, Histogram)
  /// Markdown.
  case text(String, String)
}

/// The contents of TensorBoard's event files: `Event` messages (tensorflow/core/util/event.proto) in TFRecord frames.
package enum EventFile {
  /// The first record of every file.
  package static func header(time: Double) -> [UInt8] {
    framed(event(time: time, step: 0) { $0.text(3, "brain.Event:2") })
  }

  /// Says that a run begins again at `step`: readers drop what they have from there on.
  package static func restart(time: Double, step: Int) -> [UInt8] {
    framed(event(time: time, step: step) { $0.message(7) { $0.varint(1, 1) } })
  }

  package static func summary(time: Double, step: Int, _ values: [EventValue]) -> [UInt8] {
    framed(
      event(time: time, step: step) { event in
        event.message(5) { summary in
          for value in values { summary.message(1) { write(value, to: &$0) } }
        }
      })
  }

  private static func event(time: Double, step: Int, _ what: (inout ProtocolBuffer) -> Void) -> [UInt8] {
    var event = ProtocolBuffer()
    event.double(1, time)
    if step != 0 { event.varint(2, UInt64(bitPattern: Int64(step))) }
    what(&event)
    return event.bytes
  }

  private static func write(_ value: EventValue, to message: inout ProtocolBuffer) {
    switch value {
    case .scalar(let tag, let number):
      message.text(1, tag)
      message.float(2, number)
    case .histogram(let tag, let histogram):
      message.text(1, tag)
      message.message(5) { histogram.write(to: &$0) }
    case .text(let tag, let text):
      message.text(1, tag + "/text_summary")
      // A string tensor of shape [1]; the text plugin finds it by the metadata.
      message.message(8) { tensor in
        tensor.varint(1, 7)
        tensor.message(2) { $0.message(2) { $0.varint(1, 1) } }
        tensor.text(8, text)
      }
      message.message(9) { $0.message(1) { $0.text(1, "text") } }
    }
  }

  /// A TFRecord: length, masked checksum of the length, data, masked checksum of the data.
  private static func framed(_ data: [UInt8]) -> [UInt8] {
    let length = littleEndian(UInt64(data.count), count: 8)
    return length + littleEndian(UInt64(CRC32C.masked(length)), count: 4) + data
      + littleEndian(UInt64(CRC32C.masked(data)), count: 4)
  }

  private static func littleEndian(_ value: UInt64, count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
  }
}

/// Counts in buckets of equal width between the smallest and the largest value.
package struct Histogram: Sendable, Equatable {
  package private(set) var minimum = 0.0
  package private(set) var maximum = 0.0
  package private(set) var count = 0.0
  package private(set) var sum = 0.0
  package private(set) var sumOfSquares = 0.0
  /// Upper ends of the buckets.
  package private(set) var limits: [Double] = []
  package private(set) var counts: [Double] = []

  /// Values that are not finite are left out; nil where none is left.
  package init?(_ values: [Float], buckets: Int = 30) {
    let values = values.filter(\.isFinite)
    guard let low = values.min(), let high = values.max() else { return nil }
    (minimum, maximum) = (Double(low), Double(high))
    count = Double(values.count)
    for value in values {
      sum += Double(value)
      sumOfSquares += Double(value) * Double(value)
    }
    let buckets = low == high ? 1 : buckets
    let width = (maximum - minimum) / Double(buckets)
    limits = (1...buckets).map { $0 == buckets ? maximum : minimum + width * Double($0) }
    counts = Array(repeating: 0, count: buckets)
    for value in values {
      let bucket = width > 0 ? Int((Double(value) - minimum) / width) : 0
      counts[min(buckets - 1, max(0, bucket))] += 1
    }
  }

  fileprivate func write(to message: inout ProtocolBuffer) {
    // proto3 leaves out zeros, but tells minus zero apart.
    for (field, value) in [(1, minimum), (2, maximum), (3, count), (4, sum), (5, sumOfSquares)]
    where value.bitPattern != 0 { message.double(field, value) }
    message.doubles(6, limits)
    message.doubles(7, counts)
  }
}
