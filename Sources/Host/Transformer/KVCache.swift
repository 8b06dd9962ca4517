import Compute
import Support

/// Keys and values of all layers for a number of sequences ("slots") of up to `capacity` positions.
package final class KVCache: Sendable {
  package let layers: [CacheLayer]
  package let slots: Int
  package var capacity: Int { layers[0].capacity }

  package init(_ configuration: ModelConfiguration, slots: Int, capacity: Int, on backend: any Backend) throws(Failure) {
    var layers: [CacheLayer] = []
    for _ in 0..<configuration.layerCount {
      layers.append(try backend.makeCache(configuration.heads, slots: slots, capacity: capacity))
    }
    self.layers = layers
    self.slots = slots
  }

  /// Bytes for one slot of `capacity` positions of so many bytes an element.
  package static func bytesPerSlot(_ configuration: ModelConfiguration, capacity: Int, elementBytes: Int) -> Int {
    let rounded = (capacity + 15) / 16 * 16
    return configuration.layerCount * 2 * configuration.heads.keyValueHeads * configuration.heads.channels * rounded * elementBytes
  }
}
