import PluginHost
import Support
import TestSupport
import Testing

/// Hosts and plugins of versions 1.0 and 1.1, each built against its own header, in all four pairs. `nr_plugin_1_0.h` is the header
/// as version 1.0 had it and never changes.
@Suite("Versions of the ABI")
struct ABITests {
  private static func header(_ version: String) -> String {
    version == "1.0" ? "\(Place.tests)/PluginHostTests/ABI/nr_plugin_1_0.h" : "\(Place.pluginHeader)/nr_plugin.h"
  }

  private func compile(_ source: String, _ version: String, _ options: String, to path: String) throws {
    let built = shell(
      "\(compiler) -std=c11 -Wall -Wextra -Werror -O1 -DHEADER='\"\(Self.header(version))\"' \(options) -o '\(path)' '\(Place.tests)/PluginHostTests/ABI/\(source)' -ldl")
    try #require(built.status == 0, "\(built.output)")
  }

  @Test(arguments: ["1.0", "1.1"], ["1.0", "1.1"])
  func aHostTakesOlderAndNewerPlugins(_ host: String, _ plugin: String) throws {
    let folder = try TrialFolder()
    try compile("plugin.c", plugin, "-shared -fPIC -DDROPPED=0", to: folder.path + "/libnr-growing.so")
    try compile("host.c", host, "", to: folder.path + "/host")
    let run = shell("'\(folder.path)/host' '\(folder.path)/libnr-growing.so'")
    // Only where both know of it do the dropped completion's three tokens not count: 2 of 5, and a loss 5/2 as large.
    let both = host == "1.1" && plugin == "1.1"
    #expect(run.status == 0 && run.output == "0 0 0 0.5 0.5 | \(both ? "2 | 0.5" : "5 | 0.2")\n", "\(run.status) \(run.output)")
  }

  @Test(arguments: ["1.0", "1.1"])
  func thisHostProvesPluginsOfBoth(_ version: String) throws {
    let folder = try TrialFolder()
    let path = folder.path + "/libnr-growing.so"
    try compile("plugin.c", version, "-shared -fPIC -DDROPPED=-1", to: path)
    let report = try PluginChecker(CheckSettings(path: path), program: Place.tool).run()
    #expect(report.passed, "\(report.text)")
    let card = try PluginCard(path, program: Place.tool)
    #expect("\(card.descriptor.abiMajor).\(card.descriptor.abiMinor)" == version)
    try compile("plugin.c", version, "-shared -fPIC -DDROPPED=0", to: path)
    let instance = try PluginInstance(try PluginLibrary(path))
    let example = Example(seed: 3)
    let stage = try instance.advantages(example.rollout)
    #expect(stage.counted == example.rollout.sequenceFlags.indices.map { version == "1.0" || $0 > 0 })
  }
}
