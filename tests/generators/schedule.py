"""Learning rates of PyTorch's schedulers, one value for each step.

Writes crates/optim/tests/fixtures/schedule.safetensors, F64, the rate of steps 0-39 at a base rate of 0.1:
  cosine (40,)            CosineAnnealingLR(T_max=40)
  warmup_cosine (40,)     5 steps of linear warm-up, (step + 1) / 5 of the base rate, then CosineAnnealingLR(T_max=35) from step 5
  step (40,)              StepLR(step_size=15, gamma=0.1)

  python tests/generators/schedule.py
"""

import torch
from torch.optim import lr_scheduler

import fixture

STEPS, BASE, WARMUP = 40, 0.1, 5


def rates(build):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)
    schedule = build(optimizer)
    out = []
    for _ in range(STEPS):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return torch.tensor(out, dtype=torch.float64)


def warmup_cosine(optimizer):
    # LinearLR counts from 0, so its factor at step i is (i + 1) / WARMUP with these ends.
    warmup = lr_scheduler.LinearLR(optimizer, 1 / WARMUP, 1.0, WARMUP - 1)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, STEPS - WARMUP)
    return lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [WARMUP])


if __name__ == "__main__":
    tensors = {
        "cosine": rates(lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, STEPS)),
        "warmup_cosine": rates(warmup_cosine),
        "step": rates(lambda optimizer: lr_scheduler.StepLR(optimizer, 15, 0.1)),
    }
    print(tensors["warmup_cosine"])
    fixture.save("crates/optim/tests/fixtures/schedule.safetensors", tensors, "none")
