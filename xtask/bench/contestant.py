"""What every peer's script shares: the line protocol of `cargo xtask bench`, and the networks by timm's names.

A contestant says one line of JSON when it is ready, then answers every line of standard input with one line of JSON:
`run WARMUPS TIMES` with {"ms": [...]}, `peak` with {"peak_bytes": N}. Whatever libraries print goes to standard error.
"""
import json
import os
import sys
import time

# Answers leave by a copy of standard output; what anybody else prints to standard output becomes standard error.
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

# torchvision's modules where it has the network, because that is what most people run.
TORCHVISION = {
    "mobilenetv2_100": "mobilenet_v2",
    "mobilenetv3_small_100": "mobilenet_v3_small",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "efficientnet_b0": "efficientnet_b0",
    "mnasnet_100": "mnasnet1_0",
}


def network(name, classes=1000):
    """A PyTorch network by timm's name, with random weights that keep activations at the size of trained ones (He et al. 2015)."""
    import torch
    if name in TORCHVISION:
        import torchvision
        model = getattr(torchvision.models, TORCHVISION[name])(num_classes=classes)
    else:
        import timm
        model = timm.create_model(name, pretrained=False, num_classes=classes)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter)
    return model


def parameters(model):
    """Trained parameters: the same number as the project's network has, or it is another network."""
    return sum(p.numel() for p in model.parameters())


def serve(once, **ready):
    """Says that it is ready, then runs `once` as often as it is asked to."""
    answer(ready=True, **ready)
    for line in sys.stdin:
        words = line.split()
        if words[:1] == ["run"]:
            warmups, times = int(words[1]), int(words[2])
            for _ in range(warmups):
                once()
            answer(ms=[timed(once) for _ in range(times)])
        elif words[:1] == ["peak"]:
            answer(peak_bytes=peak_bytes())


def timed(once):
    """Milliseconds of one run."""
    start = time.perf_counter()
    once()
    return (time.perf_counter() - start) * 1e3


def peak_bytes():
    """The most memory this process has held."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def answer(**values):
    print(json.dumps(values), file=answers, flush=True)
