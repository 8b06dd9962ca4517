import Support

/// Splits items into consecutive runs of at most `limit` rows each (an item larger than that stands alone).
///
/// The result of an update does not depend on the split: shares of the loss are divided by the totals of the update, and
/// gradients add up token after token in the same order.
package func microBatches(rows: [Int], limit: Int) -> [Range<Int>] {
  var batches: [Range<Int>] = []
  var start = 0
  var filled = 0
  for (index, count) in rows.enumerated() {
    if index > start, filled + count > limit {
      batches.append(start..<index)
      start = index
      filled = 0
    }
    filled += count
  }
  if start < rows.count { batches.append(start..<rows.count) }
  return batches
}
