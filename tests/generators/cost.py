"""What fvcore and torchinfo count of timm's networks, for tests/golden/cost.rs.

fvcore counts a multiply-accumulate as one "flop" and no bias. Of each network at two sizes, by operator: multiply-accumulates and
elements put out of convolutions, linear layers and products of attention; and a digest of the lines `module macs elements` of all
convolutions and linear layers, by name. torchinfo says how many parameters there are in all.
What fvcore leaves out (it lists the operations): activations, sums, products, softmax, means over a map by `mean`. What it counts and
taper lists apart: batch norms (2 an element), layer norms (5 an element), adaptive pools (1 an element read).

  python tests/generators/cost.py > tests/fixtures/costs.txt        timm 1.0.31, fvcore 0.1.5, torchinfo 1.8.0
"""

import hashlib
import sys
from collections import Counter

import timm
import torch
import torchinfo
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from torch import nn

NETWORKS = {
    "mobilenetv1_100": [(224, 224), (160, 256)],
    "mobilenetv2_100": [(224, 224), (96, 128)],
    "mobilenetv3_small_100": [(224, 224), (130, 200)],
    "mobilenetv3_large_100": [(224, 224), (256, 192)],
    "mobilenetv4_conv_small": [(224, 224), (256, 320)],
    "mobilenetv4_hybrid_medium": [(224, 224), (256, 320)],
    "lcnet_100": [(224, 224), (128, 128)],
    "mnasnet_100": [(224, 224), (192, 160)],
    "efficientnet_b0": [(224, 224), (240, 300)],
    "tf_efficientnet_lite0": [(224, 224), (225, 190)],
    "efficientnet_es": [(224, 224), (288, 224)],
    "efficientnetv2_rw_t": [(224, 224), (288, 288)],
    "mobileone_s0": [(224, 224), (128, 160)],
    "repvit_m1_0": [(224, 224), (256, 256)],
    "resnet18": [(224, 224), (64, 96)],
    "resnet50": [(224, 224), (176, 176)],
    "vgg11": [(224, 224), (256, 288)],
}

# Names that fvcore gives to the operators, and ours.
OPERATORS = {"conv": "conv", "linear": "linear", "addmm": "linear", "matmul": "attention", "bmm": "attention", "einsum": "attention"}


def by_operator(counts):
    sums = Counter()
    for operator, count in counts.items():
        if operator in OPERATORS:
            sums[OPERATORS[operator]] += int(count)
    return sums


def main():
    print(f"# {' '.join(['python tests/generators/cost.py', *sys.argv[1:]])}: network, size, operator sums as macs:elements, digest, parameters")
    for name, sizes in NETWORKS.items():
        timm.layers.set_fused_attn(False)
        model = timm.create_model(name, pretrained=False).eval()
        params = torchinfo.summary(model, verbose=0).total_params
        layers = [n for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        for h, w in sizes:
            xs = torch.zeros(1, 3, h, w)
            flops = FlopCountAnalysis(model, xs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            elements = ActivationCountAnalysis(model, xs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            macs, outs = by_operator(flops.by_operator()), by_operator(elements.by_operator())
            lines = sorted(f"{n} {int(flops.by_module()[n])} {int(elements.by_module()[n])}" for n in layers)
            digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
            sums = " ".join(f"{op}={macs[op]}:{outs[op]}" for op in ("conv", "linear", "attention"))
            print(f"{name} {h}x{w} {sums} {digest} {params}", flush=True)


if __name__ == "__main__":
    with torch.no_grad():
        main()
