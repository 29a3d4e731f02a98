//! LeNet-5 on Fashion-MNIST: a candle program with the layers, the loss and the optimizer of Taper.
//!
//! ```text
//! cargo run --release -p taper-tests --example fashion_mnist -- /usr/share/datasets/fashion-mnist [SEED]
//! ```
//! Above: `docs/fashion-mnist.md`, which explains it. Below: `taper-data`, `taper-layers`, `taper-optim`, candle. Not here: reading the
//! pictures (`fashion_mnist/data.rs`), the same with `candle-nn` alone (`fashion_mnist_candle.rs`).
#![expect(clippy::print_stdout, reason = "a program prints")]

#[path = "fashion_mnist/data.rs"]
mod data;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, ModuleT};
use candle_nn::{Optimizer as _, VarBuilder, VarMap};
use taper_data::idx::Part;
use taper_layers::loss::CrossEntropy;
use taper_layers::{
    Activate, Activation, Conv2d, ConvConfig, Flatten, Linear, LinearConfig, MaxPool2d, Padding,
    PoolConfig, Sequential, Window, init,
};
use taper_optim::{AdamW, Optimizer, Schedule, Settings};

use data::Set;

const EPOCHS: u64 = 3;
const BATCH: usize = 64;
/// The highest learning rate; it falls along half a cosine to 0.
const LR: f64 = 4e-3;
const WEIGHT_DECAY: f64 = 0.01;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir =
        args.next().ok_or("which folder? It holds train-images-idx3-ubyte.gz and three more")?;
    let seed = args.next().map_or(Ok(0), |seed| seed.parse())?;
    let start = Instant::now();
    if let Some(Epoch { loss, top1 }) = run(Path::new(&dir), EPOCHS, seed)?.pop() {
        let seconds = start.elapsed().as_secs_f64();
        println!("loss {loss:.4}, test top-1 {top1:.4}; {seconds:.1} s with reading and testing");
    }
    Ok(())
}

/// What one epoch came to.
#[derive(Debug)]
pub(crate) struct Epoch {
    /// The mean loss of its batches, in nats.
    pub(crate) loss: f64,
    /// The share of test pictures recognized after it.
    pub(crate) top1: f64,
}

/// Trains on the pictures in `dir` and tests after every epoch. The same seed gives the same bits.
pub(crate) fn run(dir: &Path, epochs: u64, seed: u64) -> Result<Vec<Epoch>, Box<dyn Error>> {
    let (train, test) = (Set::open(dir, Part::Train)?, Set::open(dir, Part::Test)?);
    let vars = VarMap::new();
    let net = lenet5(&init::var_builder(&vars, seed, DType::F32, &Device::Cpu))?;
    let loss = CrossEntropy::new();
    let steps = train.len().div_ceil(BATCH) as u64;
    let schedule = Schedule::cosine(LR, epochs * steps);
    let settings = Settings { lr: LR, weight_decay: WEIGHT_DECAY, rule: AdamW::default() };
    let mut optimizer = Optimizer::new(vars.all_vars(), settings)?;

    // Where it begins. It is also the largest batch, and the memory that it took stays for the steps: see `docs/fashion-mnist.md`.
    println!("before: test top-1 {:.4}", test.top1(|xs| net.forward_t(xs, false))?);
    let mut report = Vec::new();
    for epoch in 0..epochs {
        let (mut total, start) = (0.0, Instant::now());
        for (step, batch) in (epoch * steps..).zip(train.shuffled(seed, epoch, BATCH)) {
            let (xs, labels) = batch?;
            let loss = loss.forward(&net.forward_t(&xs, true)?, &labels)?;
            optimizer.set_learning_rate(schedule.lr_at(step));
            optimizer.backward_step(&loss)?;
            total += f64::from(loss.to_scalar::<f32>()?);
        }
        let seconds = start.elapsed().as_secs_f64();
        let top1 = test.top1(|xs| net.forward_t(xs, false))?;
        let loss = total / steps as f64;
        println!("epoch {}: loss {loss:.4}, test top-1 {top1:.4}, {seconds:.2} s", epoch + 1);
        report.push(Epoch { loss, top1 });
    }
    Ok(report)
}

/// LeNet-5 for pictures `(n, 1, 28, 28)`, with ReLU and maximum where the paper has tanh and a mean: logits `(n, 10)`.
fn lenet5(vb: &VarBuilder<'_>) -> taper_layers::Result<Sequential> {
    let conv = |name, in_channels, out_channels, padding| {
        let window = Window { padding, ..Window::square(5, 1) };
        Conv2d::new(ConvConfig::new(in_channels, out_channels, window), vb.pp(name))
    };
    let linear =
        |name, inputs, outputs| Linear::new(LinearConfig::new(inputs, outputs), vb.pp(name));
    let relu = Activate(Activation::Relu);
    let pool = MaxPool2d::new(PoolConfig::square(2, 2))?;
    Ok(Sequential::default()
        .add(conv("conv1", 1, 6, Padding::symmetric(2))?) // 28x28
        .add(relu)
        .add(pool) // 14x14
        .add(conv("conv2", 6, 16, Padding::Valid)?) // 10x10
        .add(relu)
        .add(pool) // 5x5
        .add(Flatten)
        .add(linear("fc1", 16 * 5 * 5, 120)?)
        .add(relu)
        .add(linear("fc2", 120, 84)?)
        .add(relu)
        .add(linear("fc3", 84, 10)?))
}
