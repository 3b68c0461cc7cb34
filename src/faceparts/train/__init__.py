"""Making a model: recipes, data augmentation, the training loop and the export. Needs ``faceparts[train]``."""
