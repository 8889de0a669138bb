"""A model whose guidance leads away from a weaker one: an earlier checkpoint of it, or a smaller model of the same data."""

from typing import Any, TypeVar

from snac_plugin.diffusion.sampler_names import AUTOGUIDANCE
from snac_plugin.errors import UsageError

ADVICE = "Take an earlier checkpoint of the same training, or a smaller model."
Model = TypeVar("Model", bound="Autoguided")


class Autoguided:
    """What `SnacDiffusion` has for autoguidance (Karras et al. 2024): see `AutoguidedChunk`."""

    weaker: Any = None
    """The weaker model."""
    autoguidance: dict[str, float]
    """Its place and the scale."""

    def autoguide(self: Model, weaker: "Autoguided | None", scale: float = AUTOGUIDANCE, place: str = "") -> Model:
        """Lead away from what a weaker model says of the same codes, in place of the one before; None: from nothing.

        Args:
            weaker: a model of the same codec, objective, chunks and conditions: trained for less time, or smaller.
            scale: 1 is none, 2 goes as far beyond this model as it is better than the weaker one.
            place: what the settings of samples call it.

        Returns:
            The model itself.

        Raises:
            UsageError: the two do not fit.
        """
        whole: Any = self
        if weaker is self:
            raise UsageError("autoguidance", "the model itself", "a weaker one", ADVICE)
        if weaker is not None:
            _check_fit(whole, weaker)
            weaker = weaker.to(whole.device).eval()  # type: ignore[attr-defined]
        object.__setattr__(self, "weaker", weaker)  # or torch would take it for a part of this model
        self.autoguidance = {} if weaker is None else {place: scale}
        whole.model.weaker = None if weaker is None or scale == 1 else (weaker.model, scale)  # type: ignore[attr-defined]
        return self

    def _apply(self, *args: Any, **options: Any) -> Any:
        """What `to`, `cuda` and `half` do: with the weaker model too."""
        if self.weaker is not None:
            self.weaker._apply(*args, **options)
        return super()._apply(*args, **options)  # type: ignore[misc]


def _check_fit(model: Any, weaker: Any) -> None:
    def about(one: Any) -> dict[str, Any]:
        network, training = one.model.network.config, one.config.training
        return {
            "codec": one.pretransform.fingerprint,
            "objective": one.model.objective.name,
            "head that predicts codes": network.head != "velocity",
            "chunk_frames": network.chunk_frames,
            "context_chunks": network.context_chunks,
            "conditions": sorted(one.read_ids),
            "training.infill": training is not None and training.infill is not None,
        }

    theirs = about(weaker)
    for name, value in about(model).items():
        if theirs[name] != value:
            found, expected = f"a model of {name} {theirs[name]}", f"{value}, as of the model that it guides"
            raise UsageError("autoguidance", found, expected, ADVICE)
