"""What is said of optimisers that cannot be built."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from snac_plugin.errors import ConfigError


@contextlib.contextmanager
def optimizer_configs_named() -> Iterator[None]:
    """Turn what fails while optimisers are built into an error that names their section.

    Raises:
        ConfigError: torch has no such class, or it does not take these arguments.
    """
    try:
        yield
    except (AttributeError, TypeError, ValueError) as error:
        advice = "Their arguments are those of torch.optim and torch.optim.lr_scheduler."
        raise ConfigError("training.optimizer_configs", f"what fails with: {error}", "a class and its arguments", advice) from error
