"""torchvision's MobileNetV2 under timm's parameter names, with random parameters that are exact in f32.

`python mobilenet_v2_net.py` prints the names of the full network, to compare with the zoo's graph.
"""

import torch
from torch import nn
from torchvision.models import MobileNetV2
from torchvision.ops.misc import Conv2dNormActivation

# Table 2 of Sandler et al. 2018, https://arxiv.org/abs/1801.04381: expansion t, channels c, repeats n, first stride s.
FULL = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]
# Every kind of block: expansion 1, expansion 6 with stride 2, with a residual, at stride 1 with other channels. The first block
# has no residual (in the full table at width 0.1 it has one, as 8 channels stay 8). Channels as built: stem 8, stages 6, 12, 16, 20; head 48.
SHORT = [[1, 6, 1, 1], [6, 12, 2, 2], [6, 16, 2, 2], [6, 20, 1, 1]]
SHORT_STEM, SHORT_HEAD = 8, 48


def full(width_mult, classes):
    """The whole network, 158 parameter tensors, at any width; no dropout."""
    return MobileNetV2(num_classes=classes, width_mult=width_mult, dropout=0.0), FULL


def short(classes):
    """The short network; torchvision's constructor fixes stem and head, so its table is scaled and its head replaced."""
    table = [[t, c * 32 // SHORT_STEM, n, s] for t, c, n, s in SHORT]
    model = MobileNetV2(classes, SHORT_STEM / 32, table, round_nearest=2, dropout=0.0)
    model.features[-1] = Conv2dNormActivation(SHORT[-1][1], SHORT_HEAD, kernel_size=1, activation_layer=nn.ReLU6)
    model.classifier[1] = nn.Linear(SHORT_HEAD, classes)
    return model, SHORT


def timm_modules(table):
    """Pairs (torchvision's module path, timm's module path), in the order in which the network runs them."""
    pairs = [("features.0.0", "conv_stem"), ("features.0.1", "bn1")]
    feature = 1
    for stage, (t, _, repeats, _) in enumerate(table):
        for block in range(repeats):
            old, new = f"features.{feature}.conv", f"blocks.{stage}.{block}"
            if t == 1:
                inner = [("0.0", "conv_dw"), ("0.1", "bn1"), ("1", "conv_pw"), ("2", "bn2")]
            else:
                inner = [("0.0", "conv_pw"), ("0.1", "bn1"), ("1.0", "conv_dw"), ("1.1", "bn2")]
                inner += [("2", "conv_pwl"), ("3", "bn3")]
            pairs += [(f"{old}.{a}", f"{new}.{b}") for a, b in inner]
            feature += 1
    return pairs + [(f"features.{feature}.0", "conv_head"), (f"features.{feature}.1", "bn2"), ("classifier.1", "classifier")]


def named_tensors(model, table):
    """timm's name -> (tensor, is it trained), in the network's order; counters of batches are left out."""
    out = {}
    for old, new in timm_modules(table):
        module = model.get_submodule(old)
        out |= {f"{new}.{name}": (tensor, True) for name, tensor in module.named_parameters()}
        out |= {
            f"{new}.{name}": (tensor, False)
            for name, tensor in module.named_buffers()
            if name != "num_batches_tracked"
        }
    return out


def randomize(model, generator):
    """Random parameters and statistics as f32 values: the f64 network then computes with the very same numbers."""
    normal = lambda like, std: torch.randn(like.shape, generator=generator) * std
    uniform = lambda like, low, high: torch.rand(like.shape, generator=generator) * (high - low) + low
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.copy_(normal(module.weight, (2.0 / fan_in) ** 0.5))
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(uniform(module.weight, 0.7, 1.3))
                module.bias.copy_(normal(module.bias, 0.2))
                module.running_mean.copy_(normal(module.running_mean, 0.1))
                module.running_var.copy_(uniform(module.running_var, 0.7, 1.3))
            elif isinstance(module, nn.Linear):
                module.weight.copy_(normal(module.weight, 0.1))
                module.bias.copy_(normal(module.bias, 0.1))


if __name__ == "__main__":
    network, rows = full(1.0, 1000)
    for name, (tensor, is_trained) in named_tensors(network, rows).items():
        print(name, list(tensor.shape), "parameter" if is_trained else "buffer")
