//! Every loss and its gradient against PyTorch, in `f32` and `f64`.
//!
//! The fixture is written by `tests/generators/loss.py`, which documents its keys. Its results are in `f64`, for both types.

use std::collections::{BTreeSet, HashMap};

use candle_core::{DType, Device, Result, Tensor, Var};
use taper_layers::loss::{
    BceWithLogits, CrossEntropy, Distillation, Huber, Mse, Reduction, SigmoidFocal, SmoothL1,
    SoftmaxFocal, cross_entropy,
};

type Test = std::result::Result<(), Box<dyn std::error::Error>>;

/// Asserts `|actual − expected| ≤ tolerance · max |expected|`; a failure names the worst element.
fn assert_close(what: &str, actual: &Tensor, expected: &Tensor, tolerance: f64) -> Test {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    let flat = |it: &Tensor| it.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (actual, expected) = (flat(actual)?, flat(expected)?);
    let largest = expected.iter().fold(0.0, |largest: f64, it| largest.max(it.abs()));
    let excess = |i: usize| (actual[i] - expected[i]).abs() - tolerance * largest;
    for i in 0..actual.len() {
        // Written so that a NaN fails.
        let is_close = excess(i) <= 0.0;
        assert!(is_close, "{what}[{i}]: {} for {}, off by {}", actual[i], expected[i], excess(i));
    }
    Ok(())
}

/// The inputs of the fixture in one type.
struct Inputs<'a> {
    golden: &'a HashMap<String, Tensor>,
    prefix: &'static str,
    dtype: DType,
}

impl Inputs<'_> {
    fn get(&self, name: &str) -> Result<Tensor> {
        self.golden[name].to_dtype(self.dtype)
    }

    fn teacher(&self) -> Result<Tensor> {
        self.get(&format!("{}teacher", self.prefix))
    }

    fn classes(&self) -> Result<Tensor> {
        self.golden["classes"].to_dtype(DType::U32)
    }

    fn cross_entropy(&self, settings: &str, xs: &Tensor) -> Result<Tensor> {
        let mut loss = CrossEntropy::new();
        let (targets, settings) = match settings.strip_prefix("soft") {
            Some(rest) => (self.get("probabilities")?, rest.trim_start_matches('/')),
            None => (self.classes()?, settings),
        };
        let (kind, reduction) = settings.split_once('/').unwrap_or((settings, "mean"));
        if matches!(kind, "weight" | "both") {
            loss = loss.with_weight(&self.get("class_weight")?)?;
        }
        if kind == "both" {
            loss = loss.with_label_smoothing(0.1)?;
        }
        if let Some(smoothing) = kind.strip_prefix("smoothing_") {
            loss = loss.with_label_smoothing(number(smoothing)?)?;
        }
        loss.with_reduction(reduction_of(reduction)).forward(xs, &targets)
    }

    fn bce(&self, settings: &str, xs: &Tensor) -> Result<Tensor> {
        let (kind, reduction) = settings.split_once('/').unwrap_or((settings, "mean"));
        let mut loss = BceWithLogits::new().with_reduction(reduction_of(reduction));
        if matches!(kind, "weight" | "both") {
            loss = loss.with_weight(&self.get("weight")?)?;
        }
        if matches!(kind, "pos_weight" | "both") {
            loss = loss.with_pos_weight(&self.get("pos_weight")?)?;
        }
        loss.forward(xs, &self.get(if kind == "shares" { "shares" } else { "marks" })?)
    }

    fn sigmoid_focal(&self, settings: &str, xs: &Tensor) -> Result<Tensor> {
        let loss = SigmoidFocal::new().with_reduction(reduction_of(settings));
        let loss = match settings {
            "no_alpha" => loss.with_alpha(None)?,
            "gamma_0" => loss.with_gamma(0.0)?,
            "gamma_1.5" => loss.with_alpha(Some(0.6))?.with_gamma(1.5)?,
            _ => loss,
        };
        loss.forward(xs, &self.get(if settings == "shares" { "shares" } else { "marks" })?)
    }

    fn softmax_focal(&self, settings: &str, xs: &Tensor) -> Result<Tensor> {
        let loss = SoftmaxFocal::new();
        let loss = match settings {
            "weight" => loss.with_weight(&self.get("class_weight")?)?.with_gamma(1.5)?,
            _ => loss,
        };
        loss.forward(xs, &self.classes()?)
    }

    /// The loss that the fixture calls `name`.
    fn loss(&self, name: &str, xs: &Tensor) -> Result<Tensor> {
        let (loss, settings) = name.split_once('/').unwrap_or((name, ""));
        let (size, reduction) = settings.split_once('/').unwrap_or((settings, "mean"));
        match loss {
            "cross_entropy" => self.cross_entropy(settings, xs),
            "bce" => self.bce(settings, xs),
            "sigmoid_focal" => self.sigmoid_focal(settings, xs),
            "softmax_focal" => self.softmax_focal(settings, xs),
            "mse" => {
                Mse::new().with_reduction(reduction_of(settings)).forward(xs, &self.teacher()?)
            }
            "huber" => Huber::new(number(size)?)?
                .with_reduction(reduction_of(reduction))
                .forward(xs, &self.teacher()?),
            "smooth_l1" => SmoothL1::new(number(size)?)?
                .with_reduction(reduction_of(reduction))
                .forward(xs, &self.teacher()?),
            "distillation" => Distillation::new(number(size)?)?
                .with_reduction(reduction_of(reduction))
                .forward(xs, &self.teacher()?),
            _ => candle_core::bail!("the test does not know `{name}`"),
        }
    }
}

