"""Noising, schedules, targets, losses and guidance: arithmetic on latents that knows no network."""
