"""Learning rates of PyTorch's and timm's schedulers, one value for each step.

Writes crates/optim/tests/fixtures/schedule.safetensors, F64, the rate of steps 0-199 at a base rate of 0.1:
  cosine                  CosineAnnealingLR(T_max=200)
  warmup_cosine           20 steps of linear warm-up, (step + 1) / 20 of the base rate, then CosineAnnealingLR(T_max=180, eta_min=0.001)
  restarts                CosineAnnealingWarmRestarts(T_0=20, T_mult=2, eta_min=0.001)
  restarts_equal          CosineAnnealingWarmRestarts(T_0=30)
  restarts_timm           timm's CosineLRScheduler(t_initial=25, cycle_mul=1.5, cycle_decay=0.8, lr_min=0.001, cycle_limit=99)
  one_cycle               OneCycleLR(max_lr=0.1, total_steps=200)
  one_cycle_early         OneCycleLR(max_lr=0.1, total_steps=200, pct_start=0.123)
  step                    StepLR(step_size=15, gamma=0.5)
  multi_step              MultiStepLR(milestones=[30, 80, 81], gamma=0.3)
  exponential             ExponentialLR(gamma=0.97)
  polynomial              PolynomialLR(total_iters=150, power=2.5)
  plateau_min             ReduceLROnPlateau("min", factor=0.5, patience=3) on `scores`; the rate after score i
  plateau_max             ReduceLROnPlateau("max", factor=0.3, patience=5, cooldown=4, min_lr=1e-4) on `scores`; the rate after score i
and the scores, `scores` (200,): a falling curve with noise.

  python tests/generators/schedule.py
"""

import timm.scheduler
import torch
from torch.optim import lr_scheduler

import fixture

STEPS, BASE, WARMUP = 200, 0.1, 20


def optimizer_of():
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)


def rates(build):
    optimizer = optimizer_of()
    schedule = build(optimizer)
    out = []
    for _ in range(STEPS):
        out.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return torch.tensor(out, dtype=torch.float64)


def warmup_cosine(optimizer):
    # LinearLR counts from 0, so its factor at step i is (i + 1) / WARMUP with these ends.
    warmup = lr_scheduler.LinearLR(optimizer, 1 / WARMUP, 1.0, WARMUP - 1)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, STEPS - WARMUP, eta_min=0.001)
    return lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [WARMUP])


def timm_restarts():
    optimizer = optimizer_of()
    schedule = timm.scheduler.CosineLRScheduler(optimizer, t_initial=25, cycle_mul=1.5, cycle_decay=0.8, lr_min=0.001, cycle_limit=99)
    out = []
    for step in range(STEPS):
        schedule.step(step)
        out.append(float(optimizer.param_groups[0]["lr"]))
    return torch.tensor(out, dtype=torch.float64)


def one_cycle(**options):
    optimizer = optimizer_of()
    schedule = lr_scheduler.OneCycleLR(optimizer, BASE, STEPS, **options)
    out = []
    for step in range(STEPS):
        out.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step + 1 < STEPS:  # it refuses to go on
            schedule.step()
    return torch.tensor(out, dtype=torch.float64)


def plateau(scores, mode, **options):
    optimizer = optimizer_of()
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, mode, **options)
    out = []
    for score in scores.tolist():
        schedule.step(score)
        out.append(float(optimizer.param_groups[0]["lr"]))
    return torch.tensor(out, dtype=torch.float64)


if __name__ == "__main__":
    seed = 0
    noise = torch.rand(STEPS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    scores = torch.exp(-torch.arange(STEPS, dtype=torch.float64) / 40) + 0.2 * noise + 0.5
    tensors = {
        "cosine": rates(lambda it: lr_scheduler.CosineAnnealingLR(it, STEPS)),
        "warmup_cosine": rates(warmup_cosine),
        "restarts": rates(lambda it: lr_scheduler.CosineAnnealingWarmRestarts(it, 20, 2, eta_min=0.001)),
        "restarts_equal": rates(lambda it: lr_scheduler.CosineAnnealingWarmRestarts(it, 30)),
        "restarts_timm": timm_restarts(),
        "one_cycle": one_cycle(),
        "one_cycle_early": one_cycle(pct_start=0.123),
        "step": rates(lambda it: lr_scheduler.StepLR(it, 15, 0.5)),
        "multi_step": rates(lambda it: lr_scheduler.MultiStepLR(it, [30, 80, 81], 0.3)),
        "exponential": rates(lambda it: lr_scheduler.ExponentialLR(it, 0.97)),
        "polynomial": rates(lambda it: lr_scheduler.PolynomialLR(it, 150, 2.5)),
        "plateau_min": plateau(scores, "min", factor=0.5, patience=3),
        "plateau_max": plateau(scores, "max", factor=0.3, patience=5, cooldown=4, min_lr=1e-4),
        "scores": scores,
    }
    fixture.save("crates/optim/tests/fixtures/schedule.safetensors", tensors, seed)
