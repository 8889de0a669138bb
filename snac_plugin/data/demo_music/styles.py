"""All styles of demo music."""

from __future__ import annotations

from .acoustic_styles import ACOUSTIC_STYLES
from .beat_styles import BEAT_STYLES

STYLES = (*BEAT_STYLES, *ACOUSTIC_STYLES)
