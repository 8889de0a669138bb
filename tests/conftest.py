"""What all tests share: a machine whose cores may be shared, and the grids of SNAC's codecs."""

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if process := os.environ.get("PYTEST_XDIST_WORKER"):
    # Two processes that fill librosa's cache of compiled functions at once leave one that ends Python: each has its own.
    os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / f"numba_{process}")
    os.environ["NUMBA_OPT"] = "0"  # in a new clone compiling takes far longer than what is compiled
    # Threads of several processes that share the cores would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))))

import pytest
from networks import FOUR_LEVELS, THREE_LEVELS
from small_codecs import SMALL, small_codec

from snac_plugin.codec.load import Codec
from snac_plugin.levels import Levels
from snac_plugin.output import pictures

pictures.DPI = 64  # nearly every sample has a picture, and most of its time goes into pixels


LONG_FILES = (
    "cli/test_shipped_edits.py",
    "benchmarks/test_benchmarks.py",
    "interface/test_page.py",
    "cli/test_evaluate.py",
    "cli/test_train_autoencoder.py",
    "training/test_two_processes.py",
    "benchmarks/test_choices.py",
    "fuzz/test_fuzz.py",
    "plugin/test_conditioner_paths.py",
    "data/test_encode_elsewhere.py",
    "data/test_training_files.py",
    "evaluation/test_frechet_distance.py",
    "training/test_wrapper.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of more than twenty seconds come first: the last one of two processes would compute alone."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG_FILES))


@pytest.fixture(params=[FOUR_LEVELS, THREE_LEVELS], ids=["four levels", "three levels"])
def levels(request: pytest.FixtureRequest) -> Levels:
    """The grid of a codec with four levels, and of one with three."""
    return request.param


@pytest.fixture(params=list(SMALL))
def codec(request: pytest.FixtureRequest) -> Codec:
    """A small codec of each grid."""
    return small_codec(request.param)


@pytest.fixture
def codec_32khz() -> Codec:
    """A small codec with the grid of snac_32khz."""
    return small_codec("32 kHz")
