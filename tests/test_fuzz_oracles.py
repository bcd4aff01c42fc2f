"""The code agrees with the fuzzers' oracles on a few hundred examples: what `make fuzz` does for minutes."""

from __future__ import annotations

import pytest

from tests.fuzz.catalogue import TARGETS
from tests.fuzz.running import once

_EXAMPLES = {
    "keeper": 15,
    "targets": 400,
    "routes": 100,
    "fields": 300,
    "subjects": 200,
    "token-answers": 200,
}


@pytest.mark.parametrize("name", _EXAMPLES)
def test_oracle_agrees(name: str) -> None:
    """From a fixed seed."""
    (target,) = [one for one in TARGETS if one.name == name]
    found = once(target, _EXAMPLES[name], seed=7)
    assert found.failure is None, found.failure
    assert found.runs >= _EXAMPLES[name]
