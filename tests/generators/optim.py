"""Ten steps of PyTorch's optimizers with given gradients.

Writes crates/optim/tests/fixtures/optim.safetensors, all F32:
  before/<param>                 a matrix `weight` (3, 4) and a vector `bias` (5): two groups, only `weight` decays
  grads/<step>/<param>           step 0-9
  <case>/after/<step>/<param>    parameters after that step
  <case>/state/<param>.<slot>    the optimizer's state after step 9: `momentum_buffer`, or `exp_avg` and `exp_avg_sq`
The learning rate of step i is 0.1 * (1 - i / 20) for SGD, a tenth of that for AdamW: it changes every step, as under a schedule.
`bias` runs at half that rate. The metadata key `cases` is a JSON object: case -> its options, under PyTorch's names.

  python tests/generators/optim.py
"""

import json

import torch

import fixture

STEPS = 10
CASES = {
    "sgd": ("SGD", {"momentum": 0.0, "weight_decay": 0.0}),
    "sgd_momentum": ("SGD", {"momentum": 0.9, "weight_decay": 0.0}),
    "sgd_momentum_decay": ("SGD", {"momentum": 0.9, "weight_decay": 0.05}),
    "sgd_nesterov_decay": ("SGD", {"momentum": 0.9, "weight_decay": 0.05, "nesterov": True}),
    "sgd_dampening": ("SGD", {"momentum": 0.9, "weight_decay": 0.0, "dampening": 0.3}),
    "adamw": ("AdamW", {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}),
    "adamw_decay": ("AdamW", {"betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
}


def lr_at(step, kind):
    return (0.1 if kind == "SGD" else 0.01) * (1 - step / 20)


def run(kind, options, before, grads):
    """Tensors below the case's name."""
    params = {name: tensor.clone().requires_grad_() for name, tensor in before.items()}
    groups = [{"params": [params["weight"]]}, {"params": [params["bias"]], "weight_decay": 0.0}]
    optimizer = getattr(torch.optim, kind)(groups, lr=1.0, foreach=False, **options)
    out = {}
    for step in range(STEPS):
        for group, scale in zip(optimizer.param_groups, [1.0, 0.5]):
            group["lr"] = lr_at(step, kind) * scale
        for name, param in params.items():
            param.grad = grads[step][name].clone()
        optimizer.step()
        out |= {f"after/{step}/{name}": param.detach().clone() for name, param in params.items()}
    for name, param in params.items():
        state = optimizer.state[param]
        out |= {f"state/{name}.{slot}": value for slot, value in state.items() if slot != "step" and value is not None}
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    seed = 0
    generator = torch.Generator().manual_seed(seed)
    shapes = {"weight": (3, 4), "bias": (5,)}
    draw = lambda: {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    before, grads = draw(), [draw() for _ in range(STEPS)]
    tensors = {f"before/{name}": tensor for name, tensor in before.items()}
    tensors |= {f"grads/{step}/{name}": tensor for step in range(STEPS) for name, tensor in grads[step].items()}
    for case, (kind, options) in CASES.items():
        tensors |= {f"{case}/{name}": tensor for name, tensor in run(kind, options, before, grads).items()}
    cases = json.dumps({case: {"kind": kind, **options} for case, (kind, options) in CASES.items()})
    fixture.save("crates/optim/tests/fixtures/optim.safetensors", tensors, seed, cases=cases)
