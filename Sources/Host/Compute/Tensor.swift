import Support

/// A matrix in a backend's memory: `rows` × `columns`, row-major, `stride` elements from row to row.
///
/// A view: slicing shares the storage. What has more dimensions folds them into the columns, as `[T, H·C]`.
package struct Tensor: Sendable {
  package let storage: Storage
  /// What an element is; the CPU computes on float32 alone.
  package let element: ElementType
  /// Elements from the storage's beginning.
  package let offset: Int
  package let rows: Int
  package let columns: Int
  package let stride: Int

  package init(
    storage: Storage, element: ElementType = .float32, offset: Int = 0, rows: Int, columns: Int, stride: Int? = nil
  ) {
    self.storage = storage
    self.element = element
    self.offset = offset
    self.rows = rows
    self.columns = columns
    self.stride = stride ?? columns
    let end = (offset + (rows - 1) * self.stride + columns) * element.byteCount
    precondition(rows == 0 || end <= storage.byteCount, "the view fits")
  }

  package var count: Int { rows * columns }
  package var isContiguous: Bool { stride == columns || rows <= 1 }

  package func rows(_ range: Range<Int>) -> Tensor {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows)
    return Tensor(
      storage: storage, element: element, offset: offset + range.lowerBound * stride, rows: range.count, columns: columns,
      stride: stride)
  }

  /// The same elements in rows of another length, as `[T, H·C]` is `[T·H, C]`.
  package func reshaped(columns width: Int) -> Tensor {
    precondition(isContiguous && width > 0 && count % width == 0)
    return Tensor(storage: storage, element: element, offset: offset, rows: count / width, columns: width)
  }

  /// Some elements of a flat tensor as a matrix.
  package func part(_ range: Range<Int>, columns width: Int) -> Tensor {
    precondition(isContiguous && range.lowerBound >= 0 && range.upperBound <= count)
    return Tensor(storage: storage, element: element, offset: offset + range.lowerBound, rows: range.count / max(1, width), columns: width)
  }
}

/// Whole numbers (token ids, positions, row numbers) in a backend's memory.
package struct IndexTensor: Sendable {
  package let storage: Storage
  /// Elements of four bytes from the storage's beginning.
  package let offset: Int
  package let count: Int

  package init(storage: Storage, offset: Int = 0, count: Int) {
    self.storage = storage
    self.offset = offset
    self.count = count
    precondition((offset + count) * 4 <= storage.byteCount, "the view fits")
  }

  package func prefix(_ length: Int) -> IndexTensor {
    precondition(length <= count)
    return IndexTensor(storage: storage, offset: offset, count: length)
  }

  package func range(_ range: Range<Int>) -> IndexTensor {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    return IndexTensor(storage: storage, offset: offset + range.lowerBound, count: range.count)
  }
}

/// How the elements of a weight matrix are stored.
package enum WeightFormat: Sendable, Hashable {
  case float32
  case bfloat16
  /// Blocks of four bits, made as bitsandbytes makes them; for weights that are not trained.
  case nf4(NF4Format)

  /// Bytes of an element, where each has its own.
  package var byteCount: Int? {
    switch self {
    case .float32: 4
    case .bfloat16: 2
    case .nf4: nil
    }
  }

  package var name: String {
    switch self {
    case .float32: "float32"
    case .bfloat16: "bfloat16"
    case .nf4: "nf4"
    }
  }

  /// How a backend that computes in bfloat16 keeps what was asked for in this.
  var inBFloat16: WeightFormat {
    switch self {
    case .float32, .bfloat16: .bfloat16
    case .nf4(let nf4): .nf4(NF4Format(roundsToBFloat16: true, isNested: nf4.isNested))
    }
  }
}

/// What of blocks of four bits may be one way or another.
package struct NF4Format: Sendable, Hashable {
  /// Whether products read their values rounded to bfloat16; otherwise they read the float32 values.
  package var roundsToBFloat16: Bool
  /// Whether the magnitudes of blocks are bytes themselves (double quantisation).
  package var isNested: Bool

  package init(roundsToBFloat16: Bool, isNested: Bool = true) {
    self.roundsToBFloat16 = roundsToBFloat16
    self.isNested = isNested
  }
}

