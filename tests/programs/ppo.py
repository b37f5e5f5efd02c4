"""Proximal policy optimization on two corridors: rollout buffers filled in place, GAE, clipped ratios, shuffled batches."""

import os

import numpy as np
import torch
import torch.nn as nn
from torch.distributions.categorical import Categorical

device = torch.device(os.environ.get("DEVICE", "cpu"))
updates = (int(os.environ.get("STEPS", 24)) + 3) // 4  # four losses each
num_envs, num_steps, gamma, gae_lambda, clip_coef = 2, 16, 0.99, 0.95, 0.2
rng = np.random.default_rng(5)


class Corridor:
    """Push left or right; the reward is for being near the middle."""

    def reset(self):
        self.position, self.speed, self.time = rng.uniform(-1, 1), 0.0, 0
        return self.observe()

    def observe(self):
        return np.array([self.position, self.speed, np.sin(self.time)], dtype=np.float32)

    def step(self, action):
        self.speed = 0.8 * self.speed + (0.1 if action == 1 else -0.1)
        self.position += self.speed
        self.time += 1
        done = self.time >= 12
        return self.reset() if done else self.observe(), 1.0 - abs(self.position), done


def layer_init(layer, std=2**0.5, bias_const=0.0):
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(rng.normal(0, std / 4, tuple(layer.weight.shape))))
    torch.nn.init.constant_(layer.bias, bias_const)
    return layer


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.critic = nn.Sequential(
            layer_init(nn.Linear(3, 32)),
            nn.Tanh(),
            layer_init(nn.Linear(32, 32)),
            nn.Tanh(),
            layer_init(nn.Linear(32, 1)),
        )
        self.actor = nn.Sequential(layer_init(nn.Linear(3, 32)), nn.Tanh(), layer_init(nn.Linear(32, 2), std=0.1))

    def get_value(self, x):
        return self.critic(x)

    def get_action_and_value(self, x, action=None):
        probs = Categorical(logits=self.actor(x))
        if action is None:  # inverse of the distribution function on numbers that don't depend on the library
            u = torch.from_numpy(rng.random((len(x), 1)).astype(np.float32)).to(x.device)
            action = (probs.probs.cumsum(-1) < u).sum(-1).clamp(max=1)
        return action, probs.log_prob(action), probs.entropy(), self.critic(x)


agent = Agent().to(device)
optimizer = torch.optim.Adam(agent.parameters(), lr=2.5e-3, eps=1e-5)
envs = [Corridor() for _ in range(num_envs)]
obs = torch.zeros((num_steps, num_envs) + (3,)).to(device)
actions, logprobs, rewards, dones, values = (torch.zeros((num_steps, num_envs)).to(device) for _ in range(5))
next_obs = torch.Tensor(np.stack([e.reset() for e in envs])).to(device)
next_done = torch.zeros(num_envs).to(device)

losses = []
for update in range(1, updates + 1):
    optimizer.param_groups[0]["lr"] = (1.0 - (update - 1.0) / updates) * 2.5e-3
    for step in range(num_steps):
        obs[step], dones[step] = next_obs, next_done
        with torch.no_grad():
            action, logprob, _, value = agent.get_action_and_value(next_obs)
            values[step] = value.flatten()
        actions[step], logprobs[step] = action, logprob
        seen, reward, done = zip(*(e.step(a) for e, a in zip(envs, action.cpu().numpy())))
        rewards[step] = torch.tensor(reward).to(device).view(-1)
        next_obs, next_done = torch.Tensor(np.array(seen)).to(device), torch.Tensor(done).to(device)

    with torch.no_grad():
        next_value = agent.get_value(next_obs).reshape(1, -1)
        advantages = torch.zeros_like(rewards).to(device)
        lastgaelam = 0
        for t in reversed(range(num_steps)):
            last = t == num_steps - 1
            nextnonterminal = 1.0 - (next_done if last else dones[t + 1])
            nextvalues = next_value if last else values[t + 1]
            delta = rewards[t] + gamma * nextvalues * nextnonterminal - values[t]
            advantages[t] = lastgaelam = delta + gamma * gae_lambda * nextnonterminal * lastgaelam
        returns = advantages + values

    b_obs, b_logprobs, b_actions = obs.reshape((-1, 3)), logprobs.reshape(-1), actions.reshape(-1)
    b_advantages, b_returns, b_values = advantages.reshape(-1), returns.reshape(-1), values.reshape(-1)
    b_inds, clipfracs = np.arange(num_envs * num_steps), []
    for epoch in range(2):
        rng.shuffle(b_inds)
        for start in range(0, len(b_inds), 16):
            mb = b_inds[start : start + 16]
            _, newlogprob, entropy, newvalue = agent.get_action_and_value(b_obs[mb], b_actions.long()[mb])
            logratio = newlogprob - b_logprobs[mb]
            ratio = logratio.exp()
            with torch.no_grad():
                approx_kl = ((ratio - 1) - logratio).mean()
                clipfracs += [((ratio - 1.0).abs() > clip_coef).float().mean().item()]
            mb_advantages = b_advantages[mb]
            mb_advantages = (mb_advantages - mb_advantages.mean()) / (mb_advantages.std() + 1e-8)
            clipped = torch.clamp(ratio, 1 - clip_coef, 1 + clip_coef)
            pg_loss = torch.max(-mb_advantages * ratio, -mb_advantages * clipped).mean()
            newvalue = newvalue.view(-1)
            v_clipped = b_values[mb] + torch.clamp(newvalue - b_values[mb], -clip_coef, clip_coef)
            v_loss = torch.max((newvalue - b_returns[mb]) ** 2, (v_clipped - b_returns[mb]) ** 2)
            loss = pg_loss - 0.01 * entropy.mean() + 0.25 * v_loss.mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()
            losses.append(loss.item())
    y_pred, y_true = b_values.cpu().numpy(), b_returns.cpu().numpy()
    explained = np.nan if np.var(y_true) == 0 else 1 - np.var(y_true - y_pred) / np.var(y_true)
    print(f"{update}: kl {approx_kl.item():.5f} clipped {np.mean(clipfracs):.2f} explained {explained:.3f}")
