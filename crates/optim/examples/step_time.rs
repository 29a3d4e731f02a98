//! How long a step of each rule takes, beside a copy that moves as many bytes: a line of JSON for each.
//!
//! Run by `cargo xtask bench optim`. Parameters are those of a network of 3.5 million in 158 tensors, and 16 million in one. A rule reads the
//! parameter, the gradient and its slots, and writes the parameter and its slots; the copy, by as many threads, reads half as many
//! bytes and writes the other half. Both take turns, and the medians are told.

use std::error::Error;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use candle_core::{Device, Tensor, Var, backprop::GradStore};
use taper_kernels::Team;
use taper_optim::{
    Adam, AdamW, Adan, Group, Lamb, Lion, Muon, NAdam, Optimizer, RmsProp, RmsPropTf, Rule, Sgd,
};

/// Turns that rule and copy have.
const ROUNDS: usize = 21;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn rules() -> Vec<(&'static str, Box<dyn Rule>)> {
    let momentum = 0.9;
    vec![
        ("sgd", Box::new(Sgd { momentum, ..Sgd::default() })),
        ("adam", Box::new(Adam::default())),
        ("adamw", Box::new(AdamW::default())),
        ("nadam", Box::new(NAdam::default())),
        ("rmsprop", Box::new(RmsProp::default())),
        ("rmsprop-tf", Box::new(RmsPropTf { momentum, ..RmsPropTf::default() })),
        ("lamb", Box::new(Lamb::default())),
        ("lion", Box::new(Lion::default())),
        ("adan", Box::new(Adan::default())),
        ("muon", Box::new(Muon::default())),
    ]
}

/// Shapes of convolutions and norms as in a MobileNetV2, and one large matrix.
fn networks() -> Vec<(&'static str, Vec<Vec<usize>>)> {
    let mut small = vec![vec![32, 3, 3, 3], vec![1280, 320, 1, 1], vec![1000, 1280], vec![1000]];
    let widths = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320];
    for (at, &width) in widths.iter().enumerate() {
        let before = if at == 0 { 32 } else { widths[at - 1] };
        let wide = 6 * before;
        small.extend([vec![wide, before, 1, 1], vec![wide, 1, 3, 3], vec![width, wide, 1, 1]]);
        small.extend([wide, wide, wide, wide, width, width].map(|n| vec![n]));
    }
    vec![("network", small), ("matrix", vec![vec![4096, 4096]])]
}

fn main() -> Outcome<()> {
    let threads = std::env::args().nth(1).map_or(Ok(0), |word| word.parse())?;
    for (network, shapes) in networks() {
        for (name, rule) in rules() {
            if network == "matrix" && name == "muon" {
                continue; // minutes of matrix products
            }
            measure(network, name, rule, &shapes, threads)?;
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what a program of its own tells")]
fn measure(
    network: &str,
    name: &str,
    rule: Box<dyn Rule>,
    shapes: &[Vec<usize>],
    threads: usize,
) -> Outcome<()> {
    let vars: Vec<Var> = shapes
        .iter()
        .map(|shape| Var::rand(-1f32, 1f32, shape.as_slice(), &Device::Cpu))
        .collect::<candle_core::Result<_>>()?;
    let mut grads = GradStore::default();
    for var in &vars {
        grads.insert(var, Tensor::rand(-1f32, 1f32, var.shape(), &Device::Cpu)?);
    }
    let named = vars.iter().enumerate().map(|(at, var)| (at.to_string(), var.clone())).collect();
    let group = Group::new("all", named).with_weight_decay(1e-2);
    let mut optimizer = Optimizer::from_groups(vec![group], rule)?.with_threads(threads);
    optimizer.step_at(&grads, 1e-4)?;
    let state = optimizer.state()?;
    let params: usize = vars.iter().map(|var| var.elem_count()).sum();
    let slots: usize = state.values().filter(|it| it.rank() > 0).map(Tensor::elem_count).sum();
    let bytes = 4 * (3 * params + 2 * slots);
    drop(state);
    let mut copy = Copy::of(bytes / 2, threads);
    let (mut steps, mut copies) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let ((), ms) = timed(|| copy.run());
        copies.push(ms);
        let (stepped, ms) = timed(|| optimizer.step_at(&grads, 1e-4));
        stepped?;
        steps.push(ms);
    }
    let (step, copy) = (median(steps), median(copies));
    println!(
        "{{\"network\":\"{network}\",\"rule\":\"{name}\",\"params\":{params},\"bytes\":{bytes},\"step_ms\":{step:.4},\"copy_ms\":{copy:.4}}}"
    );
    Ok(())
}

/// A copy by several threads.
struct Copy {
    from: Vec<u8>,
    to: Vec<u8>,
    team: Team,
}

impl Copy {
    fn of(bytes: usize, threads: usize) -> Self {
        Self { from: vec![1; bytes], to: vec![2; bytes], team: Team::new(threads) }
    }

    fn run(&mut self) {
        let part = self.from.len().div_ceil(self.team.threads()).max(1);
        let parts = self.to.chunks_mut(part).zip(self.from.chunks(part));
        let parts: Vec<Mutex<_>> = parts.map(Mutex::new).collect();
        self.team.run(|at| {
            if let Some(Ok(mut part)) = parts.get(at).map(Mutex::lock) {
                let (to, from) = &mut *part;
                to.copy_from_slice(from);
            }
        });
        drop(parts);
        black_box(&mut self.to);
    }
}

/// What work gives, and the milliseconds that it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed().as_secs_f64() * 1e3)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
