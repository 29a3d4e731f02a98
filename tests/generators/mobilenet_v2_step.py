"""One training step of MobileNetV2: taps, loss, every gradient, the updated running statistics.

Writes four fixtures to tests/fixtures:
  mobilenet_v2_short_{f64,f32}.safetensors   a short network that has every kind of block (mobilenet_v2_net.SHORT)
  mobilenet_v2_step_{f64,f32}.safetensors    the whole table at width 0.1: all 158 parameter tensors

Both files of a network hold the same problem, computed in float64 and in float32. Keys (maps are (n, c, h, w), as in PyTorch):
  inputs (n, 3, h, w) F32, targets (n) I64     normalized images, classes
  params/<name> F32                            parameters and running statistics before the step, under timm's names
  taps/{features,pre_logits,logits}, loss      in training mode (batch statistics), no dropout; loss is the mean cross-entropy
  grads/<name>                                 of the loss, for each trained parameter
  updated/<name>                               running mean and variance after the step (momentum 0.1, unbiased variance)
  eval/logits                                  of the same inputs in eval mode, with the statistics before the step
The short network's f64 file also holds what partly frozen networks give (frozen parameters have no gradient, frozen norms use and keep
their running statistics), with keys logits, loss, grads/<name>, updated/<name> below
  frozen_norms/                                every norm is frozen, convolutions and classifier are trained
  frozen_stage/                                conv_stem, bn1, blocks.0 and blocks.1 are frozen, the rest is trained
  frozen_backbone/                             only the classifier is trained

In f32 a seed counts only if PyTorch's two memory layouts agree on each gradient to 1e-4 of its norm (gradients that are zero
by theory aside: biases of projection norms, whose constant the next norm takes away): where they do not, some value lies so
near to a corner of ReLU6 that the order of a sum decides its gradient, and no implementation can be held to the golden.

  python tests/generators/mobilenet_v2_step.py
"""

import copy
import json

import torch
from torch.nn import functional as F

import fixture
import mobilenet_v2_net as net

CLASSES = 5
LAYOUTS_AGREE = 1e-4  # of a gradient's norm
ZERO_BY_THEORY = 1e-6  # of the largest gradient's norm


def problem(build, size, batch, seed):
    """A network with random parameters, a batch and its targets."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model, table = build()
    net.randomize(model, generator)
    inputs = torch.randn((batch, 3, *size), generator=generator)
    targets = torch.randint(CLASSES, (batch,), generator=generator)
    return model, table, inputs, targets


def step(model, table, inputs, targets, dtype, layout=torch.contiguous_format, frozen=lambda name: False):
    """One forward and backward pass in `dtype`; leaves `model` as it was."""
    model = copy.deepcopy(model).to(dtype).to(memory_format=layout).train()
    named = net.named_tensors(model, table)
    for name, (tensor, is_trained) in named.items():
        tensor.requires_grad_(is_trained and not frozen(name))
    for old, new in net.timm_modules(table):
        if frozen(new + ".weight"):
            model.get_submodule(old).eval()
    features = model.features(inputs.to(dtype).contiguous(memory_format=layout))
    pre_logits = features.mean((2, 3))
    logits = model.classifier(pre_logits)
    loss = F.cross_entropy(logits, targets)
    loss.backward()
    out = {"taps/features": features, "taps/pre_logits": pre_logits, "taps/logits": logits, "loss": loss}
    out |= {f"grads/{name}": tensor.grad for name, (tensor, is_trained) in named.items() if tensor.grad is not None}
    out |= {
        f"updated/{name}": tensor
        for name, (tensor, is_trained) in named.items()
        if not is_trained and not frozen(name)
    }
    return {name: tensor.detach().contiguous() for name, tensor in out.items()}


def disagreement(step_a, step_b):
    """Largest difference of a gradient, as a fraction of its norm, and its name; gradients that are zero by theory aside."""
    norms = {name: tensor.double().norm() for name, tensor in step_a.items() if name.startswith("grads/")}
    largest = max(norms.values())
    worst = [
        ((step_a[name].double() - step_b[name].double()).norm().item() / norm.item(), name)
        for name, norm in norms.items()
        if norm > ZERO_BY_THEORY * largest
    ]
    return max(worst)


def find_seed(build, size, batch):
    """The first seed on which PyTorch's f32 layouts agree with each other, and with f64."""
    for seed in range(1000):
        args = problem(build, size, batch, seed)
        golden = step(*args, torch.float32)
        layouts, _ = disagreement(golden, step(*args, torch.float32, torch.channels_last))
        exact, name = disagreement(step(*args, torch.float64), golden)
        print(f"  seed {seed}: layouts differ by {layouts:.1e}, from f64 by {exact:.1e} ({name})")
        if max(layouts, exact) < LAYOUTS_AGREE:
            return seed, args, layouts
    raise SystemExit("no seed found")


def evaluate(model, inputs, dtype):
    with torch.no_grad():
        return copy.deepcopy(model).to(dtype).eval()(inputs.to(dtype))


FROZEN = {
    "frozen_norms": lambda name: ".bn" in f".{name}",
    "frozen_stage": lambda name: name.startswith(("conv_stem.", "bn1.", "blocks.0.", "blocks.1.")),
    "frozen_backbone": lambda name: not name.startswith("classifier."),
}


def write(file_stem, build, size, batch, scenarios, **more):
    seed, args, layouts = find_seed(build, size, batch)
    model, table, inputs, targets = args
    for dtype, tag in [(torch.float64, "f64"), (torch.float32, "f32")]:
        tensors = {"inputs": inputs, "targets": targets}
        tensors |= {f"params/{name}": tensor for name, (tensor, _) in net.named_tensors(model, table).items()}
        tensors |= step(*args, dtype)
        tensors["eval/logits"] = evaluate(model, inputs, dtype)
        for scenario, frozen in scenarios.items() if dtype == torch.float64 else ():
            partial = step(*args, dtype, frozen=frozen)
            del partial["taps/features"], partial["taps/pre_logits"]
            tensors |= {f"{scenario}/{name.removeprefix('taps/')}": tensor for name, tensor in partial.items()}
        fixture.save(
            f"tests/fixtures/{file_stem}_{tag}.safetensors",
            tensors,
            seed,
            table=json.dumps(table),
            layouts_differ_by=f"{layouts:.2e}",
            **more,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    stem_head = {"stem": net.SHORT_STEM, "head": net.SHORT_HEAD}
    write("mobilenet_v2_short", lambda: net.short(CLASSES), (37, 50), 3, FROZEN, **stem_head)
    write("mobilenet_v2_step", lambda: net.full(0.1, CLASSES), (45, 50), 4, {}, width_mult=0.1)