/// A weight matrix `[outputs, inputs]` in the form its backend multiplies fastest; never expanded as a whole.
package struct PackedMatrix: Sendable {
  package let storage: Storage
  package let outputs: Int
  package let inputs: Int
  package let format: WeightFormat

  package init(storage: Storage, outputs: Int, inputs: Int, format: WeightFormat) {
    self.storage = storage
    self.outputs = outputs
    self.inputs = inputs
    self.format = format
  }
}

/// A run of rows that attends to itself causally and, before that, to all rows of its prefix: a prompt shared by several
/// completions. Segments that share rows stand next to each other, the prefix's own segment first.
package struct Segment: Sendable, Equatable {
  package let start: Int
  package let length: Int
  package let prefixStart: Int
  package let prefixLength: Int

  package init(start: Int, length: Int, prefixStart: Int = 0, prefixLength: Int = 0) {
    self.start = start
    self.length = length
    self.prefixStart = prefixStart
    self.prefixLength = prefixLength
  }
}

/// The segments of a batch in the form that a backend's attention walks, made once a batch for all layers and both directions.
package struct AttentionPlan: Sendable {
  package let segments: Int
  /// Rows of the batch.
  package let rows: Int
  package let heads: HeadShape
  /// The backend's own list, and what it has to know of it.
  package let list: IndexTensor
  let counts: [Int]

  init(segments: Int, rows: Int, heads: HeadShape, list: IndexTensor, counts: [Int] = []) {
    self.counts = counts
    self.segments = segments
    self.rows = rows
    self.heads = heads
    self.list = list
  }
}

/// Query heads H, key-value heads G, channels per head C.
package struct HeadShape: Sendable, Equatable {
  package let queryHeads: Int
  package let keyValueHeads: Int
  package let channels: Int

  package init(queryHeads: Int, keyValueHeads: Int, channels: Int) {
    self.queryHeads = queryHeads
    self.keyValueHeads = keyValueHeads
    self.channels = channels
  }

  /// Scores are multiplied by 1/√C.
  package var scale: Float { 1 / Float(channels).squareRoot() }
}

/// Keys and values of one layer for `slots` sequences of up to `capacity` positions.
package struct CacheLayer: Sendable {
  package let storage: Storage
  package let slots: Int
  package let capacity: Int

  package init(storage: Storage, slots: Int, capacity: Int) {
    self.storage = storage
    self.slots = slots
    self.capacity = capacity
  }
}

/// Trained matrices and the forms of them that products read, in the form that a backend's packing walks.
package struct PackingList: Sendable {
  package let items: [Repacking]
  /// The backend's own list.
  let list: Storage?

  init(_ items: [Repacking], list: Storage? = nil) {
    self.items = items
    self.list = list
  }
}

/// Parts of a flat tensor, in the form that a backend's sums over them walk.
package struct FlatParts: Sendable {
  package let ranges: [Range<Int>]
  /// The backend's own list.
  let list: Storage?

  init(_ ranges: [Range<Int>], list: Storage? = nil) {
    self.ranges = ranges
    self.list = list
  }
}

/// A trained matrix inside a flat tensor of values, and the form of it that products read.
package struct Repacking: Sendable {
  package let value: Tensor
  package let matrix: PackedMatrix

  package init(value: Tensor, matrix: PackedMatrix) {
    self.value = value
    self.matrix = matrix
  }
}

/// AdamW with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101).
package struct AdamWSettings: Sendable, Equatable {
  package var learningRate: Double
  package var beta1 = 0.9
  package var beta2 = 0.999
  package var epsilon = 1e-8
  package var weightDecay: Double

  package init(learningRate: Double, weightDecay: Double) {
    self.learningRate = learningRate
    self.weightDecay = weightDecay
  }
}

/// How a token is drawn from a row of logits. Temperature 0 takes the largest.
package struct SamplingSettings: Sendable, Hashable {
  package let temperature: Float
  package var topK: Int
  package var topP: Float

  /// The lowest temperature that is computed with; what lies between it and 0 is taken for it. Float32 logits that differ at all
  /// differ by so much at it that all probability is the likeliest token's, as it would be at any lower one, and nothing
  /// overflows.
  package static let coldest: Float = 1e-20

  /// What logits are multiplied by.
  package static func inverse(of temperature: Double) -> Float { 1 / max(Float(temperature), coldest) }

  package init(temperature: Double, topK: Int = 0, topP: Float = 1) {
    self.temperature = temperature > 0 ? max(Float(temperature), Self.coldest) : 0
    self.topK = topK
    self.topP = topP
  }
}
