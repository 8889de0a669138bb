"""Training with stable-audio-tools' trainer: what is drawn each step, losses, curriculum, demos."""
