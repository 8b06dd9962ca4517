/// How many numbers a tensor has. The compiler keeps shapes apart: tokens and sequences do not mix.
public protocol TensorShape {}
/// A shape of any number of elements; numbers and scalars are spread over them.
public protocol ArrayShape: TensorShape {}
public enum TokenShape: ArrayShape {}
public enum SequenceShape: ArrayShape {}
public enum SegmentShape: ArrayShape {}
public enum ScalarShape: TensorShape {}

/// One number for each token of the micro-batch.
public typealias Tokens = Tensor<TokenShape>
/// One number for each sequence of the micro-batch, of empty ones too.
public typealias Sequences = Tensor<SequenceShape>
/// One number for each segment of a ``Segmentation``.
public typealias Segments = Tensor<SegmentShape>
/// One number.
public typealias Scalar = Tensor<ScalarShape>

/// Numbers on a tape, computed when they are written. Valid until the call of the loss ends.
public struct Tensor<Shape: TensorShape> {
  let tape: Tape
  let index: Int

  init(_ tape: Tape, _ index: Int) { (self.tape, self.index) = (tape, index) }

  /// The numbers themselves; none after a mistake.
  public var numbers: Values<Double> {
    guard let index = tape.own(tape, index) else { return unsafe Values(nil, 0) }
    return tape.recording.values(index).values
  }

  /// The sum of all; 0 of none. There is no mean of all: a micro-batch's mean depends on how the update was split. Divide by
  /// ``Tape/updateTokens`` or ``Tape/updateSequences``.
  public func sum() -> Scalar { Scalar(tape, tape.sum(index, .all, 1)) }
}

extension Scalar {
  /// The number itself; 0 after a mistake.
  public var value: Double {
    guard let index = tape.own(tape, index) else { return 0 }
    return tape.recording.values(index)[0]
  }
}

extension Tokens {
  /// Each sequence's sum; 0 of an empty one.
  public func sumPerSequence() -> Sequences { Sequences(tape, tape.sum(index, .sequences, tape.recording.sequenceCount)) }

  /// Each sequence's mean; 0 of an empty one.
  public func meanPerSequence() -> Sequences {
    sumPerSequence() / Sequences(tape, tape.divisors(.sequences, tape.recording.sequenceCount))
  }
}

extension Sequences {
  /// Each sequence's number at each of its tokens.
  public func perToken() -> Tokens { Tokens(tape, tape.spread(index, .sequences, tape.recording.tokenCount)) }

  /// Each segment's sum; 0 of an empty one.
  public func sum(per segmentation: Segmentation) -> Segments {
    guard tape.own(segmentation.tape, index) != nil else { return Segments(tape, 0) }
    return Segments(tape, tape.sum(index, .segments(segmentation.index), segmentation.count))
  }

  /// Each segment's mean; 0 of an empty one.
  public func mean(per segmentation: Segmentation) -> Segments {
    sum(per: segmentation) / Segments(tape, tape.divisors(.segments(segmentation.index), segmentation.count))
  }
}

extension Segments {
  /// Each segment's number at each of its sequences.
  public func perSequence() -> Sequences {
    guard let segments = tape.own(tape, index) else { return Sequences(tape, 0) }
    let segmentation = tape.recording.segmentation(of: segments)
    return Sequences(tape, tape.spread(segments, .segments(segmentation), tape.recording.sequenceCount))
  }
}

/// Which segment each sequence of the micro-batch belongs to; from ``Tape/segmentation(count:_:)``.
public struct Segmentation {
  let tape: Tape
  let index: Int
  public let count: Int
}