fn number(text: &str) -> Result<f64> {
    text.parse().map_err(candle_core::Error::wrap)
}

/// The mean, unless a name says otherwise.
fn reduction_of(word: &str) -> Reduction {
    match word {
        "sum" => Reduction::Sum,
        "none" => Reduction::None,
        _ => Reduction::Mean,
    }
}

fn golden() -> Result<HashMap<String, Tensor>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/loss.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu)
}

/// The loss, and its gradient or that of the sum of an unreduced one times 1, 2, 3, ….
fn value_and_grad(xs: &Var, loss: &Tensor) -> Result<Tensor> {
    let count = u32::try_from(loss.elem_count()).map_err(candle_core::Error::wrap)?;
    let steps = Tensor::arange(1u32, count + 1, &Device::Cpu)?.to_dtype(loss.dtype())?;
    let grads = (loss * steps.reshape(loss.shape())?)?.sum_all()?.backward()?;
    grads.get(xs).cloned().ok_or_else(|| candle_core::Error::msg("no gradient"))
}

fn check(dtype: DType, tolerance: f64) -> Test {
    let golden = golden()?;
    let names: BTreeSet<&str> = golden.keys().filter_map(|key| key.strip_suffix("/loss")).collect();
    assert_eq!(names.len(), 86);
    for name in names {
        let (prefix, short) = match name.strip_prefix("large/") {
            Some(short) => ("large/", short),
            None => ("", name),
        };
        let inputs = Inputs { golden: &golden, prefix, dtype };
        let xs = Var::from_tensor(&inputs.get(&format!("{prefix}logits"))?)?;
        let loss = inputs.loss(short, &xs)?;
        assert_eq!(loss.dtype(), dtype, "{name}");
        assert_close(name, &loss, &golden[&format!("{name}/loss")], tolerance)?;
        let grad = value_and_grad(&xs, &loss)?;
        let what = format!("gradient of {name}");
        assert_close(&what, &grad, &golden[&format!("{name}/grad")], tolerance)?;
    }
    Ok(())
}

#[test]
fn losses_agree_with_pytorch_in_f32() -> Test {
    check(DType::F32, 1e-5)
}

#[test]
fn losses_agree_with_pytorch_in_f64() -> Test {
    check(DType::F64, 1e-9)
}

#[test]
fn the_short_form_of_cross_entropy_agrees_with_pytorch() -> Test {
    let golden = golden()?;
    let inputs = Inputs { golden: &golden, prefix: "", dtype: DType::F64 };
    let loss = cross_entropy(&inputs.get("logits")?, &inputs.classes()?, 0.1)?;
    assert_close("short", &loss, &golden["cross_entropy/smoothing_0.1/loss"], 1e-9)
}
