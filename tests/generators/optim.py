"""Ten steps of the optimizers of PyTorch and timm with given gradients, in two precisions, and what clipping makes of gradients.

Writes crates/optim/tests/fixtures/optim.safetensors:
  before/<param>                              F32: `linear` (6, 10), `conv` (8, 2, 3, 3), `depthwise` (6, 1, 3, 3), `bias` (6), `norm` (8)
  grads/<step>/<param>                        F32, step 0-9
  <case>/<f32|f64>/after/<step>/<param>       parameters after steps 4 and 9, in that precision
  <case>/<f32|f64>/state/<param>.<slot>       the optimizer's state after step 9, under PyTorch's and timm's names, without `step`
  clip/agc/<param>, clip/value/<param>        F32, the gradients of step 0 after adaptive_clip_grad(0.1) and clip_grad_value_(0.5)
Two groups: the weights decay; `bias` and `norm` do not, and run at half the rate. The rate of step i is the case's base * (1 - i / 20): it
changes every step, as under a schedule. The metadata key `cases` is a JSON object: case -> its options. The iteration of Muon is in the
parameters' precision, where PyTorch and timm round to bf16; its parameters that are no matrices are stepped by AdamW.

  python tests/generators/optim.py
"""

import json

import timm.optim
import torch
from timm.optim import muon as timm_muon
from timm.utils.agc import adaptive_clip_grad

import fixture

