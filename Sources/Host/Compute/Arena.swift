import Support

/// The memory of a step: handed out from the bottom up, taken back in the opposite order.
///
/// Whoever opens a ``scope(_:)`` gives back all that was taken inside it when it ends; what a scope returns must have been taken
/// outside. An arena that was made as large as the step needs takes no memory of the system again; one that was not grows, and is put
/// together in one piece when it is next empty. Not for use from several threads at a time.
package final class Arena {
  package let backend: any Backend
  private var chunks: [Storage] = []
  private var chunk = 0
  /// Bytes taken of the current chunk.
  private var used = 0
  /// Bytes of the chunks before the current one.
  private var before = 0
  /// The most bytes taken at one time.
  package private(set) var peakBytes = 0

  /// How often the chunks have changed.
  private var generation = 0

  /// Where the next tensor will lie: what is taken from the same place lies at the same addresses.
  package struct Place: Hashable {
    fileprivate let generation, chunk, used: Int
  }

  package var place: Place { Place(generation: generation, chunk: chunk, used: used) }

  /// Bytes to a multiple of which each tensor is laid: a line of the cache, and what a GPU reads at once.
  private static let alignment = 64

  /// - Parameter byteCount: what a step needs, as a plan says; 0 grows as needed.
  package init(on backend: any Backend, byteCount: Int = 0) throws(Failure) {
    self.backend = backend
    if byteCount > 0 { chunks = [try backend.allocate(byteCount: byteCount)] }
  }

  /// Bytes that the arena holds.
  package var byteCount: Int { chunks.reduce(0) { $0 + $1.byteCount } }

  /// Runs a part of a step and takes back what it took.
  package func scope<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
    let mark = (chunk: chunk, used: used, before: before)
    defer {
      (chunk, used, before) = mark
      if used == 0, before == 0, chunks.count > 1 { join() }
    }
    return try body()
  }

  /// Takes back everything, for what is taken by no scope.
  package func reset() {
    (chunk, used, before) = (0, 0, 0)
    if chunks.count > 1 { join() }
  }

  /// One chunk in place of several, of the size that was needed; where there is no room for it, the chunks stay as they are.
  private func join() {
    chunks = []
    generation += 1
    if let whole = try? backend.allocate(byteCount: peakBytes) { chunks = [whole] }
  }

  private func take(_ byteCount: Int) throws(Failure) -> (storage: Storage, byteOffset: Int) {
    let size = (byteCount + Self.alignment - 1) / Self.alignment * Self.alignment
    while chunk < chunks.count, used + size > chunks[chunk].byteCount {
      before += used
      chunk += 1
      used = 0
    }
    if chunk == chunks.count {
      chunks.append(try backend.allocate(byteCount: max(size, 1 << 20, (before + size) / 4)))
      generation += 1
      used = 0
    }
    let offset = used
    used += size
    peakBytes = max(peakBytes, before + used)
    return (chunks[chunk], offset)
  }

  /// A matrix, not cleared.
  package func tensor(_ rows: Int, _ columns: Int, _ element: ElementType = .float32) throws(Failure) -> Tensor {
    let place = try take(rows * columns * element.byteCount)
    return Tensor(
      storage: place.storage, element: element, offset: place.byteOffset / element.byteCount, rows: rows, columns: columns)
  }

  /// The same of ``Backend/activation``.
  package func activations(_ rows: Int, _ columns: Int) throws(Failure) -> Tensor { try tensor(rows, columns, backend.activation) }

  package func zeros(_ rows: Int, _ columns: Int) throws(Failure) -> Tensor {
    let tensor = try tensor(rows, columns)
    backend.zero(tensor)
    return tensor
  }

  package func tensor(_ values: [Float], rows: Int, columns: Int) throws(Failure) -> Tensor {
    let tensor = try tensor(rows, columns)
    backend.upload(values, to: tensor)
    return tensor
  }

  package func indices(count: Int) throws(Failure) -> IndexTensor {
    let place = try take(count * 4)
    return IndexTensor(storage: place.storage, offset: place.byteOffset / 4, count: count)
  }

  package func indices(_ values: [Int32]) throws(Failure) -> IndexTensor {
    let tensor = try indices(count: values.count)
    backend.upload(values, to: tensor)
    return tensor
  }
}
