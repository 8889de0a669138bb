"""What a browser made is found again, by that browser alone."""

import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import soundfile

from snac_plugin.interface.cards import SHOWN, cards, comparison, players
from snac_plugin.interface.history import GENERATIONS, Histories, History, Origin, descendants, made_from, origins
from snac_plugin.output.make_samples import Sample
from snac_plugin.output.sample_files import SampleFiles

MINE, OTHERS = "0" * 32, "1" * 32


def sample(history: History, name: str, seed: int = 1) -> Sample:
    """A sample in a history's folder, a tenth of a second long."""
    history.folder.mkdir(parents=True, exist_ok=True)
    files = SampleFiles(*(history.folder / f"{name}.{ending}" for ending in ("wav", "png", "json")))
    soundfile.write(files.wav, [0.001 * seed] * 3200, 32000)
    files.picture.touch()
    files.json.write_text(f'{{"seed": {seed}}}')
    return Sample(seed, 0.1, 0.0, {"seconds": 0.1, "seed": seed}, files)


def test_samples_survive_a_restart_and_other_browsers_see_none(tmp_path: Path) -> None:
    history = Histories(tmp_path).of(MINE)
    history.add([sample(history, "seed_1"), sample(history, "seed_2", 2)], "From nothing", [])
    history.add([sample(history, "seed_3", 3)], "Continue", [history.folder / "seed_1.wav"])
    again = Histories(tmp_path).of(MINE)
    assert [entry.name for entry in again.entries()] == ["seed_3", "seed_2", "seed_1"]
    assert Histories(tmp_path).of(OTHERS).entries() == []
    assert not any(MINE in str(path) for path in tmp_path.rglob("*")), "a path would give the secret away"


def named(tree: tuple[Origin, ...]) -> dict[str, Any]:
    return {one.name: named(one.origins) for one in tree}


def test_where_a_sample_came_from_is_followed_back_to_the_file(tmp_path: Path) -> None:
    history = Histories(tmp_path).of(MINE)
    soundfile.write(tmp_path / "song.wav", [0.5] * 3200, 32000)
    song = history.keep(tmp_path / "song.wav")
    assert song == history.keep(tmp_path / "song.wav"), "the same recording twice"
    history.add([sample(history, "one")], "Continue", [song])
    history.add([sample(history, "two", 2)], "Vary", [history.keep(history.folder / "one.wav")])
    by_name = {entry.name: entry for entry in history.entries()}
    assert named(origins(by_name["two"], by_name)) == {"one": {"song.wav": {}}}
    assert history.recording("/elsewhere/song.wav") == song
    assert history.recording("/etc/passwd") is None
    (tmp_path / "other").mkdir()
    soundfile.write(tmp_path / "other" / "song.wav", [0.25] * 3200, 32000)
    history.add([sample(history, "three", 3)], "Continue", [history.keep(tmp_path / "other" / "song.wav")])
    assert history.recording("song.wav") is None, "two recordings have that name"
    assert history.recording(str(song)) == song


def test_a_bridge_has_two_branches_and_each_sample_in_them_is_a_link_to_its_card(tmp_path: Path) -> None:
    """It was a chain of words, which lost the second recording."""
    history = Histories(tmp_path).of(MINE)
    soundfile.write(tmp_path / "song.wav", [0.5] * 3200, 32000)
    history.add([sample(history, "one")], "Continue", [history.keep(tmp_path / "song.wav")])
    history.add([sample(history, "two", 2)], "From nothing", [])
    history.add([sample(history, "three", 3)], "Bridge", [history.folder / "one.wav", history.folder / "two.wav"])
    by_name = {entry.name: entry for entry in history.entries()}
    assert named(origins(by_name["three"], by_name)) == {"one": {"song.wav": {}}, "two": {}}
    shown = cards(history, str)
    lists = '<ul><li><a href="#card-one" title="one">Continue · seed 1 · 0.1 s</a><ul><li>song.wav</li></ul></li>'
    assert f'{lists}<li><a href="#card-two" title="two">From nothing · seed 2 · 0.1 s</a></li></ul>' in shown
    assert re.findall(r'<article [^>]*id="card-(\w+)"', shown) == ["three", "two", "one"]
    history.delete("one")
    gone = '<ul><li title="one">a sample that was deleted</li>'
    assert f"from{gone}" in cards(history, str), "its bare name looked like that of a recording"


