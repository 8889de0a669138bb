"""Render the two recordings that the page offers: songs of the demo music that no shipped model has seen.

    python benchmarks/page_examples.py

Writes snac_plugin/interface/examples/*.ogg: 12.288 s each, two chunks of the shipped model.
"""

import tempfile
from pathlib import Path

import soundfile

from snac_plugin.data.demo_music import render_demo_music

FOLDER = Path(__file__).parents[1] / "snac_plugin" / "interface" / "examples"
RATE, FIRST, SAMPLES = 32000, 196608, 2 * 196608  # the first chunk of a song is its introduction


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    styles = ("house", "techno")
    with tempfile.TemporaryDirectory() as folder:
        kind = {"styles": styles, "tempo": 125, "key": "A minor"}
        songs = render_demo_music(Path(folder) / "songs", songs=2, seconds=24, sample_rate=RATE, split="held_out", **kind)
        for style, path in zip(styles, sorted(songs.glob("*.flac")), strict=True):
            audio, _ = soundfile.read(path, SAMPLES, FIRST)
            soundfile.write(FOLDER / f"{style}.ogg", audio, RATE, format="OGG", subtype="VORBIS")


if __name__ == "__main__":
    main()
