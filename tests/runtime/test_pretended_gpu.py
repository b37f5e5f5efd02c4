"""What a GPU does with memory, on a machine without one: programs whose tensors are updated, copied, kept and
replaced between captured plans give the losses that torch gives."""

from __future__ import annotations

import pytest

from tests.programs import harness
from tests.runtime.pretended_gpu import Graph, pretended_gpu

PROGRAMS = {"contrast": None, "dqn": None, "physics": 3, "gan": 4, "meta_learning": None, "own_optimizer": None, "vae": 8}


@pytest.mark.parametrize("name", PROGRAMS)
def test_losses_are_torchs(name: str) -> None:
    expected = harness.run(name, "torch", steps=PROGRAMS[name])
    replays = Graph.replays
    with pretended_gpu():
        losses = harness.run(name, "lazygrad", steps=PROGRAMS[name])
    assert Graph.replays > replays, "nothing was replayed"
    assert max(harness.differences(losses, expected)) < harness.TOLERANCE
