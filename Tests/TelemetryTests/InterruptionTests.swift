import Support
import Telemetry
import Testing

@Suite("Interruption", .serialized)
struct InterruptionTests {
  @Test("The first signal is a request that a loop can see", arguments: [SIGINT, SIGTERM, SIGHUP])
  func request(number: Int32) {
    Interruption.install()
    defer { Interruption.uninstall() }
    #expect(!Interruption.isRequested)
    // To the process: a worker thread of the test runner blocks signals.
    kill(getpid(), number)
    let clock = Stopwatch()
    while !Interruption.isRequested, clock.seconds < 10 { usleep(1000) }
    #expect(Interruption.isRequested)
  }
}
