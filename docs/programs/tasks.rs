//! Four tasks that are not one class a picture, trained with `Fit`: many labels, numbers, a mask, a mask and a number at once.
//!
//! ```text
//! cargo run --release -p taper-tests --example tasks -- OUT [SEED]
//! ```
//! Above: `docs/training.md`, which explains it. Below: `taper-graph`, `taper-layers`, `taper-optim`, `taper-train`. Not here: the pictures
//! (`tasks/shapes.rs`), the networks (`tasks/networks.rs`).
#![expect(clippy::print_stdout, reason = "a program prints")]

#[path = "tasks/networks.rs"]
mod networks;
#[path = "tasks/shapes.rs"]
mod shapes;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use taper_layers::loss::{BceWithLogits, CrossEntropy, Loss, SmoothL1};
use taper_layers::{NamedTensors, Network};
use taper_optim::{AdamW, Clip, Optimizer, Schedule, split_by_decay};
use taper_train::{
    Event, Fit, Limits, MeanAbsoluteError, MeanIou, Metric, MultiLabelAccuracy, MultiLabelF1,
    Outcome, OutputMetric, RunFolder, Settings, Start,
};

use shapes::Shapes;

/// What is asked of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Which of three shapes are there: any number of them.
    Labels,
    /// Where the disk is, and how large.
    Numbers,
    /// Which shape each pixel belongs to.
    Mask,
    /// The mask, and the number of shapes.
    MaskAndCount,
}

impl Task {
    pub(crate) const ALL: [Self; 4] = [Self::Labels, Self::Numbers, Self::Mask, Self::MaskAndCount];

    fn name(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Numbers => "numbers",
            Self::Mask => "mask",
            Self::MaskAndCount => "mask_and_count",
        }
    }

    /// What training makes small: a loss of the library, or a closure of all outputs and targets.
    fn loss(self) -> Result<Box<dyn Loss>, Box<dyn Error>> {
        let (mask, number) = (CrossEntropy::new(), SmoothL1::new(0.1)?);
        Ok(match self {
            Self::Labels => Box::new(BceWithLogits::new()),
            Self::Numbers => Box::new(number),
            Self::Mask => Box::new(mask),
            Self::MaskAndCount => {
                Box::new(move |outputs: &NamedTensors, targets: &NamedTensors| {
                    let mask = mask.forward(outputs.get("mask")?, targets.get("mask")?)?;
                    let count = number.forward(outputs.get("count")?, targets.get("count")?)?;
                    mask + (count * 0.2)?
                })
            }
        })
    }

    /// What an evaluation tells; the first one picks the best model.
    fn metrics(self) -> Vec<Box<dyn Metric>> {
        match self {
            Self::Labels => {
                vec![Box::new(MultiLabelF1::new()), Box::new(MultiLabelAccuracy::new())]
            }
            Self::Numbers => vec![Box::new(MeanAbsoluteError::new())],
            Self::Mask => vec![Box::new(MeanIou::new())],
            Self::MaskAndCount => vec![
                Box::new(OutputMetric::new("mask", MeanIou::new())),
                Box::new(OutputMetric::new("count", MeanAbsoluteError::new())),
            ],
        }
    }
}

/// How much there is to learn from, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Height and width of a picture.
    pub(crate) side: usize,
    /// Pictures to train with; a quarter as many to validate.
    pub(crate) pictures: usize,
    pub(crate) epochs: usize,
    pub(crate) seed: u64,
}

const BATCH: usize = 16;
const LR: f64 = 1e-2;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let out = args.next().ok_or("which folder should the runs be written to?")?;
    let seed = args.next().map_or(Ok(0), |seed| seed.parse())?;
    let size = Size { side: 32, pictures: 512, epochs: 12, seed };
    for task in Task::ALL {
        let outcome =
            train(task, size, &Path::new(&out).join(task.name()), Start::Fresh, &mut tell)?;
        let best = outcome.best.ok_or("no epoch was finished")?;
        println!("{}: best after epoch {}: {:?}", task.name(), best.epoch + 1, best.scores.values);
    }
    Ok(())
}

fn tell(event: &Event<'_>) {
    if let Event::EpochEnd { epoch, val, .. } = event {
        println!("  epoch {}: {:?}", epoch + 1, val.scores.values);
    }
}

/// Trains a task's network, from the beginning or from the checkpoint in `out`. The same size gives the same files there, to the bit, however
/// often the run was stopped or killed and resumed in between.
pub(crate) fn train(
    task: Task,
    size: Size,
    out: &Path,
    start: Start,
    on_event: &mut dyn FnMut(&Event<'_>),
) -> Result<Outcome, Box<dyn Error>> {
    let Size { side, pictures, epochs, seed } = size;
    let train = Shapes { task, side, n: pictures, batch: BATCH, seed };
    let val = Shapes { task, side, n: pictures / 4, batch: BATCH, seed: seed + 1 };
    let network = Network::new(&networks::model(task, side, seed)?, &Device::Cpu)?;
    let params = network.params().iter().filter(|param| param.is_trained());
    let params = params.map(|p| (p.name.clone(), p.var.clone(), p.role.is_decayed()));
    let optimizer = Optimizer::from_groups(split_by_decay(params, 1e-3), AdamW::default())?;
    let steps = (epochs * pictures.div_ceil(BATCH)) as u64;
    let settings = Settings {
        epochs,
        schedule: Schedule::cosine(LR, steps).with_warmup(steps / 20),
        clip: Some(Clip::Norm(5.0)),
        best_by: None,
        limits: Limits::default(),
        seed,
        save_every: Some(5),
        keep_best: 0,
        out: RunFolder::new(out),
        config: BTreeMap::from([("task".to_owned(), format!("{task:?} {size:?}"))]),
    };
    let loss = task.loss()?;
    let mut fit = Fit {
        network: &network,
        optimizer,
        loss: loss.as_ref(),
        teacher: None,
        hooks: vec![],
        average: None,
        metrics: task.metrics(),
        train: &train,
        val: &val,
        settings: &settings,
        save_model: &|network, path| Ok(network.to_model()?.save(path)?),
        time_up: None,
        parallel: None,
    };
    let mut observer = |event: &Event<'_>| on_event(event);
    Ok(fit.run(start, &AtomicBool::new(false), &mut observer)?)
}
