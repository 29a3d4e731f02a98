//! Initial weights from a seed.
//!
//! Above: `Model::random`, new heads. Below: `taper_graph::Init`. Not here: which parameter begins how (`taper_graph`).
//! Each parameter has a random stream of its own, picked by its name: a new head leaves the other layers' values alone.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use taper_graph::{Init, ParamSpec};

use crate::Tensor;

/// Initial value of a parameter; the same for the same seed, name and shape, everywhere.
///
/// # Examples
/// ```
/// use taper_graph::{DType, Init, ParamRole, ParamSpec};
/// let init = Init::Normal { std: 0.01 };
/// let (shape, role) = (vec![2, 3], ParamRole::Weight);
/// let spec = ParamSpec { name: "fc.weight".into(), shape, dtype: DType::F32, role, axes: vec![], init };
/// let tensor = taper_model::init::sample(&spec, 7);
/// assert_eq!(tensor, taper_model::init::sample(&spec, 7));
/// assert!(tensor.data.iter().all(|w| w.abs() < 0.1));
/// ```
#[must_use]
pub fn sample(spec: &ParamSpec, seed: u64) -> Tensor {
    let n = spec.len();
    let mut stream = Stream::new(seed, &spec.name);
    let data = match spec.init {
        Init::Ones => vec![1.0; n],
        Init::Constant { value } => vec![narrow(value); n],
        Init::Normal { std } => stream.normals(n, std),
        Init::Uniform { bound } => stream.uniforms(n, bound),
        Init::KaimingFanOut => stream.normals(n, (2.0 / fan_out(&spec.shape)).sqrt()),
        // `Init` grows in its own crate; zeros are the one value that no other variant could want.
        Init::Zeros | _ => vec![0.0; n],
    };
    Tensor { shape: spec.shape.clone(), data }
}

/// Outputs an element feeds: first axis times taps, groups not divided out (PyTorch's).
fn fan_out(shape: &[usize]) -> f64 {
    let taps: usize = shape.iter().skip(2).product();
    (shape.first().copied().unwrap_or(1) * taps).max(1) as f64
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// A stream of random numbers; `ChaCha8`, whose values its authors promise not to change.
struct Stream(ChaCha8Rng);

impl Stream {
    fn new(seed: u64, name: &str) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(fnv1a(name));
        Self(rng)
    }

    /// Uniform in `[0, 1)`, 53 bits.
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn uniforms(&mut self, n: usize, bound: f64) -> Vec<f32> {
        (0..n).map(|_| narrow((2.0 * self.unit() - 1.0) * bound)).collect()
    }

    /// Pairs of normals by Box and Muller.
    fn normals(&mut self, n: usize, std: f64) -> Vec<f32> {
        let mut data = Vec::with_capacity(n + 1);
        while data.len() < n {
            let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt() * std;
            let (sin, cos) = (std::f64::consts::TAU * self.unit()).sin_cos();
            data.extend([narrow(radius * cos), narrow(radius * sin)]);
        }
        data.truncate(n);
        data
    }
}

/// Fowler, Noll and Vo's hash, 64 bits: names the stream of a parameter.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
