"""The main job as PyTorch does it: fine-tune torchvision's MobileNetV2 on an image folder, in one process from start to end.

python finetune.py DATA MODE EPOCHS BATCH SIZE THREADS WORKERS WEIGHTS     MODE: full or head; DATA/train, DATA/val; WEIGHTS: a .pth or -
"""
import sys
import time

import contestant

data, mode, epochs, batch, size, threads, workers, weights = sys.argv[1:9]
epochs, batch, size, threads, workers = (int(word) for word in (epochs, batch, size, threads, workers))

import torch
import torchvision
from torchvision import transforms as T

start = time.perf_counter()
torch.set_num_threads(threads)
torch.manual_seed(0)
normalize = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
augment = T.Compose([T.RandomResizedCrop(size), T.RandomHorizontalFlip(), T.ToTensor(), normalize])
center = T.Compose([T.Resize(size * 256 // 224), T.CenterCrop(size), T.ToTensor(), normalize])
train = torchvision.datasets.ImageFolder(data + "/train", augment)
val = torchvision.datasets.ImageFolder(data + "/val", center)

model = torchvision.models.mobilenet_v2()
if weights != "-":
    model.load_state_dict(torch.load(weights))
if mode == "head":
    for parameter in model.parameters():
        parameter.requires_grad = False
model.classifier[1] = torch.nn.Linear(model.last_channel, len(train.classes))
model = model.to(memory_format=torch.channels_last)
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.SGD(trained, lr=1e-3, momentum=0.9)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, 7, 0.1)


def loader(pictures, shuffle):
    return torch.utils.data.DataLoader(
        pictures, batch, shuffle=shuffle, num_workers=workers, persistent_workers=workers > 0)


train_loader, val_loader = loader(train, True), loader(val, False)
top1 = 0.0
for _ in range(epochs):
    model.train()
    for xs, targets in train_loader:
        optimizer.zero_grad()
        logits = model(xs.to(memory_format=torch.channels_last))
        torch.nn.functional.cross_entropy(logits, targets).backward()
        optimizer.step()
    schedule.step()
    model.eval()
    right = 0
    with torch.inference_mode():
        for xs, targets in val_loader:
            logits = model(xs.to(memory_format=torch.channels_last))
            right += (logits.argmax(1) == targets).sum().item()
    top1 = right / len(val)
contestant.answer(seconds=time.perf_counter() - start, val_top1=top1, version=torch.__version__)
