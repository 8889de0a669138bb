"""What buttons under a sample and settings put into the inputs, and what they say, without a server."""

import html
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import soundfile
from gradio.helpers import special_args
from tiny import LEVELS_32KHZ, tiny_model_config, write_tiny_codec

from snac_plugin.config import check_model_config
from snac_plugin.errors import UsageError
from snac_plugin.interface.actions import COOKIE, Actions
from snac_plugin.interface.cards import SHOWN
from snac_plugin.interface.controls import Controls
from snac_plugin.interface.history import Histories
from snac_plugin.interface.layout import EXAMPLES, lay_out
from snac_plugin.interface.modes import PLACES
from snac_plugin.interface.results import Results, Shown

TAB = gr.Request(session_hash="tab", cookies={})


@pytest.fixture
def actions(tmp_path: Path) -> Actions:
    config = tiny_model_config(write_tiny_codec(tmp_path), context_chunks=1)
    with gr.Blocks():
        return Actions(Controls(check_model_config(config), LEVELS_32KHZ), Histories(tmp_path / "out"), str, gr.HTML(), "f" * 12)


def told(actions: Actions, **settings: Any) -> tuple[dict[str, Any], str]:
    """Values of the inputs after these settings, and the line above them."""
    *values, hint = actions._settings_of_text(json.dumps({"seed": 1, **settings}), TAB)
    return {name: one.get("value") for name, one in zip(actions._controls.components, values, strict=True)}, hint["value"]


@pytest.fixture
def of_a_batch(tmp_path: Path) -> Callable[..., str]:
    """A sample's wav, with these settings beside it."""

    def written(**settings: Any) -> str:
        (tmp_path / "sample.json").write_text(json.dumps(settings))
        soundfile.write(tmp_path / "sample.wav", [0.5] * 320, 32000)
        return str(tmp_path / "sample.wav")

    return written


def test_every_handler_that_asks_for_the_request_gets_it(actions: Actions) -> None:
    """gradio gives a partial none: each recording that was put in ended in an error, and settings waited for theirs for ever."""
    with gr.Blocks() as page:
        lay_out(actions._controls)
        actions.lay_out(Results(str, gr.HTML()))
        actions.on_load(page, [gr.Button() for _ in EXAMPLES])
    asked = [one.fn for one in page.fns.values() if one.fn is not None and "request" in inspect.signature(one.fn).parameters]
    assert len(asked) > 10
    for handler in asked:
        given, _, _ = special_args(handler, [None] * (len(inspect.signature(handler).parameters) - 1), TAB)
        assert given[-1] is TAB, handler


def test_a_sample_of_a_batch_comes_with_the_whole_batch_and_that_is_said(actions: Actions, of_a_batch: Callable[..., str]) -> None:
    """One of four variations filled in the seed of another, without a word; alone it comes out otherwise."""
    whole = {"batch_size": 4, "batch_seed": 7}
    words = "number 3 of 4 made at once, from seed 7 on: only all 4 come out the same."
    values, hint = told(actions, **{**whole, "seed": 9})
    assert (values["seed"], values["batch_size"]) == (7, 4)
    assert words in hint
    assert "settings of seed 9" in hint
    seed, count, hint = actions._seed_of_current(of_a_batch(seed=9, **whole), TAB)
    assert (seed, count) == (7, 4)
    assert words in hint["value"]
    assert "Seed 7 stands for 4 samples made at once" in actions._of_fewer(7, 1, TAB)["value"]
    assert "come out as they were" in actions._of_fewer(7, 4, TAB)["value"]
    assert "value" not in actions._of_fewer(8, 1, TAB), "another seed"


def test_a_sample_that_was_made_alone_is_made_alone_again(actions: Actions, of_a_batch: Callable[..., str]) -> None:
    seed, count, hint = actions._seed_of_current(of_a_batch(seed=9, batch_size=1), TAB)
    assert (seed, count, hint["value"]) == (9, 1, "")
    assert "value" not in actions._of_fewer(9, 4, TAB)


def test_a_source_that_was_deleted_is_said_to_be_gone_and_not_the_sample(of_a_batch: Callable[..., str], tmp_path: Path) -> None:
    with gr.Blocks():
        results = Results(str, gr.HTML())
    with pytest.raises(gr.Error, match="The source of this sample is no longer here"):
        results._with_source(of_a_batch(seed=1), str(tmp_path / "gone.wav"))
    with pytest.raises(gr.Error, match="This sample is no longer here"):
        results._with_source(str(tmp_path / "gone.wav"), of_a_batch(seed=1))


