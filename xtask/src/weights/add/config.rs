//! `config.json` of a repository that timm wrote.
//!
//! Above: `add`. Below: `serde_json`, `taper_model::Preprocess`. Not here: the weights beside it.
//! Evaluation is what counts: where there is a size or a crop for tests, it is taken.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use taper_model::{Interpolation, Preprocess};

/// Longer texts are no configuration.
const LARGEST: u64 = 1 << 20;

/// Colors that the tables have a name for: mean, standard deviation.
const COLORS: [(&str, [[f64; 3]; 2]); 3] = [
    ("IMAGENET", [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]),
    ("HALF", [[0.5; 3]; 2]),
    ("PLAIN", [[0.0; 3], [1.0; 3]]),
];

/// What is used of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Config {
    pub(super) architecture: String,
    pub(super) tag: String,
    pub(super) classes: usize,
    pub(super) preprocess: Preprocess,
    /// Name of mean and standard deviation in the tables.
    pub(super) colors: &'static str,
    pub(super) licence: Option<String>,
}

impl Config {
    /// Reads a file that somebody else wrote.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let len = fs::metadata(path).with_context(|| format!("reading {shown}"))?.len();
        ensure!(len <= LARGEST, "{shown} has {len} bytes, which is no configuration");
        let text = fs::read_to_string(path).with_context(|| format!("reading {shown}"))?;
        let value = serde_json::from_str(&text).with_context(|| format!("{shown} is no JSON"))?;
        Self::of(&value).with_context(|| format!("in {shown}"))
    }

    fn of(value: &Value) -> Result<Self> {
        let cfg = value.get("pretrained_cfg").context("there is no `pretrained_cfg`")?;
        let classes = cfg.get("num_classes").or_else(|| value.get("num_classes"));
        let classes = classes.and_then(Value::as_u64).context("`num_classes` is no number")?;
        let mode = cfg.get("crop_mode").and_then(Value::as_str).unwrap_or("center");
        ensure!(mode == "center", "`crop_mode` is `{mode}`, only `center` is known");
        let (preprocess, colors) = preprocess(cfg)?;
        let licence = cfg.get("license").and_then(Value::as_str).map(spdx);
        Ok(Self {
            architecture: text(value, "architecture")?,
            tag: text(cfg, "tag")?,
            classes: usize::try_from(classes)?,
            preprocess,
            colors,
            licence,
        })
    }
}

fn preprocess(cfg: &Value) -> Result<(Preprocess, &'static str)> {
    let tested = |test: &'static str, plain: &'static str| match cfg.get(test) {
        Some(value) if !value.is_null() => test,
        _ => plain,
    };
    let size = three(cfg, tested("test_input_size", "input_size"), Value::as_u64)?;
    ensure!(
        size[0] == 3 && size[1] == size[2],
        "the input is {size:?}, not 3 channels of a square"
    );
    let crop = tested("test_crop_pct", "crop_pct");
    let crop_pct = cfg.get(crop).and_then(Value::as_f64);
    let given = [three(cfg, "mean", Value::as_f64)?, three(cfg, "std", Value::as_f64)?];
    let Some((colors, [mean, std])) = COLORS.iter().find(|(_, known)| *known == given) else {
        bail!("mean and std are {given:?}, which have no name in crates/zoo/src/record/row.rs yet");
    };
    let interpolation = match text(cfg, "interpolation")?.as_str() {
        "bilinear" => Interpolation::Bilinear,
        "bicubic" => Interpolation::Bicubic,
        other => bail!("`interpolation` is `{other}`, only `bilinear` and `bicubic` are known"),
    };
    let preprocess = Preprocess {
        input_size: [usize::try_from(size[1])?; 2],
        mean: mean.map(narrow),
        std: std.map(narrow),
        crop_pct: crop_pct.with_context(|| format!("`{crop}` is no number"))?,
        interpolation,
    };
    preprocess.validate()?;
    Ok((preprocess, colors))
}

fn text(value: &Value, key: &str) -> Result<String> {
    let text = value.get(key).and_then(Value::as_str);
    Ok(text.with_context(|| format!("`{key}` is no text"))?.to_owned())
}

fn three<T>(value: &Value, key: &str, number: impl Fn(&Value) -> Option<T>) -> Result<[T; 3]> {
    let list = value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let numbers: Option<Vec<T>> = list.iter().map(number).collect();
    let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
    numbers.with_context(|| format!("`{key}` is no list of three numbers"))
}

#[expect(clippy::cast_possible_truncation, reason = "color statistics are f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// timm writes licences in lower case.
fn spdx(licence: &str) -> String {
    match licence {
        "apache-2.0" => "Apache-2.0".to_owned(),
        "bsd-3-clause" => "BSD-3-Clause".to_owned(),
        "mit" => "MIT".to_owned(),
        other => other.to_owned(),
    }
}
