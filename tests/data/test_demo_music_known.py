"""Songs stay what they were: a seed gives the notes and the sound that it gave when this file was written."""

import hashlib
import json
from collections.abc import Iterable

import numpy as np
import pytest

from snac_plugin.data.demo_music.compose import compose
from snac_plugin.data.demo_music.mix import render_song
from snac_plugin.data.demo_music.render import find_soundfont
from snac_plugin.data.demo_music.sampler import Sampler
from snac_plugin.data.demo_music.song import Song
from snac_plugin.data.demo_music.soundfont import SoundFont
from snac_plugin.data.demo_music.styles import STYLES

STYLE = {style.name: style for style in STYLES}
DIGESTS = {
    "pop": "b9bf862df65f8ce9",
    "rock": "b0ed43e6c7e072a3",
    "metal": "7a8e24a3b82659ee",
    "house": "7daeb81ad8c14264",
    "techno": "d204e3cd1fe850b1",
    "chiptune": "4867d58130f6951c",
    "funk": "750f5b51c30230ea",
    "reggae": "231255b630c46b53",
    "hip-hop": "e9e4aa0a29ddcc04",
    "synthwave": "115e9b6df7a8b841",
    "jazz waltz": "bd31ec4b9e1a7286",
    "swing jazz": "c3e9130ae5093872",
    "bossa nova": "065345175a740fe2",
    "salsa": "2698d31e88378b42",
    "ambient": "9f7aced1ef8e3f0e",
    "folk": "b8da6bc6641ea1f5",
    "celtic jig": "98056e328cebb5a2",
    "country": "e4dfd76b42d8d87f",
    "orchestral": "4f539a97dd4d214a",
    "waltz": "f2744fdef39dfff1",
    "solo piano": "c2bbdbd6383d86e9",
    "lullaby": "ba47286bd3088735",
    "blues": "487163387bd64e3a",
    "world percussion": "026badf0f799094c",
    "marching band": "6ac6f8901c4fefb6",
}
SOUND = (
    -0.5344393, 0.0870441, 0.0654267, 0.1394775, 0.1976027, -0.0649143, 0.0242494, -0.0809862,
    0.2948006, 0.0162078, -0.0572515, -0.0775231, -0.0676262, 0.0519205, -0.020614, -0.0127847,
)  # fmt: skip
"""Every 8,000th sample from 1,000 on of four seconds of pop."""


def digest(songs: Iterable[Song]) -> str:
    """Hash of everything that is known about songs and of all their notes; times and loudness to a billionth."""

    def notes(part):
        return [[round(note.start, 9), round(note.seconds, 9), note.pitch, round(note.loudness, 9)] for note in part.notes]

    told = [[song.describe(), [[part.role, part.program, notes(part)] for part in song.parts]] for song in songs]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def test_styles_keep_their_order():
    assert list(STYLE) == list(DIGESTS)


@pytest.mark.parametrize("name", DIGESTS)
def test_notes_of_a_style_stay(name):
    assert digest(compose(f"0/train/{index}", 40.0, STYLE[name]) for index in range(2)) == DIGESTS[name]


def test_notes_stay_where_the_style_is_drawn_or_the_tempo_given():
    assert digest(compose(str(index), 20.0) for index in range(20)) == "b0d83dd5dde01519"
    assert digest(compose(str(index), 20.0, tempo=100) for index in range(3)) == "9c1668a63055f639"


def test_sound_stays():
    audio = render_song(compose("0/train/0", 4.0, STYLE["pop"]), Sampler(SoundFont(find_soundfont()), 32000))
    np.testing.assert_allclose(audio[1000::8000], SOUND, atol=1e-6, rtol=0)
    assert np.sqrt(np.mean(audio.astype(np.float64) ** 2)) == pytest.approx(0.12458660713, abs=1e-8)
