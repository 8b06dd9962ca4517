// k1, k3: J. Schulman, Approximating KL Divergence, http://joschu.net/blog/kl-approx.html

/// How far the current policy is from the one that sampled: what every clipped loss reports, over tokens or over sequences.
public struct RatioStatistics {
  private static let clipLowShare = Metric.mean("clip_low_share", "share of ratios below the clip where A < 0")
  private static let clipHighShare = Metric.mean("clip_high_share", "share of ratios above the clip where A > 0")
  private static let ratioMean = Metric.mean("ratio_mean", "mean of the ratio current / old")
  private static let ratioMax = Metric.maximum("ratio_max", "largest ratio current / old")
  private static let klOldK1 = Metric.mean("kl_old_k1", "KL(old, current) by k1: mean of old - current")
  private static let klOldK3 = Metric.mean("kl_old_k3", "KL(old, current) by k3: mean of ratio - 1 - log ratio")
  private static let clamped = Metric.sum("clamped_tokens", "log-ratios beyond ±20, which give no gradient")

  /// To declare in the plugin's ``Descriptor``.
  public static let metrics = [clipLowShare, clipHighShare, ratioMean, ratioMax, klOldK1, klOldK3, clamped]

  private var count = 0.0, low = 0.0, high = 0.0, sum = 0.0, largest = 0.0, k1 = 0.0, k3 = 0.0, beyond = 0.0

  public init() {}

  public mutating func add(
    _ ratio: Double, _ logRatio: Double, _ clippedLow: Bool, _ clippedHigh: Bool, _ inside: Bool
  ) {
    count += 1
    if clippedLow { low += 1 }
    if clippedHigh { high += 1 }
    if !inside { beyond += 1 }
    sum += ratio
    largest = max(largest, ratio)
    k1 -= logRatio
    k3 += ratio - 1 - logRatio
  }

  public func report(to metrics: Metrics) {
    metrics.record(Self.clamped, beyond)
    if count == 0 { return }
    metrics.record(Self.clipLowShare, low / count, weight: count)
    metrics.record(Self.clipHighShare, high / count, weight: count)
    metrics.record(Self.ratioMean, sum / count, weight: count)
    metrics.record(Self.ratioMax, largest, weight: count)
    metrics.record(Self.klOldK1, k1 / count, weight: count)
    metrics.record(Self.klOldK3, k3 / count, weight: count)
  }
}
