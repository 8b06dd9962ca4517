import CCUDA

/// The lists that attention walks on a GPU (attention_arguments.h): segments, tiles of query rows, tiles of key rows.
struct AttentionLists {
  /// Of `int32_t`, as they lie in memory: segments, query tiles, key tiles.
  private(set) var values: [Int32] = []
  let queryTiles: [(segment: Int, first: Int)]
  let keyTiles: [(segment: Int, first: Int, from: Int, end: Int)]
  /// Words of them all, and of a number for each row and head that the backward needs.
  let words: Int

  static let segmentWords = MemoryLayout<nrc_attention_segment>.stride / 4
  static let queryTileWords = MemoryLayout<nrc_attention_query_tile>.stride / 4
  static let keyTileWords = MemoryLayout<nrc_attention_key_tile>.stride / 4

  /// The kernels that walk the lists.
  enum Tiles {
    /// Those of attention.cu: a tile of queries is a run of positions.
    case plain
    /// Those of flash.cu: a run of positions and of the heads at each that share keys.
    case flash
  }

  init(_ segments: [Segment], _ heads: HeadShape, rows: Int, tiles: Tiles) {
    let share = max(1, heads.queryHeads / heads.keyValueHeads)
    // Queries of a position, and those of a tile; keys of a tile.
    let (each, queriesOfTile, keysOfTile) =
      switch tiles {
      case .plain: (1, max(1, Int(NRC_ATTENTION_QUERIES) / share), Int(NRC_ATTENTION_KEYS))
      case .flash: (share, Int(NRC_FLASH_ROWS), Int(NRC_FLASH_KEYS))
      }
    var queries: [(segment: Int, first: Int)] = []
    var keys: [(segment: Int, first: Int, from: Int, end: Int)] = []
    var first = 0
    while first < segments.count {
      let end = Self.clusterEnd(segments, first)
      for index in first..<end {
        for row in stride(from: 0, to: segments[index].length * each, by: queriesOfTile) { queries.append((index, row)) }
        for row in stride(from: 0, to: segments[index].length, by: keysOfTile) {
          keys.append((index, row, first, end))
        }
      }
      first = end
    }
    // The longest first, so that the last blocks to run are short.
    queries.sort { a, b in
      let (x, y) = (segments[a.segment].prefixLength + a.first / each, segments[b.segment].prefixLength + b.first / each)
      return x != y ? x > y : (a.segment, a.first) < (b.segment, b.first)
    }
    // A prefix, which all of its cluster sees, before what only itself sees.
    keys.sort { a, b in
      let (x, y) = (a.segment == a.from, b.segment == b.from)
      return x != y ? x : (a.segment, a.first) < (b.segment, b.first)
    }
    for segment in segments {
      for number in [segment.start, segment.length, segment.prefixStart, segment.prefixLength] {
        values.append(Int32(truncatingIfNeeded: number))
        values.append(Int32(truncatingIfNeeded: number >> 32))
      }
    }
    for tile in queries { values += [Int32(tile.segment), Int32(tile.first)] }
    for tile in keys { values += [Int32(tile.segment), Int32(tile.first), Int32(tile.from), Int32(tile.end)] }
    queryTiles = queries
    keyTiles = keys
    words = values.count + rows * heads.queryHeads
  }

  /// The segments from `first` on that share rows end before the returned one.
  private static func clusterEnd(_ segments: [Segment], _ first: Int) -> Int {
    var span = 0..<0
    func overlaps(_ start: Int, _ length: Int) -> Bool { length > 0 && start < span.upperBound && start + length > span.lowerBound }
    func cover(_ start: Int, _ length: Int) {
      guard length > 0 else { return }
      span = span.isEmpty ? start..<(start + length) : min(span.lowerBound, start)..<max(span.upperBound, start + length)
    }
    for index in first..<segments.count {
      let segment = segments[index]
      if index > first, !overlaps(segment.start, segment.length), !overlaps(segment.prefixStart, segment.prefixLength) { return index }
      cover(segment.start, segment.length)
      cover(segment.prefixStart, segment.prefixLength)
    }
    return segments.count
  }

  /// The parts of a plan's list.
  struct Parts {
    let segments, queryTiles, keyTiles, dots: IndexTensor
    let queryTileCount, keyTileCount: Int

    init(_ plan: AttentionPlan) {
      (queryTileCount, keyTileCount) = (plan.counts[0], plan.counts[1])
      var start = 0
      func next(_ words: Int) -> IndexTensor {
        defer { start += words }
        return plan.list.range(start..<(start + words))
      }
      segments = next(plan.segments * AttentionLists.segmentWords)
      queryTiles = next(queryTileCount * AttentionLists.queryTileWords)
      keyTiles = next(keyTileCount * AttentionLists.keyTileWords)
      dots = next(plan.rows * plan.heads.queryHeads)
    }
  }

  /// As `row_stride` in attention.cu.
  static func rowStride(_ channels: Int) -> Int { ((channels + 3) / 4 | 1) * 4 }
}
