"""What the user asks for: the settings of a run, checked; no torch."""
