"""Decoding with the cache says what the model says without it."""

import numpy as np
import pytest
from gpt2_model import GPT2, GPT2Config
from gpt2_sampling import Taste, choose, decode, empty_caches, generate, prefill

import lazygrad as lg

CONFIG = GPT2Config(layers=2, heads=3, width=24, context=10, vocabulary=50, rows=64)


@pytest.fixture
def model() -> GPT2:
    lg.manual_seed(5)
    model = GPT2(CONFIG).eval()
    with lg.no_grad():  # larger than GPT-2's, so that every part of the model is heard
        for parameter in model.parameters():
            parameter.add_(0.2 * lg.randn(*parameter.shape))
    return model


def position_of(index: int) -> lg.Tensor:
    return lg.from_numpy(np.array(index, dtype=np.int64))


@pytest.mark.parametrize("prompt", [1, 4, 10])
def test_cached_logits_equal_the_full_forward(model, prompt):
    ids = np.random.default_rng(0).integers(CONFIG.vocabulary, size=(1, CONFIG.context))
    with lg.no_grad():
        expected = model(lg.from_numpy(ids)).numpy()[0]
    caches = empty_caches(CONFIG, "cpu")
    for keys, values in caches:  # whatever lies in the cache must not be heard
        keys.fill_(7.0)
        values.fill_(7.0)
    padded = ids.copy()
    padded[0, prompt:] = 3
    position = position_of(prompt - 1)
    logits = prefill(model, lg.from_numpy(padded), caches, position)
    np.testing.assert_allclose(logits.numpy()[0], expected[prompt - 1], rtol=1e-4, atol=1e-5)
    for index in range(prompt, CONFIG.context):
        position.add_(1)
        token = lg.from_numpy(ids[:, index : index + 1].copy())
        logits = decode(model, token, caches, position)
        np.testing.assert_allclose(logits.numpy()[0], expected[index], rtol=1e-4, atol=1e-5)


def test_greedy_text_equals_the_full_forward_and_goes_on_past_the_context(model):
    text = [1, 2, 3]
    window = list(text)
    for _ in range(20):
        if len(window) == CONFIG.context:
            window = window[-(CONFIG.context // 2) :]
        with lg.no_grad():
            logits = model(lg.from_numpy(np.array([window], dtype=np.int64))).numpy()
        window.append(int(logits[0, -1, : CONFIG.vocabulary].argmax()))
        text.append(window[-1])
    assert list(generate(model, [1, 2, 3], 20, Taste(temperature=0))) == text[3:]


@pytest.mark.parametrize("length", [9, 10, 11, 25])
def test_prompts_around_the_length_of_the_context(model, length):
    prompt = [index % CONFIG.vocabulary for index in range(length)]
    tokens = list(generate(model, prompt, 12, Taste(top_k=5, top_p=0.9)))
    assert len(tokens) == 12
    assert all(0 <= token < CONFIG.vocabulary for token in tokens)


def test_the_same_seed_gives_the_same_text(model):
    texts = []
    for seed in (1, 1, 2):
        lg.manual_seed(seed)
        texts.append(list(generate(model, [4], 15, Taste(temperature=2.0))))
    assert texts[0] == texts[1] != texts[2]


def drawn(taste: Taste, probabilities: list[float], draws: int = 200) -> list[float]:
    """How often each id is chosen."""
    lg.manual_seed(0)
    logits = lg.from_numpy(np.log(np.array([probabilities], dtype=np.float32)))
    chosen = [choose(logits, taste).item() for _ in range(draws)]
    return (np.bincount(chosen, minlength=len(probabilities)) / draws).tolist()


def test_choose():
    probabilities = [0.1, 0.4, 0.2, 0.3]
    np.testing.assert_allclose(drawn(Taste(temperature=1), probabilities), probabilities, atol=0.12)
    assert drawn(Taste(temperature=0), probabilities, 5) == [0, 1, 0, 0]
    assert drawn(Taste(top_k=1), probabilities, 5) == [0, 1, 0, 0]
    assert drawn(Taste(temperature=1e-3), probabilities, 5) == [0, 1, 0, 0]
    assert drawn(Taste(top_p=0.3), probabilities, 5) == [0, 1, 0, 0]
    two = drawn(Taste(temperature=1, top_k=2), probabilities)
    assert two[0] == two[2] == 0 and abs(two[1] - 4 / 7) < 0.15
    two = drawn(Taste(temperature=1, top_p=0.6), probabilities)
    assert two[0] == two[2] == 0 and abs(two[1] - 4 / 7) < 0.15


def test_sampling_leaves_the_model_as_it_was(model):
    model.train()
    list(generate(model, [1], 3, Taste()))
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
