"""Softmax cross-entropy with label smoothing: values and gradients.

Writes crates/layers/tests/fixtures/loss.safetensors, F32 unless said:
  logits (6, 7), targets (6,) I64
  smoothing_<s>/loss (), smoothing_<s>/grad (6, 7)      mean over the batch, for s in 0, 0.1, 0.3
  large/...                                             the same with logits times 60: exponentials that would overflow f32

  python tests/generators/loss.py
"""

import torch
from torch.nn import functional as F

import fixture

if __name__ == "__main__":
    torch.set_num_threads(1)
    seed = 0
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((6, 7), generator=generator) * 2
    targets = torch.randint(7, (6,), generator=generator)
    tensors = {"logits": logits, "large/logits": logits * 60, "targets": targets}
    for prefix in ["", "large/"]:
        for smoothing in [0, 0.1, 0.3]:
            xs = tensors[f"{prefix}logits"].clone().requires_grad_()
            loss = F.cross_entropy(xs, targets, label_smoothing=smoothing)
            loss.backward()
            tensors |= {f"{prefix}smoothing_{smoothing}/loss": loss, f"{prefix}smoothing_{smoothing}/grad": xs.grad}
    fixture.save("crates/layers/tests/fixtures/loss.safetensors", tensors, seed)
