"""Step 1 of the paper: the network, its activations, and each unit's exemplars."""