def test_cards_say_when_they_were_made_and_what_was_repainted(tmp_path: Path) -> None:
    """Two repaints of a recording could not be told apart."""
    history = Histories(tmp_path).of(MINE)
    for number, spans in enumerate(([[0.5, 1.25]], [[2, 3], [4, 5]])):
        made = sample(history, f"s{number}", number)
        made.files.json.write_text(json.dumps({"seed": number, "repaint": spans}))
        os.utime(made.files.wav, (1_000_000_000, 1_000_000_000))
        history.add([made], "Repaint", [history.folder / "s0.wav"] if number else [])
    shown = cards(history, str)
    assert re.findall(r"<b>([^<]*)</b>", shown) == ["Repaint of 2.0 to 3.0 s, 4.0 to 5.0 s", "Repaint of 0.5 to 1.2 s"]
    assert ">Repaint of 0.5 to 1.2 s · seed 0 · 0.1 s</a>" in shown, "in the tree, too"
    assert shown.count('<time datetime="2001-09-09T01:46:40+00:00">2001-09-09 01:46 UTC</time>') == 2


def test_cards_that_trees_lead_to_are_shown_however_old(tmp_path: Path) -> None:
    history, before = Histories(tmp_path).of(MINE), list[Path]()
    for number in range(SHOWN + 9):
        history.add([sample(history, f"old_{number}")], "Continue", before)
        before = [history.folder / f"old_{number}.wav"]
    for number in range(SHOWN):
        history.add([sample(history, f"new_{number}")], "From nothing", [])
    assert "old_" not in cards(history, str)
    history.add([sample(history, "last")], "Continue", before)
    shown = cards(history, str)
    links, places = (set(re.findall(pattern, shown)) for pattern in (r'href="#(card-\w+)"', r'id="(card-\w+)"'))
    assert {"card-old_0", f"card-old_{SHOWN + 8}"} <= links <= places
    tree = shown.split('id="card-last"')[1].split("</article>")[0]
    assert tree.count("href=") == GENERATIONS
    assert "<li>…</li>" in tree


def test_a_picture_that_is_lost_takes_no_card_with_it(tmp_path: Path) -> None:
    """The whole history was an error."""

    def serve(path: Path) -> str:
        path.read_bytes()
        return str(path)

    history = Histories(tmp_path).of(MINE)
    history.add([sample(history, "one"), sample(history, "two", 2)], "From nothing", [])
    (history.folder / "one.png").unlink()
    shown = cards(history, serve)
    assert (shown.count("<article"), shown.count("<img")) == (2, 1)


def test_players_of_loops_repeat(tmp_path: Path) -> None:
    history = Histories(tmp_path).of(MINE)
    history.add([sample(history, "one")], "Loop", [])
    history.add([sample(history, "two", 2)], "Continue", [])
    assert re.findall(r'class="snac-repeat([^"]*)"', cards(history, str)) == ["", " snac-on"]


def test_favourites_and_deleting(tmp_path: Path) -> None:
    history = Histories(tmp_path).of(MINE)
    history.add([sample(history, "one"), sample(history, "two", 2)], "From nothing", [])
    history.mark("one")
    assert [entry.favourite for entry in history.entries()] == [False, True]
    history.delete("two")
    history.delete("../one")  # no name of a sample: nothing happens
    assert [entry.name for entry in history.entries()] == ["one"]
    assert sorted(path.name for path in history.folder.iterdir()) == ["history.json", "one.json", "one.png", "one.wav"]


def test_a_sample_that_is_made_again_stays_a_favourite(tmp_path: Path) -> None:
    history = Histories(tmp_path).of(MINE)
    history.add([sample(history, "one"), sample(history, "two", 2)], "From nothing", [])
    history.mark("one")
    history.add([sample(history, "one"), sample(history, "two", 2)], "From nothing", [])
    assert [(entry.name, entry.favourite) for entry in history.entries()] == [("two", False), ("one", True)]


def test_how_many_samples_came_from_one_is_asked_before_it_is_deleted(tmp_path: Path) -> None:
    history = Histories(tmp_path).of(MINE)
    for name, before in (("one", []), ("two", ["one"]), ("three", ["one"]), ("four", ["two", "three"])):
        history.add([sample(history, name)], "Bridge", [history.folder / f"{one}.wav" for one in before])
    made = made_from(history.entries())
    counts = {entry.name: descendants(entry.name, made) for entry in history.entries()}
    assert counts == {"one": 3, "two": 1, "three": 1, "four": 0}
    assert re.findall(r'data-later="(\d)"', cards(history, str)) == ["0", "1", "1", "3"]


