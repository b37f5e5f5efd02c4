"""Deep Q-learning on a corridor: replay memory of named tuples, target network, soft updates, clipped gradient values."""

import math
import os
import random
from collections import deque, namedtuple

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

device = torch.device(os.environ.get("DEVICE", "cpu"))
rng = np.random.RandomState(3)
random.seed(3)
Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))


class Corridor:
    """Five cells; left or right; the reward waits at the right end."""

    def reset(self):
        self.position, self.time = 1, 0
        return self.observe()

    def observe(self):
        return np.array([self.position / 4, self.time / 20, math.sin(self.position)], dtype=np.float32)

    def step(self, action):
        self.position = max(0, self.position + (1 if action == 1 else -1))
        self.time += 1
        done = self.position >= 4
        return self.observe(), 1.0 if done else -0.05, done, self.time >= 20


class ReplayMemory:
    def __init__(self, capacity):
        self.memory = deque([], maxlen=capacity)

    def push(self, *args):
        self.memory.append(Transition(*args))

    def sample(self, batch_size):
        return random.sample(self.memory, batch_size)

    def __len__(self):
        return len(self.memory)


class DQN(nn.Module):
    def __init__(self, n_observations, n_actions):
        super().__init__()
        self.layer1 = nn.Linear(n_observations, 24)
        self.layer2 = nn.Linear(24, 24)
        self.layer3 = nn.Linear(24, n_actions)

    def forward(self, x):
        x = F.relu(self.layer1(x))
        x = F.relu(self.layer2(x))
        return self.layer3(x)


BATCH_SIZE, GAMMA, TAU = 16, 0.9, 0.05
policy_net, target_net = DQN(3, 2).to(device), DQN(3, 2).to(device)
policy_net.load_state_dict(
    {k: torch.tensor(rng.uniform(-0.4, 0.4, v.shape), dtype=torch.float) for k, v in policy_net.state_dict().items()}
)
target_net.load_state_dict(policy_net.state_dict())
optimizer = optim.AdamW(policy_net.parameters(), lr=5e-3, amsgrad=True)
memory = ReplayMemory(200)
losses = []


def select_action(state, epsilon):
    if rng.rand() > epsilon:
        with torch.no_grad():
            return policy_net(state).max(1).indices.view(1, 1)
    return torch.tensor([[rng.randint(2)]], device=device, dtype=torch.long)


def optimize_model():
    if len(memory) < BATCH_SIZE:
        return
    batch = Transition(*zip(*memory.sample(BATCH_SIZE)))
    non_final_mask = torch.tensor([s is not None for s in batch.next_state], device=device, dtype=torch.bool)
    non_final_next_states = torch.cat([s for s in batch.next_state if s is not None])
    state_batch, action_batch, reward_batch = (torch.cat(part) for part in (batch.state, batch.action, batch.reward))
    state_action_values = policy_net(state_batch).gather(1, action_batch)
    next_state_values = torch.zeros(BATCH_SIZE, device=device)
    with torch.no_grad():
        next_state_values[non_final_mask] = target_net(non_final_next_states).max(1).values
    expected = (next_state_values * GAMMA) + reward_batch
    loss = nn.SmoothL1Loss()(state_action_values, expected.unsqueeze(1))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(policy_net.parameters(), 0.5)
    optimizer.step()
    for target, policy in zip(target_net.parameters(), policy_net.parameters()):
        target.data.mul_(1 - TAU).add_(TAU * policy.data)
    losses.append(loss.item())


env = Corridor()
steps_done = 0
for episode in range(6):
    state = torch.tensor(env.reset(), dtype=torch.float32, device=device).unsqueeze(0)
    done = truncated = False
    while not (done or truncated):
        action = select_action(state, epsilon=0.3 + 0.6 * math.exp(-steps_done / 20))
        steps_done += 1
        observation, reward, done, truncated = env.step(action.item())
        next_state = None if done else torch.tensor(observation, device=device).unsqueeze(0)
        memory.push(state, action, next_state, torch.tensor([reward], device=device))
        state = next_state
        optimize_model()
    print(f"episode {episode}: {env.time} steps, {len(losses)} updates")
