"""Seeds keep their values: a recording of a seed, the data a run reads and the codec's noise all hang on them."""

from snac_plugin.diffusion.seeds import (
    code_draw_seed,
    decoder_noise_seed,
    gap_seed,
    item_seed,
    mixed_seed,
    order_seed,
    stage_seed,
    validation_item_seed,
)


def test_seeds_keep_their_values() -> None:
    """A seed is written beside each wav and into checkpoints; another value would make another recording of it."""
    assert stage_seed(1, 0, 0) == 3717377837946358015
    assert stage_seed(7, 3, 2) == mixed_seed(7, 3, 2) == 8034915097316094625
    assert stage_seed(2**40, 1, 3) == code_draw_seed(2**40, 1, -1, levels=4) == 4117514787827399083
    assert order_seed(5, 2) == 2080082186671054586
    assert gap_seed(5) == mixed_seed(5, 0, 2)
    assert item_seed(5, 2) == 8434048924178191688
    assert validation_item_seed(5, 2) == 5973840254021017552
    assert decoder_noise_seed(3, 1, 4) == 7096285213003493087
    assert decoder_noise_seed(-1, 0, 0) == 5280002749595689297
    assert decoder_noise_seed(0, 0, 1) == 8227443069378110354
