"""Models that lie in this package, by name."""

from pathlib import Path

MODELS = Path(__file__).parents[1] / "shipped_models"
DEFAULT = "snac_dit_tiny"
WEIGHTS = "model.safetensors"


def shipped_models() -> list[str]:
    """Names of the shipped models."""
    return sorted(file.parent.name for file in MODELS.glob(f"*/{WEIGHTS}"))


def model_file(path: str | Path) -> Path:
    """The file of a shipped model, or the path itself; a file of that name in the current folder comes first."""
    path = Path(path)
    return MODELS / path / WEIGHTS if str(path) in shipped_models() and not path.is_file() else path
