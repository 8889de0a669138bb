"""Small codecs of both grids."""

from __future__ import annotations

import pytest
from small_codecs import SMALL, small_codec

from snac_plugin.codec.load import Codec


@pytest.fixture(params=list(SMALL))
def codec(request: pytest.FixtureRequest) -> Codec:
    return small_codec(request.param)


@pytest.fixture
def codec_32khz() -> Codec:
    return small_codec("32 kHz")
