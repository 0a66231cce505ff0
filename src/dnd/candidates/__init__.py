"""Step 2 of the paper: captions, questions, answers, and the concepts that may describe a unit."""
