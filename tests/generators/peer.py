"""The peers of the zoo's networks, timm's and LeNet-5, with parameters from a formula, and what they compute.

A parameter follows from its name, so that a reader makes the same one and no fixture holds it (tests/src/formula.rs):
  z = fnv1a64(name) + (i + 1) * 0x9E3779B97F4A7C15, mixed as splitmix64 does;  u = (z >> 40) / 2^24, in [0, 1)
  weight of a convolution or a linear layer   (2u - 1) * sqrt(6 / fan_in), 1/32 of it in a layer named `query`
  scale of a norm                             0.8 + 0.4u
  layer scale                                 0.3 + 0.2u
  bias, shift of a norm                       (2u - 1) / 5
computed in float64, stored in float32. The running statistics of a norm come from those of a batch, so that values neither vanish nor grow on
their way (`calibrate`). A fixture has means in two bytes and variances in one: mean = a (256 m + l - 32768) / 32767 and
variance = (b (v + 1) / 256)^2, where a and b (float32) are the norm's own. Images are noise on squares of 8 x 8 pixels, whose colors are
drawn too, so that their parts are unlike.
"""

import math

import numpy as np
import timm
import torch
from torch import nn

from zoo import LeNet5

CALIBRATION = 24  # images
FACTORS = 0.5, 2.0
CONTRAST = 0.03, 0.2  # between the vectors before the classifier of two images, of the largest magnitude
SOFT = 0.03125  # of weights that make queries: sharp attention would turn rounding into differences


def uniform(name, count):
    """`count` numbers in [0, 1), in float64."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)) * 2.0**-24


def drawn(name, shape, low, high):
    return torch.from_numpy((low + (high - low) * uniform(name, int(np.prod(shape)))).reshape(shape)).float()


def images(name, n, size):
    """`(n, 3, h, w)`; their mean is 0, their variance about 1."""
    squares = drawn(f"{name}.squares", (n, 3, *(-(-side // 8) for side in size)), -1.5, 1.5)
    coarse = squares.repeat_interleave(8, 2).repeat_interleave(8, 3)[:, :, : size[0], : size[1]]
    return coarse + drawn(f"{name}.noise", coarse.shape, -0.75, 0.75)


def network(name, classes):
    if name == "lenet5":
        net = LeNet5()
        net.fc2 = nn.Linear(84, classes)
        return net
    return timm.create_model(name, num_classes=classes)


def norms(net):
    """Batch norms by name, in the order of names."""
    found = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    return sorted(found, key=lambda pair: pair[0].encode())


def fill(net):
    """Gives every parameter its value."""
    with torch.no_grad():
        for path, module in net.named_modules():
            is_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
            for end, parameter in module.named_parameters(recurse=False):
                name, shape = f"{path}.{end}" if path else end, tuple(parameter.shape)
                if parameter.ndim > 1:
                    reach = math.sqrt(6.0 / int(np.prod(shape[1:]))) * (SOFT if ".query." in name else 1.0)
                    value = drawn(name, shape, -reach, reach)
                elif end == "gamma":
                    value = drawn(name, shape, 0.3, 0.5)
                elif end == "weight":
                    assert is_norm, name
                    value = drawn(name, shape, 0.8, 1.2)
                else:
                    assert end == "bias", name
                    value = drawn(name, shape, -0.2, 0.2)
                parameter.copy_(value)


def calibrate(net, size):
    """Sets running statistics; returns `a` and `b` of the norms (F32, two each), and all `m`, `l` and `v` of a norm, norm by norm (U8).

    The smaller variances are, the more of what tells two images apart arrives in the outputs, and of rounding too: enough of the former,
    and no more, is found by halving.
    """
    if not norms(net):
        return None
    for _, norm in norms(net):
        norm.momentum = 1.0
    net.train()
    with torch.no_grad():
        net(images("calibration", CALIBRATION, size))
    seen = [(norm.running_mean.double(), norm.running_var.double()) for _, norm in norms(net)]
    few, many = FACTORS  # of variances: with the first, images are told apart, with the second not
    while True:
        factor = math.sqrt(few * many)
        stored = settle(net, seen, factor)
        first, second = taps(net, images("contrast", 2, size))["pre_logits"]
        contrast = (first - second).abs().max() / first.abs().max()
        if CONTRAST[0] < contrast < CONTRAST[1] or many < 1.001 * few:
            return stored
        few, many = (few, factor) if contrast < CONTRAST[0] else (factor, many)


def settle(net, seen, factor):
    """Gives norms the means of what was seen, and variances that are not the channels' own: small ones are chance, and where a mean is far
    larger, what is left of rounding would be blown up. As a fixture has them, all of them."""
    scales, codes = [], []
    for (_, norm), (mean, var) in zip(norms(net), seen):
        std = (factor * (0.75 * var + 0.25 * var.mean() + 0.25 * mean.square())).sqrt()
        a, b = mean.abs().max().float(), std.max().float()
        code = (mean / a.double() * 32767 + 32768).round().clamp(0, 65535).long()
        spread = (std / b.double() * 256 - 1).round().clamp(0, 255).long()
        norm.running_mean.copy_(a.double() * (code - 32768) / 32767)
        norm.running_var.copy_((b.double() * (spread + 1) / 256).square())
        scales += [a, b]
        codes += [code // 256, code % 256, spread]
    return torch.stack(scales), torch.cat(codes).to(torch.uint8)


def made(name, classes, size):
    """The network with its parameters, and what `calibrate` returns."""
    net = network(name, classes)
    fill(net)
    return net, calibrate(net, size)


def taps(net, xs):
    """`features`, `pre_logits` and `logits` in evaluation mode, in the element type of `xs`."""
    net.eval().to(xs.dtype)
    with torch.no_grad():
        if isinstance(net, LeNet5):
            features, pre_logits, logits = net.taps(xs)
        elif not hasattr(net, "forward_features"):
            return hooked(net, xs)
        else:
            features = net.forward_features(xs)
            pre_logits = net.forward_head(features, pre_logits=True).flatten(1)
            logits = net.forward_head(features)
    return {"features": features, "pre_logits": pre_logits, "logits": logits}


def hooked(net, xs):
    """The same of torchvision's networks: after the trunk, and around the last linear layer."""
    *_, last = (module for module in net.modules() if isinstance(module, nn.Linear))
    trunk = getattr(net, "features", None) or getattr(net, "layers", None) or net.layer4
    seen = {}
    hooks = [
        trunk.register_forward_hook(lambda module, args, out: seen.update(features=out)),
        last.register_forward_hook(lambda module, args, out: seen.update(pre_logits=args[0], logits=out)),
    ]
    net(xs)
    for hook in hooks:
        hook.remove()
    return seen
