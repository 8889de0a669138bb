"""The codecs that lie in this package: what their names meant in earlier configs, and whose codes are at hand."""

SHIPPED_CODECS: dict[str, tuple[str, ...]] = {
    "snac_tiny_32khz": ("d4d567b08473",),
    "snac_tiny_32khz_v2": ("079a80aaeeff", "e165673f92bf"),
}
"""Fingerprints of each one's codes: its own, and those that earlier versions gave the same codes."""

RENAMED = ((3, "snac_tiny_32khz", "snac_tiny_32khz_v2"),)
"""Last config version in which a name meant another codec; that name; how the codec is called now."""


def codec_meant(name: str, version: int) -> str:
    """What a codec is called now that a config of an earlier version names."""
    for last, former, now in RENAMED:
        if version <= last and name == former:
            return now
    return name


def same_codes(fingerprint: str) -> tuple[str, ...]:
    """Fingerprints that earlier versions gave the codes of a shipped codec."""
    return next((known[1:] for known in SHIPPED_CODECS.values() if known[0] == fingerprint), ())


def how_to_get(fingerprint: str) -> str:
    """The advice to use the codec with a fingerprint, by its name if it ships here."""
    name = next((name for name, known in SHIPPED_CODECS.items() if fingerprint in known), None)
    if name is None:
        return "Use the codec that it was made with."
    return f'Set "codec" to "{name}", which ships here: so the codec with the fingerprint {fingerprint} is called now.'
