"""Audio to codes to latents and back: loading SNAC codecs, stable-audio-tools' pretransform, streaming."""
