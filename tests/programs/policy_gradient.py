"""REINFORCE with a baseline on a two-armed walk: torch.distributions, discounted returns, entropy bonus."""

import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Categorical

device = os.environ.get("DEVICE", "cpu")
rng = np.random.RandomState(17)
gamma = 0.95


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 24)
        self.dropout = nn.Dropout(p=0.0)
        self.action_head = nn.Linear(24, 3)
        self.value_head = nn.Linear(24, 1)
        self.saved_actions, self.rewards = [], []

    def forward(self, x):
        x = F.relu(self.dropout(self.affine1(x)))
        return F.softmax(self.action_head(x), dim=-1), self.value_head(x)


class Walk:
    """A point on a line is to come to rest near zero; left, stay or right."""

    def reset(self):
        self.place, self.speed = rng.uniform(-1, 1), 0.0
        return self.state()

    def state(self):
        return np.array([self.place, self.speed, abs(self.place), 1.0])

    def step(self, action):
        self.speed = 0.8 * self.speed + 0.2 * (action - 1)
        self.place += self.speed
        return self.state(), -abs(self.place)


model = Policy().to(device)
for p in model.parameters():
    nn.init.zeros_(p) if p.dim() == 1 else p.data.copy_(torch.from_numpy(rng.normal(0, 0.4, tuple(p.shape))))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
eps = np.finfo(np.float32).eps.item()


def select_action(state):
    probs, state_value = model(torch.from_numpy(state).float().to(device))
    m = Categorical(probs)
    threshold = rng.rand()  # the draw itself, so that it is the same in every library
    action = torch.tensor(min(int((np.cumsum(probs.tolist()) < threshold).sum()), 2), device=device)
    model.saved_actions.append((m.log_prob(action), state_value, m.entropy()))
    return action.item()


def finish_episode():
    R, policy_losses, value_losses, returns = 0, [], [], []
    for r in model.rewards[::-1]:
        R = r + gamma * R
        returns.insert(0, R)
    returns = torch.tensor(returns, dtype=torch.float32, device=device)
    returns = (returns - returns.mean()) / (returns.std() + eps)
    for (log_prob, value, entropy), R in zip(model.saved_actions, returns):
        advantage = R - value.item()
        policy_losses.append(-log_prob * advantage - 0.01 * entropy)
        value_losses.append(F.smooth_l1_loss(value, R.unsqueeze(0)))
    optimizer.zero_grad()
    loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum()
    loss.backward()
    optimizer.step()
    del model.rewards[:]
    del model.saved_actions[:]
    return loss.item()


env, losses = Walk(), []
for i_episode in range(20):
    state = env.reset()
    for _ in range(6):
        state, reward = env.step(select_action(state))
        model.rewards.append(reward)
    losses.append(finish_episode())
    if i_episode % 5 == 0:
        print(f"Episode {i_episode}\tloss {losses[-1]:.4f}\tlast reward {reward:.2f}")
