import Support
import TestSupport
import Testing
import Training

@Suite struct LearningRateScheduleTests {
  @Test func everyFactorIsThatOfTransformersSchedules() throws {
    let rows = try #require(try JSON.read(Place.goldens + "/schedules.json").array)
    #expect(rows.count == 15)
    for row in rows {
      let schedule = LearningRateSchedule(
        shape: try #require(LearningRateSchedule.Shape(rawValue: row["shape"]?.string ?? "")),
        warmupSteps: try #require(row["warmup"]?.int), totalSteps: try #require(row["total"]?.int))
      let factors = try #require(row["factors"]?.array)
      #expect(factors.count == row["total"]?.int)
      for (step, factor) in factors.enumerated() {
        let expected = try #require(factor.double)
        #expect(abs(schedule.factor(step: step) - expected) < 1e-12, "\(schedule) at step \(step)")
      }
    }
  }

  @Test func aStepBeyondTheEndIsTheLast() {
    for shape in LearningRateSchedule.Shape.allCases {
      let schedule = LearningRateSchedule(shape: shape, warmupSteps: 2, totalSteps: 5)
      #expect(schedule.factor(step: 50) == schedule.factor(step: 5))
    }
  }
}
