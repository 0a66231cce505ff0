"""Step 3 of the paper: pictures of each candidate, their scores, and the description that is kept."""
