"""A peer of training: one step of PyTorch, SGD with momentum, cross-entropy of two classes.

python train.py CONTESTANT MODEL BATCH SIZE THREADS     CONTESTANT: nchw, channels_last, compile or head_only

Each is a process of its own, so its peak memory is its own too. head_only computes no gradient but the last layer's, and its
norms use the batch's statistics, as those of a network in training mode do.
"""
import sys

import contestant

what, name, batch, size, threads = sys.argv[1:6]
batch, size, threads = int(batch), int(size), int(threads)

import torch

torch.set_num_threads(threads)
torch.manual_seed(0)
model = contestant.network(name, classes=2).train()
xs, targets = torch.randn(batch, 3, size, size), torch.arange(batch) % 2
if what != "nchw":
    model, xs = model.to(memory_format=torch.channels_last), xs.to(memory_format=torch.channels_last)
trained = list(model.parameters())
if what == "head_only":
    for parameter in trained:
        parameter.requires_grad = False
    trained = list([m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1].parameters())
    for parameter in trained:
        parameter.requires_grad = True
optimizer = torch.optim.SGD(trained, lr=1e-4, momentum=0.9)
forward = torch.compile(model) if what == "compile" else model


def step():
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(forward(xs), targets)
    loss.backward()
    optimizer.step()
    if not loss.item() < float("inf"):
        raise RuntimeError(f"the loss is {loss.item()}")


if what == "compile":
    step()
contestant.serve(step, version=torch.__version__, parameters=contestant.parameters(model))
