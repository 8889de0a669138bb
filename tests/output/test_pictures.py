"""Pictures show what is there, where it is, and survive what a model in training may produce."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tiny import LEVELS_32KHZ

from snac_plugin.levels import Levels
from snac_plugin.output import pictures
from snac_plugin.output.pictures import sample_picture, save_picture
from snac_plugin.spectra.mel import mel_spectrogram


@pytest.fixture(autouse=True)
def full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """As users get them, not as small as other tests draw them."""
    monkeypatch.setattr(pictures, "DPI", 160)


def to_image(figure: Figure) -> np.ndarray:
    """The pixels of a figure, uint8 [H, W, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def tone(hertz: float, seconds: float, sample_rate: int) -> torch.Tensor:
    return torch.sin(2 * torch.pi * hertz * torch.arange(round(seconds * sample_rate)) / sample_rate)


def pixels(figure: Figure) -> Callable[[int, float, float], np.ndarray]:
    """A function (axis, x, y) -> the pixel at a place given in that axis' own units."""
    image = to_image(figure)

    def at(axis: int, x: float, y: float) -> np.ndarray:
        column, row = figure.axes[axis].transData.transform((x, y))
        return image[image.shape[0] - 1 - round(row), round(column)].astype(int)

    return at


@pytest.mark.parametrize("hertz", [60.0, 440.0, 3000.0, 12000.0])
def test_a_full_scale_tone_is_at_its_place_on_the_frequency_axis_and_at_0_db(hertz: float) -> None:
    spectrum = mel_spectrogram(tone(hertz, 1.0, 32000), 32000)
    column = spectrum[:, spectrum.shape[1] // 2]
    figure = sample_picture(tone(hertz, 1.0, 32000), 32000)
    labels = {
        label.get_text(): place for label, place in zip(figure.axes[0].get_yticklabels(), figure.axes[0].get_yticks(), strict=True)
    }
    assert abs(column.max()) < 4
    # the tone lies between the labels that enclose it
    values = {float(text.split()[0]) * (1000 if "kHz" in text else 1): place for text, place in labels.items()}
    below, above = [p for f, p in values.items() if f <= hertz], [p for f, p in values.items() if f >= hertz]
    assert max(below, default=0) - 1.5 <= int(column.argmax()) <= min(above, default=160) + 1.5


def test_a_click_is_at_its_time() -> None:
    audio = torch.zeros(32000)
    audio[24000] = 1.0
    spectrum = mel_spectrogram(audio, 32000)
    assert spectrum.mean(0).argmax() / spectrum.shape[1] == pytest.approx(0.75, abs=0.02)


def test_each_code_is_drawn_where_it_sounds_and_as_wide_as_it_lasts(levels: Levels) -> None:
    frames = 4
    ragged = [torch.randint(0, 2, (1, frames * count)) * (levels.codebook_size - 1) for count in levels.per_frame]
    seconds = frames * levels.frame_samples / levels.sample_rate
    figure = sample_picture(torch.zeros(frames * levels.frame_samples), levels.sample_rate, levels.pack(ragged)[0], levels)
    colour = pixels(figure)
    for level, codes in enumerate(ragged):
        lasts = seconds / codes.shape[1]
        for index, code in enumerate(codes[0].tolist()):
            for inside in (0.25, 0.75):
                light = colour(1 + level, (index + inside) * lasts, 0.5).sum()
                assert (light > 600) == (code > 0), f"level {level}, code {index}"


def test_levels_are_named_and_say_how_long_a_code_lasts() -> None:
    figure = sample_picture(torch.zeros(12288), 32000, torch.zeros(15, 4, dtype=torch.long), LEVELS_32KHZ)
    strips = figure.axes[1:5]
    assert [axis.get_yticklabels()[0].get_text() for axis in strips] == list("ABCD")
    assert [axis.texts[0].get_text() for axis in strips] == ["96 ms", "48 ms", "24 ms", "12 ms"]


def test_the_axis_of_time_ends_with_the_audio_not_with_the_last_code() -> None:
    figure = sample_picture(torch.zeros(10000), 32000, torch.zeros(15, 4, dtype=torch.long), LEVELS_32KHZ)
    assert all(axis.get_xlim() == (0, 10000 / 32000) for axis in figure.axes[:5])


@pytest.mark.parametrize(
    "audio",
    [torch.zeros(32000), torch.zeros(1, 1), torch.randn(100), torch.randn(1, 400_000), torch.full((5000,), torch.nan)],
    ids=["silence", "one sample", "shorter than a window", "long", "not a number"],
)
def test_no_audio_breaks_the_picture(audio: torch.Tensor) -> None:
    image = to_image(sample_picture(audio, 32000, title="costs $5 and x^2_"))
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert image.shape[1] == 1200


def test_a_long_recording_takes_no_more_columns_than_a_short_one_could_show() -> None:
    assert mel_spectrogram(torch.zeros(32000 * 120), 32000).shape[1] <= 1602


def test_silence_is_dark_and_noise_is_bright() -> None:
    dark, bright = (pixels(sample_picture(x, 32000))(0, 0.5, 80).sum() for x in (torch.zeros(32000), torch.randn(32000)))
    assert dark < 100 < 350 < bright


def test_the_same_sample_gives_the_same_file(tmp_path: Path) -> None:
    audio, codes = torch.randn(12288), torch.randint(0, 4096, (15, 4))
    first, second = (save_picture(tmp_path / name, audio, 32000, codes, LEVELS_32KHZ, "a") for name in ("a.png", "b.png"))
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_what_is_new_is_marked_and_its_joins() -> None:
    """A bar above it, a line where it joins; at the end of the file there is no join."""
    plain, marked = (pixels(sample_picture(tone(440, 4, 32000), 32000, new=new)) for new in ((), ((1, 2), (3, 4))))
    for second in (0.5, 1.5, 2.5, 3.5):
        differs = (plain(0, second, 158.5) != marked(0, second, 158.5)).any()
        assert differs == (second in (1.5, 3.5))
        assert (plain(0, second, 80) == marked(0, second, 80)).all()
    for second in (1, 2, 3):
        heights = range(2, 150)
        assert sum(bool((plain(0, second, y) != marked(0, second, y)).any()) for y in heights) > 40


def test_a_part_of_a_file_lies_at_its_own_seconds() -> None:
    """A join at second 25 stands at 25, not at the 5 s after which the picture shows it."""
    figure = sample_picture(tone(440, 8, 32000), 32000, new=((25, 28),), begin=20)
    axis = figure.axes[0]
    assert axis.get_xlim() == (20, 28)
    assert tuple(axis.images[0].get_extent()[:2]) == (20, 28)
    assert [line.get_xdata()[0] for line in axis.lines] == [25]
