"""Replays of captured graphs: nothing that changes between two runs may leave a wrong value behind."""

from __future__ import annotations

import numpy as np
import pytest

import lazygrad as lg
from lazygrad import nn

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def needs_a_gpu() -> None:
    if not lg.cuda.is_available():
        pytest.skip("no GPU here: benchmarks/on_gpu.py checks runs these on one")


def host(tensor: lg.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()


def test_outputs_held_across_replays_keep_their_values() -> None:
    held, expected = [], []
    for i in range(6):
        x = np.full((300,), float(i), np.float32)
        held.append((lg.from_numpy(x).to("cuda") * 2 + 1).realize())
        expected.append(x * 2 + 1)
    for tensor, value in zip(held, expected, strict=True):
        np.testing.assert_array_equal(host(tensor), value)


def test_inputs_that_move_are_read_where_they_are() -> None:
    tensors = [lg.from_numpy(np.full((5000,), float(i), np.float32)).to("cuda").realize() for i in range(4)]
    for round_ in range(3):
        for i, tensor in enumerate(tensors):
            assert host((tensor * 3).sum()) == 5000 * 3.0 * i, (round_, i)


def test_random_numbers_are_new_in_every_replay() -> None:
    draws = [host(lg.rand(1000, device="cuda")) for _ in range(5)]
    for i in range(5):
        for j in range(i):
            assert not np.array_equal(draws[i], draws[j])


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_training_equals_training_without_graphs(dropout: float) -> None:
    losses = []
    for graphs in (True, False):
        with lg.config(graphs=graphs):
            lg.manual_seed(0)
            model = nn.Sequential(nn.Linear(40, 300), nn.GELU(), nn.Dropout(dropout), nn.LayerNorm(300), nn.Linear(300, 7))
            model = model.to("cuda")
            optimizer = lg.optim.AdamW(model.parameters(), lr=1e-3)
            rng = np.random.default_rng(0)
            run = []
            for step in range(12):
                optimizer.param_groups[0]["lr"] = 1e-3 * (step + 1)
                x = lg.from_numpy(rng.standard_normal((64, 40)).astype(np.float32)).to("cuda")
                y = lg.from_numpy(rng.integers(0, 7, 64)).to("cuda")
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                run.append(loss.item() if step % 3 == 0 else loss)
            losses.append([float(v) for v in run])
    assert losses[0] == losses[1]


def test_matches_numpy_after_many_in_place_updates() -> None:
    on_gpu = lg.zeros(1000, device="cuda")
    on_cpu = lg.zeros(1000)
    for i in range(8):
        for tensor in (on_gpu, on_cpu):
            tensor += i
            tensor[10:20] = -1.0
            tensor *= 0.5
    np.testing.assert_array_equal(host(on_gpu), on_cpu.numpy())


def test_a_view_exported_to_cupy_is_never_overwritten() -> None:
    import cupy

    x = lg.ones(100, device="cuda")
    seen = []
    for i in range(5):
        y = x * float(i + 1)
        y = (y + 0.0 * x).realize()
        seen.append((i, cupy.from_dlpack(y)))
    for i, array in seen:
        assert float(array[0]) == i + 1.0


def test_the_last_program_is_found_in_every_replay() -> None:
    """Two plans with tickets in turns, their numbers the same bits each time, and those of a host in float64."""
    x = np.random.default_rng(0).standard_normal((4096, 768)).astype(np.float32)
    targets = np.arange(4096) % 768
    on_gpu, classes = lg.from_numpy(x).to("cuda").realize(), lg.from_numpy(targets).to("cuda").realize()
    weight = lg.ones(768, device="cuda").realize().requires_grad_()
    seen: list[list[bytes]] = []
    for _ in range(8):
        results = [on_gpu.square().sum(), lg.nn.functional.cross_entropy(on_gpu, classes)]
        results += lg.autograd.grad(lg.nn.functional.rms_norm(on_gpu, (768,), weight), [weight], on_gpu)
        seen.append([host(r).tobytes() for r in results])
        assert seen[-1] == seen[0]
    wide = x.astype(np.float64)
    normed = wide / np.sqrt((wide**2).mean(1, keepdims=True) + np.finfo(np.float32).eps)
    loss = (np.log(np.exp(wide).sum(1)) - wide[np.arange(4096), targets]).mean()
    for got, want in zip(results, [(wide**2).sum(), loss, (normed * wide).sum(0)], strict=True):
        np.testing.assert_allclose(host(got), want, rtol=1e-5, atol=1e-2)


def test_array_ops_in_a_graph_write_to_memory_of_their_own() -> None:
    """What CuPy allocates inside a captured graph and gives back is written to at every replay: nobody else may
    have it, neither a tensor nor a table of pointers."""
    rng = np.random.default_rng(0)
    guards = []
    for i in range(8):
        x = rng.permutation(4096).astype(np.float32)
        values, order = lg.from_numpy(x).to("cuda").sort()
        np.testing.assert_array_equal(host(values), np.arange(4096))
        np.testing.assert_array_equal(host(order), np.argsort(x))
        guards += [lg.full((4096 >> (i % 4),), float(i), device="cuda").add(0.5).realize() for _ in range(6)]
    for i, guard in enumerate(guards):
        assert (host(guard) == i // 6 + 0.5).all(), i


def test_kernels_of_equal_code_over_other_dtypes() -> None:
    """x.to(float32).exp() reads the same for every x: its kernel must not be another's."""
    values = np.array([[0, 1, -2], [3, -1, 2]])
    for dtype in (np.float64, np.int64, np.float16, np.int32):
        x = lg.from_numpy(values.astype(dtype)).to("cuda").realize()
        np.testing.assert_allclose(host(x.to(lg.float32).exp()), np.exp(values), rtol=1e-6)


def test_empty_tensors_come_back() -> None:
    assert host(lg.from_numpy(np.zeros((0, 3), np.float32)).to("cuda") * 2).shape == (0, 3)
