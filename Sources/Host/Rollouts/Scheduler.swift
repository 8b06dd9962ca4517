import Support

/// One completion in the making.
struct ActiveSequence {
  let request: Int
  let sample: Int
  let slot: Int32
  /// Tokens in the cache: the prompt and all but the newest token.
  var length: Int
  var newest: Int32
  let random: RandomStream
}

/// A place for a completion that is about to start.
struct Admission {
  let request: Int
  let sample: Int
  let slot: Int32
}

/// Which completion runs in which slot: requests in order, samples of a request next to each other, a finished sequence
/// leaves its slot to the next. It knows nothing of models.
struct Scheduler {
  private let samples: [Int]
  private var freeSlots: [Int32]
  private let slots: Int
  private(set) var nextRequest = 0
  private(set) var nextSample = 0

  init(samples: [Int], slots: Int) {
    self.samples = samples
    self.slots = slots
    freeSlots = (0..<Int32(slots)).reversed()
    skipEmpty()
  }

  private mutating func skipEmpty() {
    while nextRequest < samples.count, samples[nextRequest] == 0 { nextRequest += 1 }
  }

  var hasPending: Bool { nextRequest < samples.count }

  /// Slots are filled an eighth at a time, so that prompts are read several at once.
  func shouldAdmit(active: Int) -> Bool {
    hasPending && (active == 0 || freeSlots.count >= max(1, slots / 8))
  }

  mutating func admit() -> [Admission] {
    var admitted: [Admission] = []
    while hasPending, let slot = freeSlots.popLast() {
      admitted.append(Admission(request: nextRequest, sample: nextSample, slot: slot))
      nextSample += 1
      if nextSample == samples[nextRequest] {
        nextRequest += 1
        nextSample = 0
        skipEmpty()
      }
    }
    return admitted
  }

  mutating func release(_ slot: Int32) { freeSlots.append(slot) }
}
