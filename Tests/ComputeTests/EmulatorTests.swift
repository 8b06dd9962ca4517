import Support
import TestSupport
import Testing

/// The emulated GPU is a judge of kernels and of the host's code, so it is judged itself: by mistakes that it must find, each beside a
/// sound form that it must pass, and by what a driver's entry points have to do.
@Suite struct EmulatorTests {
  @Test(arguments: ["planted", "driver", "products"]) func itFindsWhatItMust(_ name: String) throws {
    let folder = try TrialFolder()
    let (libraries, program) = (folder.file("libraries"), folder.file(name))
    try Files.makeDirectory(libraries)
    for library in ["libcuda.so.1", "libnvrtc.so.13", "libcublasLt.so.13"] { unsafe symlink(Emulator.path, "\(libraries)/\(library)") }
    let home = Place.tests + "/CUDAEmulator"
    let built = shell("cd '\(home)' && \(compiler) -O1 -w -o '\(program)' harness/\(name).c -ldl -lm -lpthread")
    try #require(built.status == 0, "\(built.output)")
    let found = shell("cd '\(home)' && NR_CUDA_LIBRARIES='\(libraries)' NREMU_CHECK=1 NREMU_DEVICES=2 NREMU_TIMEOUT=1 '\(program)'")
    let lines = found.output.split(separator: "\n")
    #expect(found.status == 0 && !lines.contains { $0.hasPrefix("WRONG") }, "\(lines.filter { $0.hasPrefix("WRONG") || $0.contains("FAILED") })")
    // Some number of cases, all of them.
    let last = try #require(lines.last { $0.contains("ALL PASSED") }, "\(lines.suffix(3))")
    #expect(Int(last.prefix { $0.isNumber }) ?? 0 > 40, "\(last)")
  }
}
