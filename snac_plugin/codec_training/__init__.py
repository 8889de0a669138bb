"""Training a SNAC codec with stable-audio-tools' autoencoder trainer."""
