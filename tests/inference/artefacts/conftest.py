from __future__ import annotations

import pytest


@pytest.fixture
def named():
    """By name: a call gives at most one artefact of a name, and its number is a plain float."""

    def by_name(found):
        assert len({artefact.name for artefact in found}) == len(found)
        assert {type(artefact.value) for artefact in found} <= {float}
        return {artefact.name: artefact for artefact in found}

    return by_name