def test_all_cards_stay_shown_when_one_of_them_goes(actions: Actions) -> None:
    """Whoever had asked for the older ones, and deleted one, had to ask again; a mark draws no cards, which may play."""
    mine = gr.Request(session_hash="tab", cookies={COOKIE: "a" * 32})
    history = actions.history(mine)
    assert history is not None
    history.folder.mkdir(parents=True)
    about = {"seed": 1, "seconds": 1.0, "mode": "Continue", "recordings": []}
    names = [f"s{number}" for number in range(SHOWN + 3)]
    for name in names:
        (history.folder / f"{name}.wav").touch()
    index = {"samples": [{"name": name, "audio": f"{name}.wav", **about} for name in names]}
    (history.folder / "history.json").write_text(json.dumps(index))
    with gr.Blocks():
        act = actions._act(Results(str, gr.HTML()))
    for name, every, shown in (("s0", False, SHOWN), ("s1", True, SHOWN + 1)):
        assert act(json.dumps(["delete", name, every, 0]), None, mine)[0].count("<article") == shown
    assert act(json.dumps(["mark", "s2", True, 0]), None, mine)[0] == gr.skip()
    assert [entry.name for entry in history.entries() if entry.favourite] == ["s2"]


def test_settings_of_another_model_are_told(actions: Actions) -> None:
    mine = gr.Request(session_hash="tab", cookies={COOKIE: "a" * 32})
    for fingerprint, told in (("f" * 12, False), ("e" * 12, True), (None, False)):
        settings = {"seed": 3, "checkpoint": "runs/other.ckpt", "model": {"fingerprint": fingerprint}}
        said = str(actions._settings_of_text(json.dumps(settings), mine)[-1])
        assert ("another model (other.ckpt, eeeeeeeeeeee)" in said) == told


def test_a_sample_opens_without_the_files_beside_it(of_a_batch: Callable[..., str], tmp_path: Path) -> None:
    with gr.Blocks():
        results = Results(str, gr.HTML())
    wav = of_a_batch(seed=1)
    for names in (["sample.wav", "sample.json"], ["sample.wav"]):
        shown = dict(zip(results.components, results.of([Shown(wav, str(tmp_path / "sample.png"), 1, {})]), strict=True))
        assert [Path(one).name for one in shown[results.components[4]]] == names
        assert shown[results.components[1]] is None, "the picture"
        (tmp_path / "sample.json").unlink(missing_ok=True)


