"""Styles that live on their beat: pop, rock, dance, groove. The fields are explained in style.py."""

from __future__ import annotations

from .style import JAZZ, MINOR, POP, VAMP, Style

# fmt: off
BEAT_STYLES = (
    Style(
        name="pop", mood=("bright", "catchy", "upbeat"), tempo=(96, 128), modes=("major", "major", "minor"), loops=POP,
        lead=(80, 81, 73, 54, 11, 27, 65, 76), chords=(0, 1, 4, 27, 25), bass=(33, 34, 38), pad=(48, 50, 89, 52, 90),
        kits=("standard", "room", "electronic"),
        chord_patterns=("C...c...c...c...", "C..c..c...c..c..", "0.1.2.1.3.1.2.1.", "--C...c.--c...c."),
        bass_patterns=("0...0.0.0...0.0.", "0.0.0.0.0.0.0.a.", "0.....0.0...2.a."),
        grooves=(
            {"kick": "X.......X.x.....", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
            {"kick": "X..x..x.X..x....", "clap": "....X.......X...", "hat": "xoxoxoxoxoxoxoxo",
             "tambourine": "..x...x...x...x."},
        ),
    ),
    Style(
        name="rock", mood=("driving", "energetic", "raw"), tempo=(110, 152), modes=("major", "minor", "mixolydian"),
        loops=(*POP, (0, 6, 3, 0), (0, 3, 4, 3), *MINOR),
        lead=(29, 30, 27, 18, 16), chords=(29, 30, 27), bass=(33, 34), pad=(16, 18, 48),
        kits=("standard", "power", "room"),
        chord_patterns=("C.c.c.c.C.c.c.c.", "C.....c.C.....c.", "C...c.c.--c.c.c.", "C..............."),
        bass_patterns=("0.0.0.0.0.0.0.0.", "0.0.0.0.0.0.2.a.", "0...0.0.0...0.a."),
        grooves=(
            {"kick": "X.....x.X.x.....", "snare": "....X.......X...", "hat": "X.x.X.x.X.x.X.x."},
            {"kick": "X.x...x.X.x...x.", "snare": "....X.......X...", "ride": "X.x.X.x.X.x.X.x."},
        ),
        chord_size=2, strum=0.008, reverb=0.12, lead_centre=70,
    ),
    Style(
        name="metal", mood=("heavy", "dark", "aggressive"), tempo=(120, 176), modes=("minor", "minor", "dorian"),
        loops=MINOR,
        lead=(30, 29, 84, 81), chords=(30, 30, 29), bass=(34, 33), pad=(48, 52, 19), kits=("power", "standard"),
        chord_patterns=("CcccC.ccC.c.C.c.", "C.ccC.ccC.ccC.cc", "C.......C.......", "C..c..c..c..c.cc"),
        bass_patterns=("0000000000000000", "0.000.000.000.0a", "0..0..0..0..0.0."),
        grooves=(
            {"kick": "X.xxX.xxX.xxX.xx", "snare": "....X.......X...", "hat": "X...X...X...X..."},
            {"kick": "XxXxXxXxXxXxXxXx", "snare": "....X.......X...", "crash": "X.......X.......",
             "ride": "..X...X...X...X."},
        ),
        chord_size=2, density=0.7, reverb=0.1, lead_centre=72,
    ),
    Style(
        name="house", mood=("pulsing", "warm", "club"), tempo=(118, 128), modes=("minor", "dorian", "major"),
        loops=(*MINOR, (0, 5, 3, 4)),
        lead=(81, 80, 87, 62, 54, 86), chords=(1, 4, 5, 16, 62, 90), bass=(38, 39), pad=(89, 90, 95, 50),
        kits=("808", "electronic"),
        chord_patterns=("--c.--c.--c.--c.", "C..c..c...c..c..", "--C---c---C-c-c-", "C..c--c..c--c.--"),
        bass_patterns=("--0.--0.--0.--0.", "--0.--0.--8.--0.", "0..0..0.--0.8.0."),
        grooves=(
            {"kick": "X...X...X...X...", "clap": "....X.......X...", "hat": "..x...x...x...x.",
             "open hat": "..X...X...X...X."},
            {"kick": "X...X...X...X...", "clap": "....X.......X..o", "hat": "xoxoxoxoxoxoxoxo",
             "open hat": "..X...X...X...X.", "high conga": "...x..x....x..x."},
        ),
        chord_size=4, density=0.6, loose=0.0, reverb=0.18, staccato=0.7,
    ),
    Style(
        name="techno", mood=("hypnotic", "mechanical", "dark"), tempo=(124, 138), modes=("minor", "dorian"),
        loops=((0, 0, 0, 0), (0, 0, 5, 6), (0, 0, 3, 3)),
        lead=(80, 81, 87, 84, 98), chords=(81, 80, 62, 38), bass=(38, 39, 87), pad=(95, 92, 94, 99),
        kits=("808", "electronic"),
        chord_patterns=("0.2.8.2.0.2.8.3.", "--C-----c---C---", "0-1-2-0-1-2-8-2-", "C---------c-----"),
        bass_patterns=("--00--00--00--00", "0.000.000.000.00", "--0---0---0---8-"),
        grooves=(
            {"kick": "X...X...X...X...", "hat": "..x...x...x...x.", "rim": "...x..x....x.x.."},
            {"kick": "X...X...X...X...", "clap": "....X.......X...", "hat": "xxXxxxXxxxXxxxXx",
             "low conga": "..x..x....x..x.."},
        ),
        density=0.9, loose=0.0, reverb=0.2, lead_centre=67, staccato=0.5,
    ),
    Style(
        name="chiptune", mood=("playful", "retro", "fast"), tempo=(120, 168), modes=("major", "minor", "mixolydian"),
        loops=(*POP, *MINOR),
        lead=(80, 80, 81, 79), chords=(80, 82, 81), bass=(38, 80, 87), pad=(80, 82), kits=("electronic", "808"),
        chord_patterns=("0123012301230123", "0120120120120128", "0.1.2.8.0.1.2.8."),
        bass_patterns=("0.8.0.8.0.8.0.8.", "0.0.0.0.8.8.0.a."),
        grooves=(
            {"kick": "X...x...X...x...", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
            {"kick": "X..x..x.X..x..x.", "snare": "....X.......X.xx", "hat": "xxxxxxxxxxxxxxxx"},
        ),
        density=0.8, loose=0.0, reverb=0.0, lead_centre=78, staccato=0.75,
    ),
    Style(
        name="funk", mood=("groovy", "tight", "funky"), tempo=(92, 116), modes=("dorian", "mixolydian", "minor"),
        loops=(*VAMP, (0, 0, 0, 0), (0, 0, 3, 4)),
        lead=(61, 65, 56, 16, 7, 66), chords=(7, 27, 28, 4), bass=(36, 37, 33), pad=(61, 62, 16),
        chord_patterns=("--C-c--c-c--c-C-", "C-c---c-c---c-c-", "---c--C----c-cC-"),
        bass_patterns=("0..0--8.0--08-a.", "0--0..0-8-0-2.a.", "0.-8-0.0--8-0.a."),
        grooves=(
            {"kick": "X..x..x...x..x..", "snare": "....X..o.o..X..o", "hat": "xxxxxxxxxxxxxx.x",
             "open hat": "..............x."},
            {"kick": "X.x....x..x.....", "snare": ".o..X..o.o.oX...", "hat": "X.xxX.xxX.xxX.xx",
             "cowbell": "x...x...x...x..."},
        ),
        chord_size=4, density=0.7, loose=0.005, reverb=0.08, staccato=0.6,
    ),
    Style(
        name="reggae", mood=("laid-back", "sunny", "dubby"), tempo=(68, 88), modes=("major", "minor", "dorian"),
        loops=(*VAMP, (0, 4, 3, 3), (0, 3, 4, 3)),
        lead=(56, 66, 22, 27, 53), chords=(27, 16, 28), bass=(33, 38, 32), pad=(16, 18),
        chord_patterns=("--..C---..--C---", "----C.c-----C.c-", "--c---c---c---c-"),
        bass_patterns=("0...--1.2...--..", "0..0..2---0.1.2.", "--..0.1.2...0..."),
        grooves=(
            {"kick": "........X.......", "rim": "........X.......", "hat": "x.x.x.x.x.x.x.xx"},
            {"kick": "X...X...X...X...", "snare": "........X.....o.", "hat": "x.xxx.xxx.xxx.xx"},
        ),
        swing=0.58, reverb=0.2,
    ),
    Style(
        name="hip-hop", mood=("mellow", "lo-fi", "dusty"), tempo=(72, 96), modes=("minor", "dorian", "major"),
        loops=(*JAZZ, (0, 3), (0, 5, 3, 4)),
        lead=(4, 11, 5, 73, 59, 108), chords=(4, 5, 0, 26), bass=(33, 35, 39), pad=(89, 52, 49),
        kits=("808", "room", "electronic"),
        chord_patterns=("C.........c.....", "C.....c...c.....", "0..1..2...1..2.."),
        bass_patterns=("0......0..0.....", "0.....0.2....0a."),
        grooves=(
            {"kick": "X..x......x.....", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
            {"kick": "X......x..X..x..", "snare": "....X..o....X...", "hat": "x.xxx.x.x.xxx.xo"},
        ),
        swing=0.58, chord_size=4, density=0.4, loose=0.012,
    ),
    Style(
        name="synthwave", mood=("nostalgic", "neon", "cinematic"), tempo=(84, 118), modes=("minor", "minor", "major"),
        loops=(*MINOR, (5, 3, 0, 4)),
        lead=(81, 80, 62, 84, 63), chords=(90, 81, 62, 5), bass=(38, 39, 87), pad=(50, 89, 90, 95),
        kits=("electronic", "power"),
        chord_patterns=("0.1.2.3.2.1.2.1.", "C...............", "0123210121012321", "C.....c.....c..."),
        bass_patterns=("0.0.0.0.0.0.0.0.", "0.8.0.8.0.8.0.8.", "0000000000000000"),
        grooves=(
            {"kick": "X...X...X...X...", "snare": "....X.......X...", "hat": "..x...x...x...x."},
            {"kick": "X.....x.X.......", "snare": "....X.......X...", "hat": "xxxxxxxxxxxxxxxx",
             "high tom": "..............xx"},
        ),
        loose=0.0, reverb=0.28,
    ),
)
