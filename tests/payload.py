"""An object that shows when it is unpickled."""

from __future__ import annotations

from pathlib import Path


class Payload:
    """Creates a file when it is unpickled.

    Args:
        mark: path of the file.
    """

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)