def test_settings_wait_for_their_recording_and_take_no_other_that_a_button_put_in(actions: Actions) -> None:
    """An example was taken in its place, and another sample came out."""
    _, hint = told(actions, continues={"file": "/elsewhere/my song.wav"})
    assert "Put in my song.wav too" in hint
    wanted = {"edit_mode": "Continue"}
    refused = [({}, "nothing in place of my song.wav"), ({"recording": "/tmp/techno.ogg"}, "techno.ogg in place of my song.wav")]
    for values, words in refused:
        with pytest.raises(UsageError, match=words):
            actions.taken.refuse_lacking("tab", wanted | values)
    actions.taken.refuse_lacking("tab", wanted | {"recording": "/cache/my song.wav"})
    actions.taken.refuse_lacking("tab", {"edit_mode": "Vary", "recording": "/tmp/techno.ogg"})
    actions.taken.refuse_lacking("other", wanted)
    assert actions._put_in("recording")("/tmp/mine.wav", TAB)["value"] == ""
    actions.taken.refuse_lacking("tab", wanted | {"recording": "/tmp/mine.wav"})
    assert "Put in my song.wav too" in actions._put_in("recording")(None, TAB)["value"]
    with pytest.raises(UsageError, match=r"nothing in place of my song\.wav"):
        actions.taken.refuse_lacking("tab", wanted)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            '{"seed": 1, "stepz": 4}',
            'the key "stepz", expected the content of the JSON file beside a sample. Did you mean "steps"?',
        ),
        ('{"seed": 1, "steps": "many"}', "steps: found many, expected a whole number from 1 to 1,000,000, or one for each level"),
        ('{"seed": 1, "steps": [1, 2]}', "steps: found 1,2, expected one number, or one for each of the levels A, B, C, D"),
        ('{"seed": 1, "steps": 4000}', "steps: found 4000, expected 4 to 200 on the page"),
        ('{"seed": 1, "steps": {"A": 101, "B": 1, "C": 1, "D": 1}}', "steps: found 101, expected 1 to 100 on the page"),
        (
            '{"seed": 1, "seconds": 900}',
            "seconds: found 900, expected 0.048 to 7.68 on the page. `python generate.py --settings FILE`",
        ),
        ('{"seed": 1, "cfg_scale": "x"}', "cfg_scale: found x, expected a number from 0 up"),
        ('{"seed": 1, "cfg_interval": [0.5, 2]}', "cfg_interval: found 0.5,2, expected two noise levels between 0 and 1"),
        ('{"seed": 1, "cfg_interval": {"low": 1, "high": 2}}', "cfg_interval: found low=1,high=2, expected two noise levels"),
        ('{"seed": 1, "cfg_interval": 3}', "cfg_interval: found 3, expected two noise levels between 0 and 1"),
        ('{"seed": 1, "temperature": {"A": -1}}', "temperature: found -1, expected a finite number above 0"),
        ('{"seed": 1, "sampler": ["euler"]}', "sampler: found euler, expected the name of a sampler"),
        ('{"seed": 1, "sampler": "masked"}', "sampler: found 'masked', expected one of"),
        ('{"seed": 1, "guidance": 3}', "guidance: found 3, expected an object with a scale from 0 up for each condition"),
        ('{"seed": 1, "guidance": {"mood": 3}}', "guidance: found 'mood', expected one of context"),
        ('{"seed": 1, "edit": "a.wav", "repaint": [["x", 2]]}', "repaint: found x:2, expected pairs of seconds"),
        ('{"seed": 1, "edit": "a.wav", "strength": 1.5}', "strength: found 1.5, expected a number from 0 to 1"),
        ('{"seed": -5}', "seed: found -5, expected 0 or more"),
        ('{"seed": "one"}', "seed: found one, expected a whole number"),
        ('{"seed": 1, "batch_seed": "x", "batch_size": 2}', "batch_seed: found x, expected a whole number"),
        ('{"seed": 1, "batch_seed": 1}', "batch_size: found nothing, expected a whole number beside batch_seed"),
        ('{"seed": 1, "batch_seed": 1, "batch_size": 9}', "batch_size: found 9, expected 1 to 8 at once on the page"),
        ('{"seed": 1, "conditioning": [{"a": 1}]}', "expected an object, the same for all samples on the page"),
        ('{"seed": 1, "model": 5}', "model: found 5, expected an object"),
        ('{"seed": 1, "continues": "a.wav"}', 'continues: found a.wav, expected an object with the name of a "file"'),
        ('{"seed": 1,\n "steps": 4', "JSON that is cut off at line 2, column 12"),
        ('{"seed": 1,\n "ste', "JSON that is cut off at line 2, column 6"),
        ('{"seed": 1,\n steps: 4}', "JSON that is wrong at line 2, column 2"),
        ("", "found nothing"),
    ],
)
def test_what_is_wrong_with_settings_is_named_in_place_of_what_was_said_before(actions: Actions, text: str, found: str) -> None:
    *values, hint = actions._settings_of_text(text, TAB)
    assert html.unescape(hint["value"]).startswith('<p class="snac-wrong"')
    assert found in html.unescape(hint["value"])
    assert all("value" not in one for one in values), "inputs stay as they are"


def test_a_model_without_context_continues_nothing(tmp_path: Path) -> None:
    """It made a sample from nothing of such settings, and went on from no sample of its own."""
    config = tiny_model_config(write_tiny_codec(tmp_path), context_chunks=0)
    with gr.Blocks():
        actions = Actions(Controls(check_model_config(config), LEVELS_32KHZ), Histories(tmp_path / "out"), str, gr.HTML(), "f" * 12)
        actions.lay_out(results := Results(str, gr.HTML()))
    *_, hint = actions._settings_of_text('{"seed": 1, "continues": {"file": "a.wav"}}', TAB)
    assert "found a recording that is continued, expected none: this model sees no context" in hint["value"]
    assert (results.go_on.visible, results.repaint.visible) == (False, True)


def test_settings_without_a_part_to_repaint_mark_none(actions: Actions) -> None:
    """The page proposes one then, of the recording that is put in."""
    assert [told(actions)[0][name] for name in PLACES] == [None, None]
    assert [told(actions, edit="a.wav", repaint=[[1.5, 2]])[0][name] for name in PLACES] == [1.5, 2]


def test_a_key_that_nothing_reads_is_named(actions: Actions) -> None:
    assert "Nothing here reads mood_of_the_day." in told(actions, mood_of_the_day=3)[1]
