"""Fixtures of several test files."""

from __future__ import annotations

import pytest
from accelerate.state import AcceleratorState


@pytest.fixture
def fresh_accelerator():
    """Accelerate keeps precision and processes in a global state; each test starts without one."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
