//! LeNet-5 on Fashion-MNIST with `candle-nn` alone: the same recipe as `fashion_mnist.rs`, to compare with.
//!
//! ```text
//! cargo run --release -p taper-tests --example fashion_mnist_candle -- /usr/share/datasets/fashion-mnist
//! ```
//! Above: `docs/fashion-mnist.md`. Below: `candle-nn`; `fashion_mnist/data.rs` reads the pictures. Not here: a seed, which candle's
//! random numbers on a CPU do not have.
//! candle's layers begin with normal weights where PyTorch's and ours are uniform, and the gradient of its max pool is a quarter of
//! the right one, so that `conv1` learns from a sixteenth. Both stay as they are.
#![expect(clippy::print_stdout, reason = "a program prints")]

#[path = "fashion_mnist/data.rs"]
mod data;

use std::error::Error;
use std::f64::consts::PI;
use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{
    AdamW, Conv2d, Conv2dConfig, Linear, Optimizer, ParamsAdamW, VarBuilder, VarMap, conv2d,
    linear, loss,
};
use taper_data::idx::Part;

use data::Set;

const EPOCHS: u64 = 3;
const BATCH: usize = 64;
const LR: f64 = 4e-3;

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1);
    let dir = dir.ok_or("which folder? It holds train-images-idx3-ubyte.gz and three more")?;
    let (train, test) =
        (Set::open(Path::new(&dir), Part::Train)?, Set::open(Path::new(&dir), Part::Test)?);
    let vars = VarMap::new();
    let net = LeNet5::new(&VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
    let steps = train.len().div_ceil(BATCH) as u64;
    let params = ParamsAdamW { lr: LR, weight_decay: 0.01, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(vars.all_vars(), params)?;

    println!("before: test top-1 {:.4}", test.top1(|xs| net.forward(xs))?);
    for epoch in 0..EPOCHS {
        let (mut total, start) = (0.0, Instant::now());
        for (step, batch) in (epoch * steps..).zip(train.shuffled(0, epoch, BATCH)) {
            let (xs, labels) = batch?;
            let loss = loss::cross_entropy(&net.forward(&xs)?, &labels)?;
            let progress = step as f64 / (EPOCHS * steps) as f64;
            optimizer.set_learning_rate(LR * 0.5 * (1.0 + (PI * progress).cos()));
            optimizer.backward_step(&loss)?;
            total += f64::from(loss.to_scalar::<f32>()?);
        }
        let seconds = start.elapsed().as_secs_f64();
        let top1 = test.top1(|xs| net.forward(xs))?;
        let loss = total / steps as f64;
        println!("epoch {}: loss {loss:.4}, test top-1 {top1:.4}, {seconds:.2} s", epoch + 1);
    }
    Ok(())
}

struct LeNet5 {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl LeNet5 {
    fn new(vb: &VarBuilder<'_>) -> Result<Self> {
        let padded = Conv2dConfig { padding: 2, ..Conv2dConfig::default() };
        Ok(Self {
            conv1: conv2d(1, 6, 5, padded, vb.pp("conv1"))?,
            conv2: conv2d(6, 16, 5, Conv2dConfig::default(), vb.pp("conv2"))?,
            fc1: linear(16 * 5 * 5, 120, vb.pp("fc1"))?,
            fc2: linear(120, 84, vb.pp("fc2"))?,
            fc3: linear(84, 10, vb.pp("fc3"))?,
        })
    }
}

impl Module for LeNet5 {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let xs = xs.apply(&self.conv1)?.relu()?.max_pool2d(2)?;
        let xs = xs.apply(&self.conv2)?.relu()?.max_pool2d(2)?;
        let xs = xs.flatten_from(1)?.apply(&self.fc1)?.relu()?;
        xs.apply(&self.fc2)?.relu()?.apply(&self.fc3)
    }
}
