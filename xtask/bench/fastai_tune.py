"""fastai's `fine_tune` of torchvision's MobileNetV2 on an image folder, as its documentation has it: presizing, its augmentations, its rates.

python fastai_tune.py DATA EPOCHS BATCH SIZE SEED THREADS WEIGHTS     DATA/train, DATA/val; WEIGHTS: the published .pth
Batches are no larger than the folder, of which fastai leaves out the last that is not full. Pictures are read by the process itself: workers of its own
take longer than these folders.
"""
import sys
import time

import contestant

data, epochs, batch, size, seed, threads, weights = sys.argv[1:8]
epochs, batch, size, seed, threads = (int(word) for word in (epochs, batch, size, seed, threads))

import fastai
import torch
import torchvision
from fastai.vision.all import (
    ImageDataLoaders, Normalize, Resize, accuracy, aug_transforms, default_split, get_image_files, imagenet_stats, model_meta, set_seed, vision_learner)


def mobilenet_v2(weights=None, pretrained=False, **others):
    """The network, with the published weights from a file."""
    model = torchvision.models.mobilenet_v2()
    if weights is not None or pretrained:
        model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return model


WEIGHTS = weights
start = time.perf_counter()
torch.set_num_threads(threads)
set_seed(seed, reproducible=True)
pictures = len(get_image_files(f"{data}/train"))
loaders = ImageDataLoaders.from_folder(
    data, train="train", valid="val", bs=min(batch, pictures), num_workers=0, seed=seed, item_tfms=Resize(size * 3 // 2),
    batch_tfms=[*aug_transforms(size=size, min_scale=0.75), Normalize.from_stats(*imagenet_stats)])
# Its pool is a call and no module, so that fastai has to be told where the body ends: before the classifier. `vision_learner(cut=...)` is not handed on.
model_meta[mobilenet_v2] = {"cut": -1, "split": default_split}
learner = vision_learner(loaders, mobilenet_v2, metrics=accuracy, pretrained=True)
with learner.no_bar(), learner.no_logging():
    learner.fine_tune(epochs)
val_loss, top1 = learner.recorder.values[-1][-2:]
contestant.answer(seconds=time.perf_counter() - start, val_top1=top1, val_loss=val_loss, version=fastai.__version__)
