"""Whether audio has the tempo, the key and the class that its conditions ask for. Letters: P clips, S songs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config import SnacModelConfig
from snac_plugin.config.condition_values import class_weights, number_in, single
from snac_plugin.data.demo_music.theory import KEYS
from snac_plugin.evaluation import music_measures as music
from snac_plugin.evaluation.clips import AudioSet
from snac_plugin.evaluation.frechet_distance import encoder_features
from snac_plugin.evaluation.report import Table

KEY_ID = "key"
FOLDS, LEAST_OF_A_CLASS = 5, 2
Heard = Mapping[str, Sequence[music.TempoAndKey]]
"""Tempo and key of the clips of each kind of audio, by its name."""


@dataclass(frozen=True)
class Asked:
    """What is asked of each song in one condition, and how it is looked for.

    Args:
        measure: the name of the measure.
        of_songs: the condition's values [S].
        after: by kind of audio, what is heard of each clip [P].
        compare: whether a clip has what was asked.
    """

    measure: str
    of_songs: Sequence[Any]
    after: Mapping[str, Sequence[Any]]
    compare: Callable[[Any, Any], bool]


def conditions_table(
    config: SnacModelConfig,
    codec: SnacPretransform,
    kinds: Mapping[str, AudioSet],
    heard: Heard,
    of_songs: Sequence[Mapping[str, Any]],
    seed: int,
) -> Table | None:
    """Shares of clips in which a condition is heard, and in which other songs' is; None for a model without such conditions.

    Args:
        codec: whose encoder classes are told by.
        kinds: audio by name, the first of them recordings through the codec, from which classes are learnt.
        heard: tempo and key of all of them.
        of_songs: conditions of each song [S].
    """
    section, rows = config.model.conditioning, {}
    for conditioner in () if section is None else section.configs:
        assert section is not None
        other = section.default_keys.get(conditioner.id, conditioner.id)
        values = [single(said.get(conditioner.id, said.get(other))) for said in of_songs]
        if (asked := _asked(conditioner, values, codec, kinds, heard, seed)) is None:
            continue
        for name, kind in kinds.items():
            before = [asked.of_songs[song] for song in kind.songs]
            own, others = music.agreement(asked.after[name], before, kind.songs, asked.compare)
            rows[asked.measure, name] = [own, others, own - others]
    title = "**Conditions** that are heard, and those of other songs (shares of clips)"
    columns = ("condition", "audio", "as asked", "as asked of others", "own minus others'")
    return Table.of("conditions", title, columns, rows, seed) if rows else None


def _asked(
    conditioner: Any, values: Sequence[Any], codec: SnacPretransform, kinds: Mapping[str, AudioSet], heard: Heard, seed: int
) -> Asked | None:
    """What a conditioner asks of the songs, by its values [S]; None where it cannot be heard."""
    name = conditioner.id
    if name in music.TEMPO_KEYS and None not in (tempos := [number_in(value) for value in values]):
        return Asked(f"{name} within 4 %", tempos, heard, lambda after, asked: music.same_tempo(after.tempo, asked))
    if name == KEY_ID and all(isinstance(value, str) and value in KEYS for value in values):
        return Asked(f"{name} or its relative", values, heard, lambda after, asked: _notes(after) == _scale(asked))
    if conditioner.type == "class_mixture":
        classes = [_main_class(value, conditioner.config["classes"]) for value in values]
        if all(one and classes.count(one) >= LEAST_OF_A_CLASS for one in classes) and len({*classes}) > 1:
            told = classes_told(codec, kinds, np.array(classes), seed)
            return Asked(f"{name}, told by a classifier", classes, told, lambda after, asked: after == asked)
    return None


def _scale(name: str) -> frozenset[int]:
    """The pitch classes of a key by name; a relative has the same."""
    return frozenset(KEYS[name].pitch_classes)


def _notes(heard: music.TempoAndKey) -> frozenset[int]:
    return _scale(music.key_name(music.key(heard.classes)))


def _main_class(value: Any, names: Sequence[str]) -> str:
    """The class with the most weight; "" for none."""
    weights = class_weights(value, names)
    return max(weights, key=weights.__getitem__) if weights else ""


def classes_told(
    codec: SnacPretransform, kinds: Mapping[str, AudioSet], classes: np.ndarray, seed: int
) -> dict[str, Sequence[Any]]:
    """The class of each clip of each kind, as a logistic regression on the encoder's features tells it.

    It learns from the clips of the first kind, and never from the song whose clips it tells.

    Args:
        classes: of each song [S], two songs of each at least.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = {name: encoder_features(codec, kind.audio[:, None]).mean(axis=1) for name, kind in kinds.items()}
    learnt, known = next(iter(kinds.values())).songs, next(iter(features.values()))
    told = {name: np.empty(len(kind.songs), dtype=classes.dtype) for name, kind in kinds.items()}
    folds = min(FOLDS, *np.unique(classes, return_counts=True)[1])
    for _, left_out in StratifiedKFold(folds, shuffle=True, random_state=seed).split(classes, classes):
        seen = ~np.isin(learnt, left_out)
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        classifier.fit(known[seen], classes[learnt[seen]])
        for name, kind in kinds.items():
            if (which := np.isin(kind.songs, left_out)).any():
                told[name][which] = classifier.predict(features[name][which])
    return {name: found.tolist() for name, found in told.items()}
