"""Networks of the zoo against timm (and LeNet-5 against PyTorch), with at least one variant for every kind of block.

Writes tests/fixtures/networks_<family>.safetensors. Parameters are not in it, they follow from `peer.py`. Keys, for each network:
  <name>/scales, statistics    running statistics, as `peer.py` says, norms in the order of their names
  <name>/features              the last map of the first image, (1, c, h, w) F32
  <name>/pre_logits, logits    of both images, F32
computed in float64 from parameters in float32. The images, `peer.images("images", 2, size)`, are not in it either.
The metadata `networks` lists the names, `classes` says how many there are, and `size` the rows and columns.

  python tests/generators/networks.py
"""

import json

import torch

import fixture
import peer

CLASSES = 10
FAMILIES = {
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_035 mobilenetv2_110d",
    "mobilenet_v3": "mobilenetv3_small_050 mobilenetv3_large_075 mobilenetv3_rw tf_mobilenetv3_small_075"
    " tf_mobilenetv3_small_minimal_100 tf_mobilenetv3_large_minimal_100",
    "mobilenet_v4": "mobilenetv4_conv_small_035 mobilenetv4_conv_medium mobilenetv4_conv_large mobilenetv4_hybrid_medium_075",
    "lcnet": "lcnet_035",
    "mnasnet": "mnasnet_small mnasnet_050 semnasnet_050",
    "efficientnet": "efficientnet_b0 tf_efficientnet_b0 test_efficientnet",
    "efficientnet_lite": "efficientnet_lite0 tf_efficientnet_lite0",
    "efficientnet_edge": "efficientnet_es tf_efficientnet_es",
    "efficientnet_v2": "efficientnetv2_rw_t tf_efficientnetv2_b0 efficientnetv2_s",
    "mobileone": "mobileone_s0 mobileone_s4",
    "repvit": "repvit_m1 repvit_m0_9",
    "resnet": "resnet18 resnet50 test_resnet",
    "vgg": "vgg11",
    "lenet": "lenet5",
}
# Odd and not square: `SAME` padding differs from side to side, and no stage divides evenly. VGG and LeNet-5 take their own size alone.
SIZES = {"vgg": (224, 224), "lenet": (32, 32)}
SIZE = (65, 49)


def family(name, networks, size):
    tensors = {}
    for network in networks:
        net, statistics = peer.made(network, CLASSES, size)
        if statistics:
            tensors |= {f"{network}/scales": statistics[0], f"{network}/statistics": statistics[1]}
        taps = peer.taps(net, peer.images("images", 2, size).double())
        taps["features"] = taps["features"][:1]
        tensors |= {f"{network}/{tap}": tensor.float() for tap, tensor in taps.items()}
        print(network, *(f"{tap} {tensor.abs().max():.3g} ± {tensor.std():.3g}" for tap, tensor in taps.items()))
    about = {"networks": json.dumps(networks), "classes": CLASSES, "size": json.dumps(size)}
    fixture.save(f"tests/fixtures/networks_{name}.safetensors", tensors, "none", timm=peer.timm.__version__, **about)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, networks in FAMILIES.items():
        family(name, networks.split(), SIZES.get(name, SIZE))
