"""A word-level LSTM language model: hidden state carried and detached, clipping, ReduceLROnPlateau, dropout by own masks."""

import math
import os

import numpy as np
import torch
import torch.nn as nn

device = torch.device(os.environ.get("DEVICE", "cpu"))
rng = np.random.RandomState(11)
corpus = "a rose is a rose is a rose and a daisy is not a rose but a flower is a flower is a flower . ".split() * 14


class Dictionary:
    def __init__(self):
        self.word2idx, self.idx2word = {}, []

    def add_word(self, word):
        if word not in self.word2idx:
            self.idx2word.append(word)
            self.word2idx[word] = len(self.idx2word) - 1
        return self.word2idx[word]


dictionary = Dictionary()
ids = torch.LongTensor([dictionary.add_word(w) for w in corpus])
ntokens = len(dictionary.idx2word)


def batchify(data, bsz):
    nbatch = data.size(0) // bsz
    data = data.narrow(0, 0, nbatch * bsz)
    return data.view(bsz, -1).t().contiguous().to(device)


class RNNModel(nn.Module):
    def __init__(self, ntoken, ninp, nhid, nlayers):
        super().__init__()
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = nn.LSTM(ninp, nhid, nlayers)
        self.decoder = nn.Linear(nhid, ntoken)
        self.decoder.weight = self.encoder.weight
        self.nhid, self.nlayers = nhid, nlayers
        self.init_weights()

    def init_weights(self):
        initrange = 0.2
        for weight in self.parameters():
            weight.data.copy_(torch.tensor(rng.uniform(-initrange, initrange, weight.size())))
        self.decoder.bias.data.fill_(0)

    def forward(self, tokens, hidden, keep):
        emb = self.encoder(tokens) * keep
        output, hidden = self.rnn(emb, hidden)
        return self.decoder(output), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        return (weight.new_zeros(self.nlayers, bsz, self.nhid), weight.new_zeros(self.nlayers, bsz, self.nhid))


def repackage_hidden(h):
    """Cut from their history, so that the gradient ends at the batch."""
    if isinstance(h, torch.Tensor):
        return h.detach()
    return tuple(repackage_hidden(v) for v in h)


bptt, batch_size = 7, 4
train_data = batchify(ids, batch_size)
model = RNNModel(ntokens, 16, 16, nlayers=2).to(device)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.2)

losses = []
for epoch in range(2):
    total, hidden = 0.0, model.init_hidden(batch_size)
    for i in range(0, min(train_data.size(0) - 1, 10 * bptt), bptt):
        seq_len = min(bptt, len(train_data) - 1 - i)
        tokens, targets = train_data[i : i + seq_len], train_data[i + 1 : i + 1 + seq_len].reshape(-1)
        keep = (torch.from_numpy(rng.rand(seq_len, batch_size, 16)) < 0.9).to(device).float() / 0.9
        hidden = repackage_hidden(hidden)
        model.zero_grad()
        output, hidden = model(tokens, hidden, keep)
        loss = criterion(output.view(-1, ntokens), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
        total += loss.item()
        losses.append(loss.item())
    scheduler.step(total)
    print(f"epoch {epoch}: perplexity {math.exp(total / 10):.2f}, lr {optimizer.param_groups[0]['lr']}")
