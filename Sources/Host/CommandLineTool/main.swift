print("nano-reasoner")
