import Rollouts
import Training

/// Who watches a recipe: several stages, some of which only measure.
package protocol RecipeObserver: RunObserver {
  func say(_ text: String)
  /// Progress of sampling apart from training; returns whether to go on.
  func generated(_ stage: String, _ progress: GenerationProgress) -> Bool
  /// Progress of something that is usually quick.
  func patient(_ stage: String) -> (Int, Int) -> Void
}
