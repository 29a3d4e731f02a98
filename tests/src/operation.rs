//! The operation goldens: one operation, what it reads, and what PyTorch makes of it.
//!
//! Above: the golden tests of executors and candle ops. Below: `fixture`, `graph`. Not here: running a case; making one
//! (`tests/generators/operations.py`, which also says what each key holds).
//! Maps are `(n, c, h, w)`, as PyTorch has them; inputs and parameters are exact in f32, results were computed in f64.

use std::collections::BTreeMap;

use serde::Deserialize;
use taper_graph::Op;

use crate::close::{Tolerance, assert_close, largest};
use crate::fixture::{Fixture, Golden};

/// The fixtures there are: `tests/fixtures/operations_<family>.safetensors`.
pub const FAMILIES: [&str; 7] =
    ["conv", "transposed", "pool", "around", "norm", "pointwise", "mixing"];

/// One operation on given inputs.
#[derive(Clone, Debug)]
pub struct Case {
    /// Family and name: `conv/depthwise_same`.
    pub name: String,
    /// The operation, with its numbers.
    pub op: Op,
    /// What it reads, in order.
    pub xs: Vec<Golden>,
    /// Parameters and buffers before the step, by the ends of their names (`weight`, `running_mean`).
    pub params: BTreeMap<String, Golden>,
    /// Whether the parameters are trained; a batch norm that is not uses its running statistics.
    pub trained: bool,
    /// The output, in training mode where `trained`.
    pub y: Golden,
    /// The gradient that arrives at the output.
    pub dy: Golden,
    /// The gradients of the inputs.
    pub d_xs: Vec<Golden>,
    /// The gradients of the trained parameters.
    pub d_params: BTreeMap<String, Golden>,
    /// Buffers after the step: those that it changes.
    pub updated: BTreeMap<String, Golden>,
    /// The output in evaluation mode, with the buffers before the step.
    pub evaluated: Golden,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    op: Op,
    inputs: usize,
    params: Vec<String>,
    trained: bool,
}

impl Case {
    /// All cases of one of the [`FAMILIES`].
    ///
    /// # Panics
    /// If the fixture is missing or broken.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its fixture has nothing to say")]
    pub fn all(family: &str) -> Vec<Self> {
        let fixture = Fixture::open(&format!("operations_{family}"));
        let descriptions: Vec<Description> =
            serde_json::from_str(fixture.metadata("cases")).expect("descriptions of the cases");
        descriptions.into_iter().map(|about| Self::read(family, &fixture, about)).collect()
    }

    fn read(family: &str, fixture: &Fixture, about: Description) -> Self {
        let below = format!("{}/", about.name);
        let tensors: BTreeMap<&str, &Golden> = fixture.below(&below).collect();
        let get = |key: &str| fixture.get(&format!("{below}{key}")).clone();
        let find = |prefix: &str, names: &[String]| {
            let found = names.iter().filter_map(|name| {
                Some((name.clone(), (*tensors.get(format!("{prefix}{name}").as_str())?).clone()))
            });
            found.collect::<BTreeMap<_, _>>()
        };
        Self {
            name: format!("{family}/{}", about.name),
            xs: (0..about.inputs).map(|i| get(&format!("x{i}"))).collect(),
            params: find("", &about.params),
            y: get("y"),
            dy: get("dy"),
            d_xs: (0..about.inputs).map(|i| get(&format!("d_x{i}"))).collect(),
            d_params: find("d_", &about.params),
            updated: find("updated_", &about.params),
            evaluated: get(if tensors.contains_key("evaluated") { "evaluated" } else { "y" }),
            op: about.op,
            trained: about.trained,
        }
    }

    /// Whether there is a bias beside a weight.
    #[must_use]
    pub fn has_bias(&self) -> bool {
        self.params.contains_key("bias")
    }

    /// Holds `actual` to `expected`: every element may be off by `limit` times the largest magnitude.
    ///
    /// # Panics
    /// If one is further off; names the case, `what`, and the worst element.
    pub fn check(&self, what: &str, actual: &[f64], expected: &[f64], limit: f64) {
        let tolerance = Tolerance { rtol: 0.0, atol: limit * largest(expected) };
        assert_close(&format!("{} {what}", self.name), actual, expected, tolerance);
    }
}
