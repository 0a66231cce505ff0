"""A small synthetic world with known answers: renders, captions, concepts and the models trained on it."""
