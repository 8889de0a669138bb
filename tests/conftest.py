"""What all tests share: a machine whose cores may be shared, and the grids of SNAC's codecs."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from networks import FOUR_LEVELS, THREE_LEVELS
from small_codecs import SMALL, small_codec

from snac_plugin.codec.load import Codec
from snac_plugin.levels import Levels


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
