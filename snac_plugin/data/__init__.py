"""Audio and codes on their way to training."""
