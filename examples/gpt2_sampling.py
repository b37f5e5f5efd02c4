"""Text from a model: takes prompt ids, yields the ids that follow, one at a time.

Every tensor has a fixed shape and the position is a tensor too, so decoding is two programs however
long the text: `prefill` reads a prompt padded to the context, `decode` reads one token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from gpt2_model import GPT2, GPT2Config, LayerCache

import lazygrad as lg
from lazygrad.nn import functional as F


@dataclass(frozen=True)
class Taste:
    """How a token is drawn. Temperature 0 takes the likeliest; top_k 0 and top_p 1 keep all."""

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0


def empty_caches(config: GPT2Config, device: lg.device | str) -> list[LayerCache]:
    shape = (1, config.heads, config.context, config.width // config.heads)
    return [
        (lg.zeros(shape, device=device), lg.zeros(shape, device=device))
        for _ in range(config.layers)
    ]


@lg.no_grad()
def prefill(
    model: GPT2, tokens: lg.Tensor, caches: list[LayerCache], position: lg.Tensor
) -> lg.Tensor:
    """Tokens [1, context], padded behind `position`, to logits [1, rows] of the next."""
    hidden = model.hidden(tokens, caches)
    return model.head(hidden.index_select(1, position.view(1)))[:, 0]


@lg.no_grad()
def decode(
    model: GPT2, token: lg.Tensor, caches: list[LayerCache], position: lg.Tensor
) -> lg.Tensor:
    """The token [1, 1] at `position` to logits [1, rows] of the next."""
    return model.head(model.hidden(token, caches, position))[:, 0]


@lg.no_grad()
def choose(logits: lg.Tensor, taste: Taste) -> lg.Tensor:
    """Logits [1, vocabulary] to one id [1, 1], drawn on the device from lazygrad's generator."""
    if taste.temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    logits = logits / taste.temperature
    if 0 < taste.top_k < logits.shape[-1]:
        weakest = logits.topk(taste.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < weakest, float("-inf"))
    probabilities = F.softmax(logits, dim=-1)
    if taste.top_p >= 1:
        return lg.multinomial(probabilities, 1)
    probabilities, order = probabilities.sort(dim=-1, descending=True)
    # A token stays while those before it hold less than top_p; the first always does.
    before = probabilities.cumsum(dim=-1) - probabilities
    probabilities = probabilities.masked_fill(before >= taste.top_p, 0.0)
    return order.gather(-1, lg.multinomial(probabilities, 1))


def generate(model: GPT2, prompt: Sequence[int], count: int, taste: Taste) -> Iterator[int]:
    """Yields `count` ids. A text longer than the context goes on from its newest half."""
    config = model.config
    text = list(prompt)
    was_training = model.training
    model.eval()
    try:
        caches = empty_caches(config, model.transformer["wte"].weight.device)
        logits, position, filled = read(model, text, caches)
        for _ in range(count):
            # The padding of the vocabulary is no token.
            token = choose(logits[:, : config.vocabulary], taste)
            text.append(int(token.item()))
            yield text[-1]
            if filled < config.context:
                filled += 1
                position.add_(1)
                logits = decode(model, token, caches, position)
            else:
                logits, position, filled = read(model, text, caches)
    finally:
        model.train(was_training)


def read(
    model: GPT2, text: Sequence[int], caches: list[LayerCache]
) -> tuple[lg.Tensor, lg.Tensor, int]:
    """Reads as much of the text as leaves room to go on: the logits of what comes next, the
    position read last, and how much of the context is filled."""
    context, device = model.config.context, caches[0][0].device
    window = text if len(text) < context else text[-max(1, context // 2) :]
    ids = np.zeros((1, context), dtype=np.int64)
    ids[0, : len(window)] = window
    # From an array, so that it is memory on the device and not a constant of the program.
    position = lg.from_numpy(np.array(len(window) - 1, dtype=np.int64)).to(device)
    logits = prefill(model, lg.from_numpy(ids).to(device), caches, position)
    return logits, position, len(window)