def test_a_zip_holds_all_samples_and_nothing_else(tmp_path: Path) -> None:
    history = Histories(tmp_path).of(MINE)
    history.add([sample(history, "one"), sample(history, "two", 2)], "From nothing", [])
    (history.folder / "three.wav.part").touch()
    history.pack(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert sorted(archive.namelist()) == [f"{name}.{end}" for name in ("one", "two") for end in ("json", "png", "wav")]
        assert archive.read("two.wav") == (history.folder / "two.wav").read_bytes()


def test_a_zip_holds_the_recordings_that_samples_came_from(tmp_path: Path) -> None:
    """Settings name a recording, and the sample could not be made again without it."""
    history = Histories(tmp_path).of(MINE)
    soundfile.write(tmp_path / "song.wav", [0.5] * 3200, 32000)
    song = history.keep(tmp_path / "song.wav")
    history.add([sample(history, "one")], "Continue", [song])
    history.add([sample(history, "two", 2)], "Bridge", [history.folder / "one.wav", song])
    history.pack(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".wav")]
        assert sorted(names) == sorted(["one.wav", song.relative_to(history.folder).as_posix(), "two.wav"])
        assert archive.read(song.relative_to(history.folder).as_posix()) == (tmp_path / "song.wav").read_bytes()


def test_names_of_uploads_cannot_put_markup_on_the_page(tmp_path: Path) -> None:
    history = Histories(tmp_path).of(MINE)
    name = "<img src=x onerror=alert(1)>"
    history.add([sample(history, name)], "Continue", [])
    shown = cards(history, str)
    assert name not in shown
    assert "&lt;img" in shown


def test_names_of_sounds_cannot_put_markup_on_the_page_either() -> None:
    bad = ('"><script>', "/tmp/a b.wav")
    for shown in (players([bad]), comparison(bad, bad)):
        assert "<script>" not in shown
        assert "file=/tmp/a%20b.wav" in shown


def test_copies_that_no_sample_came_from_go(tmp_path: Path) -> None:
    history = Histories(tmp_path).of(MINE)
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", [0.5 if name == "a" else 0.25] * 3200, 32000)
    used, unused = (history.keep(tmp_path / f"{name}.wav") for name in "ab")
    history.add([sample(history, "one")], "Continue", [used])
    history.let_go([used, unused, history.folder / "one.wav"])
    assert used.is_file()
    assert (history.folder / "one.wav").is_file()
    assert not unused.parent.exists()


def test_the_copy_of_a_recording_goes_with_the_last_sample_that_came_from_it(tmp_path: Path) -> None:
    """An upload stayed on the server for ever, where its browser could no longer find it."""
    history = Histories(tmp_path).of(MINE)
    soundfile.write(tmp_path / "a.wav", [0.5] * 3200, 32000)
    kept = history.keep(tmp_path / "a.wav")
    history.add([sample(history, "one"), sample(history, "two", 2)], "Continue", [kept])
    history.let_go([kept])
    history.delete("one")
    assert kept.is_file()
    assert history.keep(tmp_path / "a.wav") == kept  # another request begins
    history.delete("two")
    assert kept.is_file(), "it was taken from under a request that reads it"
    history.let_go([kept])
    assert not kept.parent.exists()


def test_an_upload_that_is_named_as_a_sample_is_no_sample(tmp_path: Path) -> None:
    history = Histories(tmp_path).of(MINE)
    soundfile.write(tmp_path / "one", [0.5] * 3200, 32000, format="WAV")
    history.add([sample(history, "one")], "From nothing", [])
    history.add([sample(history, "two", 2)], "Continue", [history.keep(tmp_path / "one")])
    assert 'href="#card-one"' not in cards(history, str)
    assert descendants("one", made_from(history.entries())) == 0


@pytest.mark.parametrize("content", ["", "[]", '{"samples": []}'])
def test_a_damaged_index_is_an_empty_history(tmp_path: Path, content: Any) -> None:
    history = History(tmp_path)
    (tmp_path / "history.json").write_text(content)
    assert history.entries() == []
