"""The gradio page of a model."""
