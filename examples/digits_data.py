"""Pictures of digits: drawn here from a small font, or MNIST where there is a network.

Takes nothing but a seed or a download, returns (train, test), each of (images, labels): float32 [count, 1, side,
side] with mean 0 and deviation 1 over the training images, and int64 [count].
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
from gpt2_data import UsageError, cache_directory, download

Images = tuple[np.ndarray, np.ndarray]

# five columns and seven rows each, 0 to 9 from left to right
FONT = """
.###. ..#.. .###. .###. ...#. ##### ..##. ##### .###. .###.
#...# .##.. #...# #...# ..##. #.... .#... ....# #...# #...#
#..## ..#.. ....# ....# .#.#. ####. #.... ...#. #...# #...#
#.#.# ..#.. ...#. ..##. #..#. ....# ####. ..#.. .###. .####
##..# ..#.. ..#.. ....# ##### ....# #...# ..#.. #...# ....#
#...# ..#.. .#... #...# ...#. #...# #...# ..#.. #...# ...#.
.###. .###. ##### .###. ...#. .###. .###. ..#.. .###. .##..
"""
SIDE = 16
TRAIN, TEST = 3000, 600


def glyphs() -> np.ndarray:
    """float32 [10, 7, 5]."""
    rows = [[[pixel == "#" for pixel in word] for word in line.split()] for line in FONT.split("\n") if line]
    return np.array(rows, np.float32).transpose(1, 0, 2)


def drawn(seed: int = 0) -> tuple[Images, Images]:
    """Digits of the font, each shifted, scaled, slanted, turned and sprinkled with noise of its own."""
    generator = np.random.default_rng(seed)
    return _standardised(_draw(TRAIN, generator), _draw(TEST, generator))


def _draw(count: int, generator: np.random.Generator) -> Images:
    """Every pixel asks where in its glyph it lies, and takes the mean of the four points around by their nearness."""
    labels = generator.integers(0, 10, count)
    padded = np.pad(glyphs(), ((0, 0), (1, 1), (1, 1)))
    height, width = padded.shape[1:]
    grid = np.stack(np.mgrid[0:SIDE, 0:SIDE] - (SIDE - 1) / 2)  # [2, side, side], from the middle
    shift = generator.uniform(-2, 2, (count, 2, 1, 1))
    scale = generator.uniform(0.45, 0.75, (count, 2, 1, 1))  # of the font's points to a pixel
    turn, slant = generator.uniform(-0.25, 0.25, (2, count, 1, 1))
    rows, columns = np.moveaxis(grid - shift, 1, 0)
    rows, columns = rows * np.cos(turn) - columns * np.sin(turn), rows * np.sin(turn) + columns * np.cos(turn)
    columns = columns + slant * rows
    rows = np.clip(rows * scale[:, 0] + (height - 1) / 2, 0, height - 1.001)
    columns = np.clip(columns * scale[:, 1] + (width - 1) / 2, 0, width - 1.001)
    top, left = rows.astype(int), columns.astype(int)
    down, right = rows - top, columns - left
    which = labels[:, None, None]
    images = (
        padded[which, top, left] * (1 - down) * (1 - right)
        + padded[which, top, left + 1] * (1 - down) * right
        + padded[which, top + 1, left] * down * (1 - right)
        + padded[which, top + 1, left + 1] * down * right
    )
    images = images * generator.uniform(0.6, 1.0, (count, 1, 1)) + generator.normal(0, 0.1, images.shape)
    return images[:, None].astype(np.float32), labels


def _standardised(train: Images, test: Images) -> tuple[Images, Images]:
    mean, deviation = train[0].mean(), train[0].std()
    (a, b), (c, d) = train, test
    return ((a - mean) / deviation, b), ((c - mean) / deviation, d)


# -- MNIST -------------------------------------------------------------------------------------------------
MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist/"
MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MOST_BYTES = 64 << 20  # a file that unpacks to more is none of these


def mnist() -> tuple[Images, Images]:
    """Downloaded once, checked by SHA-256. UsageError where there is no network."""
    train, test = (
        (_mnist_file(f"{part}-images-idx3-ubyte.gz", 3), _mnist_file(f"{part}-labels-idx1-ubyte.gz", 1))
        for part in ("train", "t10k")
    )
    return _standardised(_scaled(*train), _scaled(*test))


def _scaled(images: np.ndarray, labels: np.ndarray) -> Images:
    return images[:, None] / np.float32(255), labels.astype(np.int64)


def _mnist_file(name: str, axes: int) -> np.ndarray:
    path = download(
        MNIST + name,
        cache_directory() / "mnist" / name,
        MNIST_SHA256[name],
        instead="--data drawn (the default)",
    )
    return parse_idx(unpacked(path), axes)


def unpacked(path: Path) -> bytes:
    """UsageError for what is no gzip file, or unpacks to more than MOST_BYTES."""
    try:
        with gzip.open(io.BytesIO(path.read_bytes())) as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, EOFError) as error:
        raise UsageError(f"{path} can't be unpacked ({error})") from error
    if len(content) > MOST_BYTES:
        raise UsageError(f"{path} unpacks to more than {MOST_BYTES >> 20} MiB")
    return content


def parse_idx(content: bytes, axes: int) -> np.ndarray:
    """An IDX file of unsigned bytes: 0 0 8 axes, each length as four bytes, the values. UsageError for another."""
    head = 4 + 4 * axes
    if len(content) < head or content[:4] != bytes((0, 0, 8, axes)):
        raise UsageError(f"this is no IDX file of bytes with {axes} axes: it begins with {content[:4].hex(' ')}")
    shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(axes)]
    count = 1
    for length in shape:
        count *= length
    if len(content) != head + count:
        raise UsageError(f"an IDX file of shape {shape} has {head + count} bytes, this one {len(content)}")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


SOURCES = {"drawn": drawn, "mnist": mnist}
