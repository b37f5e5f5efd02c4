"""The script as a user runs it: both nets learn, weights are kept and read back, files from outside are not trusted."""

from __future__ import annotations

import gzip
import urllib.request
from pathlib import Path

import digits
import digits_data
import numpy as np
import pytest
from gpt2_data import UsageError


def test_the_perceptron_reads_what_it_has_never_seen(tmp_path, capsys):
    found = digits.main(["--out", str(tmp_path / "weights.safetensors")])
    assert found > 0.95
    shown = capsys.readouterr().out
    assert "epoch  8" in shown and f"test accuracy {found:.2%}, weights in {tmp_path}" in shown


def test_the_convolutional_net_learns_and_its_weights_are_kept(monkeypatch, cache_directory):
    monkeypatch.setattr(digits_data, "TRAIN", 1500)
    monkeypatch.setattr(digits_data, "TEST", 200)
    found = digits.main(["--model", "conv", "--epochs", "3"])
    assert found > 0.85
    assert (cache_directory / "examples" / "digits-drawn-conv.safetensors").exists()
    assert digits.main(["--model", "conv", "--eval-only"]) == found


def test_nothing_to_measure_is_said(tmp_path):
    with pytest.raises(SystemExit, match=r"there are no weights in .*nowhere; train first"):
        digits.main(["--eval-only", "--out", str(tmp_path / "nowhere")])


def test_digits_are_drawn_alike_and_told_apart():
    (images, labels), (others, _) = digits_data.drawn(3)
    again, _ = digits_data.drawn(3)
    np.testing.assert_array_equal(images, again[0])
    assert images.shape == (digits_data.TRAIN, 1, 16, 16) and images.dtype == np.float32
    assert others.shape == (digits_data.TEST, 1, 16, 16)
    assert labels.dtype == np.int64 and set(labels) == set(range(10))
    assert abs(images.mean()) < 1e-3 and abs(images.std() - 1) < 1e-3
    assert len({glyph.tobytes() for glyph in digits_data.glyphs()}) == 10


# -- MNIST --------------------------------------------------------------------------------------------------
def test_no_network_is_said_in_one_line(monkeypatch):
    def refuse(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(SystemExit, match=r"cannot download https://\S+train-images\S+ .*without network: --data drawn"):
        digits.main(["--data", "mnist"])


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def test_mnist_is_read(monkeypatch, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (6, 28, 28))

    def fetched(url: str, *_, **__) -> Path:
        path = tmp_path / url.rsplit("/", 1)[1]
        path.write_bytes(gzip.compress(idx(pictures if "images" in url else np.arange(6))))
        return path

    monkeypatch.setattr(digits_data, "download", fetched)
    (images, labels), test = digits_data.mnist()
    assert images.shape == (6, 1, 28, 28) and images.dtype == np.float32 and labels.tolist() == list(range(6))
    scaled = pictures / 255
    np.testing.assert_allclose(images[:, 0], (scaled - scaled.mean()) / scaled.std(), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(images, test[0])


WHOLE = idx(np.zeros((2, 3, 3)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no IDX file"),
        (b"<html>not found</html>", "begins with 3c 68 74 6d"),
        (WHOLE[:10], "no IDX file"),
        (WHOLE[:-1], "has 34 bytes, this one 33"),
        (WHOLE + b"\0", "has 34 bytes, this one 35"),
        (bytes((0, 0, 13, 3)) + WHOLE[4:], "no IDX file"),
        (idx(np.zeros(5)), "with 3 axes"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12, "of shape"),
    ],
)
def test_a_broken_file_is_refused(content, said):
    with pytest.raises(UsageError, match=said):
        digits_data.parse_idx(content, 3)


def test_a_file_that_unpacks_without_end_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(digits_data, "MOST_BYTES", 1 << 20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(2 << 20)))
    with pytest.raises(UsageError, match="unpacks to more than 1 MiB"):
        digits_data.unpacked(tmp_path / "bomb.gz")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(bytes(1000))[:-9])
    with pytest.raises(UsageError, match="can't be unpacked"):
        digits_data.unpacked(tmp_path / "cut.gz")
