//! What the machine can do at best: arithmetic and memory, measured in the process that is compared with it.
//!
//! Above: `layers`. Below: `taper_engine`, threads of our own. Not here: published numbers of the processor.
//! Arithmetic is multiply-adds on registers. Memory is a copy of as many bytes as the unit moves: what stays in a cache is
//! compared with that cache. Beside them stands our own matrix product at a large shape, which a pointwise convolution can hope for.
//! Source: Williams, Waterman and Patterson 2009, "Roofline", <https://doi.org/10.1145/1498765.1498785>.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taper_engine::{CopySizes, Session, SessionOptions};
use taper_graph::{Bias, Conv, GraphBuilder};
use taper_model::{Model, Preprocess};

use super::networks;

/// Rows and columns of the large matrix product: a pointwise convolution of a square map, as many channels in as out.
const SIDE: usize = 64;
const CHANNELS: usize = 1024;

/// Bytes that no cache holds.
const LARGE: usize = 1 << 29;

/// The best of this many is taken: a limit is what happens without disturbance.
const TRIES: usize = 15;

/// The limits of so many threads.
#[derive(Debug, Clone)]
pub(super) struct Roof {
    /// Multiply-accumulates a millisecond, on registers.
    pub(super) macs_per_ms: f64,
    /// Multiply-accumulates a millisecond of our matrix product.
    pub(super) product: f64,
    /// Bytes of a copy, read and written together, and how many of them move in a millisecond.
    pub(super) copy: Vec<(usize, f64)>,
    /// Bytes read in a millisecond where no cache helps.
    pub(super) read: f64,
}

impl Roof {
    pub(super) fn measure(threads: usize) -> Result<Self> {
        let roof = taper_engine::measure_roof(threads, CopySizes::All);
        let copy = roof.copies.iter().map(|&(size, per_second)| {
            Ok((usize::try_from(size).context("a copy that fits into memory")?, per_second / 1e3))
        });
        let read = best(|| read(threads, LARGE));
        // Two operations are one multiply-accumulate.
        let macs_per_ms = roof.flops_per_second / 2e3;
        let copy = copy.collect::<Result<_>>()?;
        Ok(Self { macs_per_ms, product: matrix_product(threads)?, copy, read })
    }

    /// The least milliseconds that so much work can take.
    pub(super) fn ms(&self, macs: u64, bytes: u64) -> f64 {
        let sizes = self.copy.iter();
        let fits = sizes.clone().find(|&&(size, _)| size as u64 >= bytes).or(sizes.last());
        let memory = fits.map_or(0.0, |&(_, bytes_per_ms)| bytes as f64 / bytes_per_ms);
        memory.max(macs as f64 / self.macs_per_ms)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "macs_per_ms": self.macs_per_ms, "product": self.product,
            "copy": self.copy, "read": self.read,
        })
    }

    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let copy = value["copy"].as_array()?.iter().map(|point| {
            let size = usize::try_from(point[0].as_u64()?).ok()?;
            Some((size, point[1].as_f64()?))
        });
        Some(Self {
            macs_per_ms: value["macs_per_ms"].as_f64()?,
            product: value["product"].as_f64()?,
            copy: copy.collect::<Option<_>>()?,
            read: value["read"].as_f64()?,
        })
    }
}

fn best(measure: impl Fn() -> f64) -> f64 {
    (0..TRIES).map(|_| measure()).fold(0.0, f64::max)
}

/// Multiply-accumulates a millisecond of a large pointwise convolution.
fn matrix_product(threads: usize) -> Result<f64> {
    let mut builder = GraphBuilder::new(CHANNELS)?;
    let conv = Conv::pointwise(CHANNELS);
    let product = builder.conv("product", builder.input(), conv, Bias::Without)?;
    builder.output("logits", product)?;
    let preprocess = Preprocess { input_size: [SIDE, SIDE], ..Preprocess::imagenet() };
    let model = Model::random(builder.build()?, 0, preprocess, Vec::new())?;
    let options = SessionOptions { threads, ..SessionOptions::default() };
    let mut session = Session::new(&model, &options)?;
    let xs = networks::images(SIDE * SIDE * CHANNELS);
    let units = session.profile(&xs, [1, SIDE, SIDE], TRIES)?;
    let unit = units.first().context("a graph of one convolution has a unit")?;
    Ok(unit.macs as f64 / unit.ms.p10)
}

/// Bytes a millisecond of sums over `size` bytes, on the slowest of all threads.
fn read(threads: usize, size: usize) -> f64 {
    let words = size / threads / size_of::<u64>();
    let sum = || {
        let from = vec![1_u64; words];
        let start = Instant::now();
        let sum = black_box(&from).iter().fold(0_u64, |sum, &word| sum.wrapping_add(word));
        black_box(sum);
        start.elapsed()
    };
    let ms = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(sum)).collect();
        // A thread that panicked took forever.
        let ms = workers.into_iter().map(|worker| {
            worker.join().map_or(f64::INFINITY, |duration| duration.as_secs_f64() * 1e3)
        });
        ms.fold(0.0, f64::max)
    });
    size as f64 / ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_of_two_limits_counts_and_bytes_meet_the_cache_that_holds_them() {
        let copy = vec![(1000, 100.0), (10_000, 10.0)];
        let roof = Roof { macs_per_ms: 50.0, product: 40.0, copy, read: 1.0 };
        assert!((roof.ms(500, 1000) - 10.0).abs() < 1e-9);
        assert!((roof.ms(100, 1000) - 10.0).abs() < 1e-9);
        assert!((roof.ms(100, 1001) - 100.1).abs() < 1e-9);
        assert!((roof.ms(0, 20_000) - 2000.0).abs() < 1e-9);
    }

    #[test]
    fn a_roof_survives_json() {
        let roof = Roof { macs_per_ms: 50.5, product: 40.0, copy: vec![(1000, 100.25)], read: 1.0 };
        let back = Roof::from_json(&roof.json()).unwrap();
        assert_eq!((back.copy, format!("{:?}", back.macs_per_ms)), (roof.copy, "50.5".to_owned()));
        assert!(Roof::from_json(&json!({})).is_none());
    }
}