STEPS, SAVED = 10, (4, 9)
SHAPES = {"linear": (6, 10), "conv": (8, 2, 3, 3), "depthwise": (6, 1, 3, 3), "bias": (6,), "norm": (8,)}
UNDECAYED = ("bias", "norm")
CASES = {
    "sgd": ("SGD", 0.1, {"momentum": 0.0}),
    "sgd_momentum": ("SGD", 0.1, {"momentum": 0.9}),
    "sgd_momentum_decay": ("SGD", 0.1, {"momentum": 0.9, "weight_decay": 0.05}),
    "sgd_nesterov_decay": ("SGD", 0.1, {"momentum": 0.9, "weight_decay": 0.05, "nesterov": True}),
    "sgd_dampening": ("SGD", 0.1, {"momentum": 0.9, "dampening": 0.3}),
    "adam_decay": ("Adam", 0.01, {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    "adamw": ("AdamW", 0.01, {"weight_decay": 0.0}),
    "adamw_decay": ("AdamW", 0.01, {"betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    "nadam_decay": ("NAdam", 0.01, {"weight_decay": 0.1}),
    "rmsprop": ("RMSprop", 0.01, {}),
    "rmsprop_centered": ("RMSprop", 0.01, {"alpha": 0.9, "eps": 1e-3, "centered": True}),
    "rmsprop_momentum_decay": ("RMSprop", 0.01, {"momentum": 0.9, "weight_decay": 0.1}),
    "rmsprop_all": ("RMSprop", 0.01, {"alpha": 0.9, "eps": 1e-3, "momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    "rmsprop_tf": ("RMSpropTF", 0.01, {"eps": 1e-3}),
    "rmsprop_tf_decay": ("RMSpropTF", 0.01, {"eps": 1e-3, "momentum": 0.9, "weight_decay": 0.1}),
    "lamb_decay": ("Lamb", 0.01, {"weight_decay": 0.1}),
    "lamb_always": ("Lamb", 0.01, {"weight_decay": 0.0, "max_grad_norm": None, "always_adapt": True}),
    "lion_decay": ("Lion", 0.003, {"weight_decay": 0.3}),
    "adan_decay": ("Adan", 0.01, {"weight_decay": 0.1}),
    "muon_decay": ("Muon", 0.02, {"weight_decay": 0.1}),
    "muon_original": ("torch.Muon", 0.02, {"weight_decay": 0.1}),
    "lookahead": ("Lookahead", 0.01, {"weight_decay": 0.1}),
}


def groups_of(params):
    weights = [param for name, param in params.items() if name not in UNDECAYED]
    return [{"params": weights}, {"params": [params[name] for name in UNDECAYED], "weight_decay": 0.0}]


def build(kind, options, params):
    """Optimizers, and by parameter group the factor on the rate."""
    if kind == "Muon":
        groups = groups_of(params)
        return [timm_muon.Muon(groups, lr=1.0, momentum=0.95, nesterov=False, adjust_lr_fn="match_rms_adamw", ns_coefficients="original", betas=(0.9, 0.999), eps=1e-7, **options)]
    if kind == "torch.Muon":  # it takes matrices alone; the rest is an AdamW, here for everything but `linear`
        muon = torch.optim.Muon([params["linear"]], lr=1.0, adjust_lr_fn="original", **options)
        rest = groups_of({name: param for name, param in params.items() if name != "linear"})
        return [muon, torch.optim.AdamW(rest, lr=1.0, weight_decay=options["weight_decay"])]
    if kind == "Lookahead":
        base = torch.optim.AdamW(groups_of(params), lr=1.0, foreach=False, **options)
        return [timm.optim.Lookahead(base, alpha=0.5, k=3)]
    module = torch.optim if hasattr(torch.optim, kind) else timm.optim
    return [getattr(module, kind)(groups_of(params), lr=1.0, foreach=False, **options)]


def run(kind, base, options, before, grads, dtype):
    """Tensors below the case's name and precision."""
    torch.set_default_dtype(dtype)
    params = {name: tensor.to(dtype).clone().requires_grad_() for name, tensor in before.items()}
    optimizers = build(kind, options, params)
    out = {}
    for step in range(STEPS):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                undecayed = any(param is params[name] for param in group["params"] for name in UNDECAYED)
                group["lr"] = base * (1 - step / 20) * (0.5 if undecayed else 1.0)
        for name, param in params.items():
            param.grad = grads[step][name].to(dtype)
        for optimizer in optimizers:
            optimizer.step()
            if step == 0 and kind == "Lookahead":
                # In the paper the slow weights begin as the parameters; timm's begin at the first synchronization.
                for name, param in params.items():
                    optimizer._base_optimizer.state[param]["lookahead_slow_buff"] = before[name].to(dtype).clone()
        if step in SAVED:
            out |= {f"after/{step}/{name}": param.detach().clone() for name, param in params.items()}
    for optimizer in optimizers:
        states = getattr(optimizer, "_base_optimizer", optimizer).state
        for name, param in params.items():
            for slot, value in states.get(param, {}).items():
                if slot != "step" and torch.is_tensor(value):
                    out[f"state/{name}.{slot}"] = value.to(torch.float64) if slot == "mu_product" else value.clone()
    torch.set_default_dtype(torch.float32)
    return out


def in_full_precision():
    """Lets the iterations of Muon run in the parameters' precision."""
    torch.Tensor.bfloat16 = lambda tensor: tensor.clone()
    iterate = timm_muon.zeropower_via_newtonschulz
    timm_muon.zeropower_via_newtonschulz = lambda matrix, *args, **options: iterate(matrix, *args, **options, dtype=matrix.dtype)


def clipped(clip, before, grads):
    params = {name: tensor.clone().requires_grad_() for name, tensor in before.items()}
    for name, param in params.items():
        param.grad = grads[name].clone()
    clip(list(params.values()))
    return {name: param.grad.clone() for name, param in params.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    in_full_precision()
    seed = 0
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    before, grads = draw(), [draw() for _ in range(STEPS)]
    tensors = {f"before/{name}": tensor for name, tensor in before.items()}
    tensors |= {f"grads/{step}/{name}": tensor for step in range(STEPS) for name, tensor in grads[step].items()}
    for case, (kind, base, options) in CASES.items():
        for word, dtype in [("f32", torch.float32), ("f64", torch.float64)]:
            given = run(kind, base, options, before, grads, dtype)
            tensors |= {f"{case}/{word}/{name}": tensor for name, tensor in given.items()}
    agc = clipped(lambda params: adaptive_clip_grad(params, clip_factor=0.1), before, grads[0])
    value = clipped(lambda params: torch.nn.utils.clip_grad_value_(params, 0.5), before, grads[0])
    for word, given in [("agc", agc), ("value", value)]:
        tensors |= {f"clip/{word}/{name}": tensor for name, tensor in given.items()}
    cases = json.dumps({case: {"kind": kind, "lr": base, **options} for case, (kind, base, options) in CASES.items()})
    fixture.save("crates/optim/tests/fixtures/optim.safetensors", tensors, seed, cases=cases)
