"""Spectra of audio: on the mel scale, and the lines of a codec's own rate."""
