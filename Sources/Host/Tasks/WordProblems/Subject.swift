/// What the running number of a story counts.
enum Subject: String, Sendable, CaseIterable {
  /// The things the owner has.
  case things
  /// Boxes whose contents are not known yet, and boxes that were packed in the story.
  case boxes, packs
  /// The owner's money, what the owner has to pay, the price of one thing: in dollars.
  case dollars, cost, price
  /// Dollars an hour, things made an hour.
  case wage, making
  /// Pages a day, pages read, pages left.
  case reading, pages, pagesLeft
  /// Miles a day, miles walked.
  case walking, miles
  /// Minutes of practice a day, minutes in all.
  case practice, minutes
}
