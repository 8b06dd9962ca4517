import Support
import TestSupport

let goldens = Place.tests + "/SupportTests/Goldens"
