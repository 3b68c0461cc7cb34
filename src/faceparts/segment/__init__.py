"""Crops -> probabilities. One file a kind of weights file."""
