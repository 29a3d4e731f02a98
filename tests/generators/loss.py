"""Values and gradients of every loss.

Writes crates/layers/tests/fixtures/loss.safetensors. Inputs, F32 unless said:
  logits (6, 7)                       up to about 6; large/logits: up to 80 in magnitude, where exponentials overflow f32
  classes (6,) I64, probabilities (6, 7), marks (6, 7) of 0 and 1, shares (6, 7) from 0 to 1
  teacher (6, 7), large/teacher       logits
  class_weight (7,), weight (6, 1), pos_weight (7,)
Results, F64, computed in F64 from these inputs, for every name of `losses()`, and again below large/:
  <name>/loss                         (), or the shape of an unreduced loss
  <name>/grad (6, 7)                  of the loss, or of the sum of an unreduced loss times 1, 2, 3, ...

  python tests/generators/loss.py
"""

import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

import fixture


def softmax_focal(xs, classes, gamma, weight=None):
    """Lin et al. 2017, equation 5, on the softmax; neither library has it."""
    p = F.softmax(xs, 1).gather(1, classes[:, None])[:, 0]
    losses = (1 - p) ** gamma * F.nll_loss(F.log_softmax(xs, 1), classes, reduction="none")
    return losses if weight is None else losses * weight[classes]


def distillation(xs, teacher, temperature, reduction):
    log_q, p = F.log_softmax(xs / temperature, 1), F.softmax(teacher / temperature, 1)
    losses = temperature**2 * F.kl_div(log_q, p, reduction="none").sum(1)
    mean = temperature**2 * F.kl_div(log_q, p, reduction="batchmean")
    return {"mean": mean, "sum": losses.sum(), "none": losses}[reduction]


def losses(classes, probabilities, marks, shares, teacher, class_weight, weight, pos_weight):
    """Name -> function of the logits; differences are taken between the logits and the teacher's."""
    def ce(targets, **settings):
        return lambda xs: F.cross_entropy(xs, targets, **settings)

    def bce(targets, **settings):
        return lambda xs: F.binary_cross_entropy_with_logits(xs, targets, **settings)

    def focal(targets, **settings):
        return lambda xs: sigmoid_focal_loss(xs, targets, **{"reduction": "mean", **settings})

    table = {
        "cross_entropy": ce(classes),
        "cross_entropy/smoothing_0.1": ce(classes, label_smoothing=0.1),
        "cross_entropy/smoothing_1": ce(classes, label_smoothing=1.0),
        "cross_entropy/weight": ce(classes, weight=class_weight),
        "cross_entropy/soft": ce(probabilities),
        "cross_entropy/soft/smoothing_0.1": ce(probabilities, label_smoothing=0.1),
        "cross_entropy/soft/weight": ce(probabilities, weight=class_weight),
        "bce": bce(marks),
        "bce/shares": bce(shares),
        "bce/weight": bce(marks, weight=weight),
        "bce/pos_weight": bce(marks, pos_weight=pos_weight),
        "mse": lambda xs: F.mse_loss(xs, teacher),
        "huber/1": lambda xs: F.huber_loss(xs, teacher),
        "huber/2.5": lambda xs: F.huber_loss(xs, teacher, delta=2.5),
        "smooth_l1/0.5": lambda xs: F.smooth_l1_loss(xs, teacher, beta=0.5),
        "sigmoid_focal": focal(marks),
        "sigmoid_focal/shares": focal(shares),
        "sigmoid_focal/no_alpha": focal(marks, alpha=-1),
        "sigmoid_focal/gamma_0": focal(marks, gamma=0),
        "sigmoid_focal/gamma_1.5": focal(marks, alpha=0.6, gamma=1.5),
        "softmax_focal": lambda xs: softmax_focal(xs, classes, 2).mean(),
        "softmax_focal/weight": lambda xs: softmax_focal(xs, classes, 1.5, class_weight).mean(),
        "distillation/1": lambda xs: distillation(xs, teacher, 1, "mean"),
        "distillation/4": lambda xs: distillation(xs, teacher, 4, "mean"),
    }
    for reduction in ["mean", "sum", "none"]:
        how = {"reduction": reduction}
        table |= {
            f"cross_entropy/both/{reduction}": ce(classes, weight=class_weight, label_smoothing=0.1, **how),
            f"cross_entropy/soft/both/{reduction}": ce(probabilities, weight=class_weight, label_smoothing=0.1, **how),
            f"bce/both/{reduction}": bce(marks, weight=weight, pos_weight=pos_weight, **how),
        }
    for reduction in ["sum", "none"]:
        how = {"reduction": reduction}
        table |= {
            f"mse/{reduction}": lambda xs, how=how: F.mse_loss(xs, teacher, **how),
            f"huber/1/{reduction}": lambda xs, how=how: F.huber_loss(xs, teacher, **how),
            f"smooth_l1/0.5/{reduction}": lambda xs, how=how: F.smooth_l1_loss(xs, teacher, beta=0.5, **how),
            f"sigmoid_focal/{reduction}": focal(marks, **how),
            f"distillation/4/{reduction}": lambda xs, r=reduction: distillation(xs, teacher, 4, r),
        }
    return table


if __name__ == "__main__":
    torch.set_num_threads(1)
    seed = 0
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(shape, generator=generator)

    def rand(*shape):
        return torch.rand(shape, generator=generator)

    inputs = {
        "logits": randn(6, 7) * 2,
        "teacher": randn(6, 7) * 2,
        "classes": torch.randint(7, (6,), generator=generator),
        "probabilities": F.softmax(randn(6, 7), 1),
        "marks": (rand(6, 7) < 0.4).float(),
        "shares": rand(6, 7),
        "class_weight": rand(7) * 3,
        "weight": rand(6, 1) * 3,
        "pos_weight": rand(7) * 3,
    }
    inputs["class_weight"][2] = 0  # a class that does not count
    inputs["probabilities"][0] = F.one_hot(torch.tensor(3), 7).float()
    inputs["logits"][1] = inputs["logits"][1, 0]  # equal logits
    inputs["teacher"][2] = inputs["logits"][2]  # no difference
    inputs["logits"][3, :3] = 0  # where |x| has no derivative
    for name in ["logits", "teacher"]:
        inputs[f"large/{name}"] = (inputs[name] * 30).clamp(-80, 80)
    inputs["large/logits"][5] = torch.tensor([80.0, -80, 80, -80, 80, -80, 0])

    tensors = dict(inputs)
    wide = {name: it.double() if it.is_floating_point() else it for name, it in inputs.items()}
    for prefix in ["", "large/"]:
        names = ["classes", "probabilities", "marks", "shares", "class_weight", "weight", "pos_weight"]
        table = losses(teacher=wide[f"{prefix}teacher"], **{name: wide[name] for name in names})
        for name, loss_of in table.items():
            xs = wide[f"{prefix}logits"].clone().requires_grad_()
            loss = loss_of(xs)
            steps = torch.arange(1, loss.numel() + 1, dtype=torch.float64).reshape(loss.shape)
            (loss * steps).sum().backward()
            assert loss.isfinite().all() and xs.grad.isfinite().all(), f"{prefix}{name}"
            tensors |= {f"{prefix}{name}/loss": loss, f"{prefix}{name}/grad": xs.grad}
    fixture.save("crates/layers/tests/fixtures/loss.safetensors", tensors, seed)
