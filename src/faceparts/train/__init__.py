"""Making a model: recipes, augmentation, the training loop, export. Needs ``faceparts[train]``."""
