"""Model + dataset -> numbers. The only metric state is a confusion matrix."""
