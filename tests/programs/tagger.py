"""A BiLSTM tagger on packed sentences whose loss is a conditional random field's; the best path by Viterbi."""

import os
import random

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset

device = torch.device(os.environ.get("DEVICE", "cpu"))
steps = int(os.environ.get("STEPS", 20))
rng = np.random.default_rng(4)
TAGS, WORDS, PAD = 4, 12, 0


class Sentences(Dataset):
    """A word's tag follows from it and from the tag before."""

    def __init__(self, count):
        self.items = []
        for _ in range(count):
            words = rng.integers(1, WORDS, rng.integers(3, 9))
            tags = [0]
            for word in words:
                tags.append(int(word + tags[-1]) % TAGS)
            self.items.append((torch.from_numpy(words), torch.tensor(tags[1:])))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def collate(batch):
    words, tags = zip(*batch)
    lengths = torch.tensor([len(w) for w in words])
    return pad_sequence(words, batch_first=True, padding_value=PAD), pad_sequence(tags, batch_first=True), lengths


class CRF(nn.Module):
    def __init__(self, tags):
        super().__init__()
        self.start, self.end = nn.Parameter(torch.zeros(tags)), nn.Parameter(torch.zeros(tags))
        self.transitions = nn.Parameter(torch.from_numpy(rng.normal(0, 0.1, (tags, tags)).astype(np.float32)))

    def forward(self, emissions, tags, mask):
        """Minus the log of the probability of `tags`, averaged over the batch. emissions: (length, batch, tags)."""
        return (self.partition(emissions, mask) - self.score(emissions, tags, mask)).mean()

    def score(self, emissions, tags, mask):
        rows = torch.arange(emissions.size(1), device=emissions.device)
        score = self.start[tags[0]] + emissions[0, rows, tags[0]]
        for i in range(1, len(emissions)):
            step = self.transitions[tags[i - 1], tags[i]] + emissions[i, rows, tags[i]]
            score = score + step * mask[i]
        last = mask.long().sum(dim=0) - 1
        return score + self.end[tags[last, rows]]

    def partition(self, emissions, mask):
        alpha = self.start + emissions[0]
        for i in range(1, len(emissions)):
            paths = alpha.unsqueeze(2) + self.transitions + emissions[i].unsqueeze(1)
            alpha = torch.where(mask[i].bool().unsqueeze(1), torch.logsumexp(paths, dim=1), alpha)
        return torch.logsumexp(alpha + self.end, dim=1)

    @torch.no_grad()
    def decode(self, emissions, length):
        """The best tags of the first sentence, and their score."""
        best, history = self.start + emissions[0, 0], []
        for i in range(1, length):
            best, where = (best.unsqueeze(1) + self.transitions).max(dim=0)
            best = best + emissions[i, 0]
            history.append(where)
        score, tag = (best + self.end).max(dim=0)
        path = [tag.item()]
        for where in reversed(history):
            path.append(where[path[-1]].item())
        return path[::-1], score.item()


class Tagger(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 8, padding_idx=PAD)
        self.lstm = nn.LSTM(8, hidden // 2, bidirectional=True, batch_first=True)
        self.project = nn.Linear(hidden, TAGS)
        self.crf = CRF(TAGS)

    def emissions(self, words, lengths):
        packed = pack_padded_sequence(self.embedding(words), lengths, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.project(out).transpose(0, 1)

    def forward(self, words, tags, lengths):
        mask = (words != PAD).t().float()
        return self.crf(self.emissions(words, lengths), tags.t(), mask)


random.seed(0)
model = Tagger()
with torch.no_grad():
    for name, p in model.named_parameters():
        if not name.startswith("crf"):
            p.copy_(torch.from_numpy(rng.normal(0, 0.4, tuple(p.shape)).astype(np.float32)))
    model.embedding.weight[PAD].zero_()
model.to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
batches = list(DataLoader(Sentences(16), batch_size=8, collate_fn=collate))

losses = []
for step in range(steps):
    words, tags, lengths = batches[step % len(batches)]
    loss = model(words.to(device), tags.to(device), lengths)
    model.zero_grad()
    loss.backward()
    nn.utils.clip_grad_value_(model.parameters(), 5.0)
    optimizer.step()
    losses.append(loss.item())

model.eval()
words, tags, lengths = batches[0]
with torch.no_grad():
    emissions = model.emissions(words.to(device), lengths)
path, score = model.crf.decode(emissions, int(lengths[0]))
confusion = torch.bincount(tags[0, : lengths[0]] * TAGS + torch.tensor(path), minlength=TAGS**2).view(TAGS, TAGS)
print(f"{losses[-1]:.3f}", path, f"{confusion.diagonal().sum() / confusion.sum():.2f} right")
losses.append(score)
