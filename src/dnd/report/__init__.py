"""The site of a run: every unit of every layer with its evidence, made layer by layer, and read from the disk."""
