"""
Recurrent PPO of stable-baselines3: balance a pole without seeing its speed, in PyTorch and in bptt.

    pip install bptt sb3-contrib
    python examples/recipes/dropin/recurrent_ppo.py

`replace` makes the LSTMs of the actor and the critic run in bptt. Both runs begin with the same seed.
"""

import time

import gymnasium
import torch
from gymnasium.wrappers import TransformObservation
from sb3_contrib import RecurrentPPO

from bptt.interop.torch import replace

SEED, STEPS = 0, 2048
weights, seconds = [], []
for swap in (False, True):
    env = gymnasium.make("CartPole-v1")
    positions = gymnasium.spaces.Box(-10, 10, (2,))
    env = TransformObservation(env, lambda seen: seen[::2], positions)
    agent = RecurrentPPO("MlpLstmPolicy", env, n_steps=256, batch_size=64, seed=SEED, device="cpu")
    if swap:
        replace(agent.policy)
    begin = time.perf_counter()
    agent.learn(STEPS)
    seconds.append(time.perf_counter() - begin)
    weights.append(torch.nn.utils.parameters_to_vector(agent.policy.parameters()).detach())
difference, ratio = abs(weights[1] - weights[0]).max().item(), seconds[0] / seconds[1]
print(f"weights differ by at most {difference:.0e} after {STEPS} steps, {ratio:.1f} times as fast")
