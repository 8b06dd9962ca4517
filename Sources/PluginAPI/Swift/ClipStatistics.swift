/// What a clip did, over tokens or over sequences: a clipped loss reports it, as nobody else can know its clip. Ratios and divergences
/// from the policies that acted and that is the reference are the same for every loss, so the host measures them.
public struct ClipStatistics {
  static let lowShare = Metric.mean("clip_low_share", "share of ratios below the clip where A < 0; the host's clip_low")
  static let highShare = Metric.mean("clip_high_share", "share of ratios above the clip where A > 0; the host's clip_high")
  static let clamped = Metric.sum("clamped_tokens", "log-ratios beyond ±20, which give no gradient")

  /// To declare in the plugin's ``Descriptor``.
  public static let metrics = [lowShare, highShare, clamped]

  private var count = 0.0, low = 0.0, high = 0.0, beyond = 0.0

  public init() {}

  public mutating func add(low isLow: Bool, high isHigh: Bool, inside: Bool) {
    count += 1
    if isLow { low += 1 }
    if isHigh { high += 1 }
    if !inside { beyond += 1 }
  }

  public func report(to metrics: Metrics) {
    metrics.record(Self.clamped, beyond)
    if count == 0 { return }
    metrics.record(Self.lowShare, low / count, weight: count)
    metrics.record(Self.highShare, high / count, weight: count)
  }
}
