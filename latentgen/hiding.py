"""Passwords and tokens in configurations, which no report and no model card shows."""

from __future__ import annotations

import re

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:secret|password|passwd|credentials?|api_?key|access_?key|token)$", re.IGNORECASE
)
_SECRET_VALUE = re.compile(
    r"\b(?:hf_|ghp_|gho_|github_pat_|glpat-|sk-|xox[bp]-|AKIA)[A-Za-z0-9_-]{10,}|(?<=://)[^/\s@]+@"
)
_HIDDEN = "(hidden)"


def hide_secrets(text: str) -> str:
    """Configuration text without the values that look like passwords or tokens."""
    lines = []
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        key = name.strip().removeprefix("- ").strip("\"' ")
        if colon and _is_secret(key, value.strip().strip("\"'")):
            line = f"{name}: {_HIDDEN}"
        lines.append(_SECRET_VALUE.sub(_HIDDEN, line))
    return "\n".join(lines)


def hidden_value(name: str, text: str) -> str:
    """The value of a name, without what looks like a password or token."""
    return _HIDDEN if _is_secret(name, text) else _SECRET_VALUE.sub(_HIDDEN, text)


def _is_secret(name: str, value: str) -> bool:
    """Whether a value should not be shown; short words such as a padding token are harmless."""
    return bool(_SECRET_NAME.search(name)) and len(value) >= 8 and not value.isspace()
