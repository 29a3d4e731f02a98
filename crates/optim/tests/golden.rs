//! Ten steps of every rule against PyTorch and timm, in both precisions, and what clipping makes of gradients; rates of every schedule.
//!
//! Fixtures are written by `tests/generators/optim.py` and `schedule.py`, which document their keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;

use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};
use taper_optim::{
    Adam, AdamW, Adan, AdjustLr, Better, Clip, Decay, Group, Lamb, Lion, Lookahead, Muon, NAdam,
    Optimizer, Plateau, RmsProp, RmsPropTf, Role, Rule, Schedule, Scores, Sgd,
};

type Test = Result<(), Box<dyn Error>>;
type Fixture = HashMap<String, Tensor>;

const NAMES: [&str; 5] = ["linear", "depthwise", "conv", "bias", "norm"];

/// A case as the generator spells it.
struct Case {
    name: &'static str,
    rule: Box<dyn Rule>,
    /// Of the first step.
    lr: f64,
    weight_decay: f64,
    /// Of the convolution.
    role: Role,
}

fn case(name: &'static str, rule: impl Rule + 'static, [lr, weight_decay]: [f64; 2]) -> Case {
    Case { name, rule: Box::new(rule), lr, weight_decay, role: Role::Weight }
}

fn cases() -> Vec<Case> {
    let sgd = |momentum, nesterov, dampening| Sgd { momentum, nesterov, dampening };
    let rms = |alpha, eps, momentum, centered| RmsProp { alpha, eps, momentum, centered };
    let tf = |momentum| RmsPropTf { eps: 1e-3, momentum, ..RmsPropTf::default() };
    let always = Lamb { max_grad_norm: None, always_adapt: true, ..Lamb::default() };
    let muon = Muon { nesterov: false, ..Muon::default() };
    let timm = Muon { rest: AdamW { eps: 1e-7, ..AdamW::default() }, ..muon };
    let torch = Muon { adjust: AdjustLr::Original, ..Muon::default() };
    vec![
        case("sgd", sgd(0.0, false, 0.0), [0.1, 0.0]),
        case("sgd_momentum", sgd(0.9, false, 0.0), [0.1, 0.0]),
        case("sgd_momentum_decay", sgd(0.9, false, 0.0), [0.1, 0.05]),
        case("sgd_nesterov_decay", sgd(0.9, true, 0.0), [0.1, 0.05]),
        case("sgd_dampening", sgd(0.9, false, 0.3), [0.1, 0.0]),
        case("adam_decay", Adam { betas: (0.8, 0.95), eps: 1e-6 }, [0.01, 0.1]),
        case("adamw", AdamW::default(), [0.01, 0.0]),
        case("adamw_decay", AdamW { betas: (0.8, 0.95), eps: 1e-3 }, [0.01, 0.1]),
        case("nadam_decay", NAdam::default(), [0.01, 0.1]),
        case("rmsprop", RmsProp::default(), [0.01, 0.0]),
        case("rmsprop_centered", rms(0.9, 1e-3, 0.0, true), [0.01, 0.0]),
        case("rmsprop_momentum_decay", rms(0.99, 1e-8, 0.9, false), [0.01, 0.1]),
        case("rmsprop_all", rms(0.9, 1e-3, 0.9, true), [0.01, 0.1]),
        case("rmsprop_tf", tf(0.0), [0.01, 0.0]),
        case("rmsprop_tf_decay", tf(0.9), [0.01, 0.1]),
        case("lamb_decay", Lamb::default(), [0.01, 0.1]),
        case("lamb_always", always, [0.01, 0.0]),
        case("lion_decay", Lion::default(), [0.003, 0.3]),
        case("adan_decay", Adan::default(), [0.01, 0.1]),
        case("muon_decay", timm, [0.02, 0.1]),
        // PyTorch's takes no convolutions.
        Case { role: Role::Head, ..case("muon_original", torch, [0.02, 0.1]) },
        case("lookahead", Lookahead { every: 3, ..Lookahead::of(AdamW::default()) }, [0.01, 0.1]),
    ]
}

fn fixture(name: &str) -> candle_core::Result<Fixture> {
    let path = format!("{}/tests/fixtures/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    candle_core::safetensors::load(path, &Device::Cpu)
}

/// Asserts `|actual − expected| ≤ rtol · |expected| + atol · max(1, largest |expected|)` everywhere; a failure names the worst element. What
/// is summed of large numbers that cancel, as momenta are, is as wrong as those.
fn assert_close(what: &str, actual: &Tensor, expected: &Tensor, [rtol, atol]: [f64; 2]) -> Test {
    assert_eq!((actual.dims(), actual.dtype()), (expected.dims(), expected.dtype()), "{what}");
    let flat = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (actual, expected) = (flat(actual)?, flat(expected)?);
    let atol = expected.iter().fold(1.0, |most: f64, value| most.max(value.abs())) * atol;
    let excess = |i: usize| (actual[i] - expected[i]).abs() - rtol * expected[i].abs() - atol;
    let worst = (0..actual.len()).max_by(|&i, &j| excess(i).total_cmp(&excess(j)));
    if let Some(i) = worst {
        assert!(excess(i) <= 0.0, "{what}[{i}]: got {}, expected {}", actual[i], expected[i]);
    }
    Ok(())
}

/// Relative, and absolute for values near zero: a few units in the last place of numbers near 1, after ten steps.
fn tolerance(dtype: DType) -> [f64; 2] {
    if dtype == DType::F64 { [1e-12, 1e-13] } else { [1e-6, 2e-7] }
}

#[test]
fn ten_steps_agree_with_pytorch_and_timm_in_parameters_and_state() -> Test {
    let golden = fixture("optim")?;
    let given: BTreeSet<&str> = golden
        .keys()
        .filter_map(|key| key.split_once("/f32/after/").map(|(case, _)| case))
        .collect();
    assert_eq!(given, cases().iter().map(|case| case.name).collect::<BTreeSet<_>>());
    for dtype in [DType::F32, DType::F64] {
        cases().into_iter().try_for_each(|case| ten_steps(&golden, case, dtype))?;
    }
    Ok(())
}

fn ten_steps(golden: &Fixture, case: Case, dtype: DType) -> Test {
    let Case { name, rule, lr, weight_decay, role } = case;
    let var = |name: &'static str| {
        let tensor = golden[&format!("before/{name}")].to_dtype(dtype)?;
        Ok((name, Var::from_tensor(&tensor)?))
    };
    let vars: Vec<(&str, Var)> = NAMES.into_iter().map(var).collect::<candle_core::Result<_>>()?;
    let group = |range: std::ops::Range<usize>| {
        let named = vars[range].iter().map(|(name, var)| ((*name).to_owned(), var.clone()));
        Group::new("a", named.collect()).with_weight_decay(weight_decay)
    };
    let undecayed = group(3..5).with_weight_decay(0.0).with_role(Role::Other).with_lr_scale(0.5);
    let groups = vec![group(0..2), group(2..3).with_role(role), undecayed];
    let mut optimizer = Optimizer::from_groups(groups, rule)?;
    let prefix = format!("{name}/{}", dtype.as_str());
    for step in 0..10u32 {
        let mut grads = GradStore::default();
        for (name, var) in &vars {
            grads.insert(var, golden[&format!("grads/{step}/{name}")].to_dtype(dtype)?);
        }
        optimizer.step_at(&grads, lr * (1.0 - f64::from(step) / 20.0))?;
        for (name, var) in vars.iter().filter(|_| [4, 9].contains(&step)) {
            let key = format!("{prefix}/after/{step}/{name}");
            assert_close(&key, var, &golden[&key], tolerance(dtype))?;
        }
    }
    let state: BTreeMap<String, Tensor> = optimizer.state()?;
    let prefix = format!("{prefix}/state/");
    let expected: Vec<_> = golden.iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
    for (key, expected) in &expected {
        let kept = &state[&key[prefix.len()..]];
        // PyTorch keeps a product in single precision.
        let dtype = if key.ends_with("mu_product") { DType::F32 } else { dtype };
        assert_close(key, kept, expected, tolerance(dtype))?;
    }
    let n_kept = state.keys().filter(|key| !key.ends_with(".step")).count();
    assert_eq!(n_kept, expected.len(), "{name}: {:?}", state.keys());
    Ok(())
}

#[test]
fn clipped_gradients_agree_with_pytorch_and_timm() -> Test {
    let golden = fixture("optim")?;
    for (word, clip) in [("agc", Clip::Adaptive(0.1)), ("value", Clip::Value(0.5))] {
        let var = |name: &'static str| {
            Ok((name.to_owned(), Var::from_tensor(&golden[&format!("before/{name}")])?))
        };
        let vars: Vec<(String, Var)> =
            NAMES.into_iter().map(var).collect::<candle_core::Result<_>>()?;
        let group = Group::new("all", vars.clone());
        let optimizer = Optimizer::from_groups(vec![group], Sgd::default())?;
        let mut grads = GradStore::default();
        for (name, var) in &vars {
            grads.insert(var, golden[&format!("grads/0/{name}")].clone());
        }
        clip.apply(&mut grads, &optimizer)?;
        for (name, var) in &vars {
            let clipped = grads.get(var).ok_or("a gradient is gone")?;
            let key = format!("clip/{word}/{name}");
            assert_close(&key, clipped, &golden[&key], [1e-6, 1e-7])?;
        }
    }
    Ok(())
}

fn schedules() -> Vec<(&'static str, Schedule)> {
    let at = |decay| Schedule::new(0.1, decay);
    let restarts =
        |period, longer, lower, floor| at(Decay::CosineRestarts { period, longer, lower, floor });
    let one_cycle = |rising| at(Decay::OneCycle { total_steps: 200, rising });
    let warm = Schedule::new(0.1, Decay::Cosine { total_steps: 200, floor: 0.001 }).with_warmup(20);
    let least = Plateau { factor: 0.5, patience: 3, ..Plateau::default() };
    let most = Plateau { factor: 0.3, patience: 5, cooldown: 4, floor: 1e-4, ..least };
    vec![
        ("cosine", Schedule::cosine(0.1, 200)),
        ("warmup_cosine", warm),
        ("restarts", restarts(20, 2.0, 1.0, 0.001)),
        ("restarts_equal", restarts(30, 1.0, 1.0, 0.0)),
        ("restarts_timm", restarts(25, 1.5, 0.8, 0.001)),
        ("one_cycle", one_cycle(0.3)),
        ("one_cycle_early", one_cycle(0.123)),
        ("step", Schedule::step(0.1, 15, 0.5)),
        ("multi_step", at(Decay::MultiStep { at: vec![30, 80, 81], factor: 0.3 })),
        ("exponential", at(Decay::Exponential { factor: 0.97 })),
        ("polynomial", at(Decay::Polynomial { total_steps: 150, power: 2.5, floor: 0.0 })),
        ("plateau_min", at(Decay::Plateau(least))),
        ("plateau_max", at(Decay::Plateau(most))),
    ]
}

#[test]
fn two_hundred_rates_of_every_schedule_agree_with_pytorch_and_timm() -> Test {
    let golden = fixture("schedule")?;
    let scores = golden["scores"].to_vec1::<f64>()?;
    assert_eq!(golden.len(), schedules().len() + 1);
    for (name, schedule) in schedules() {
        schedule.check()?;
        let better = if name == "plateau_max" { Better::Higher } else { Better::Lower };
        let expected = golden[name].to_vec1::<f64>()?;
        assert_eq!(expected.len(), 200);
        for (step, (expected, seen)) in (0..).zip(expected.iter().zip(1..)) {
            let rate = schedule.lr_after(step, Scores { values: &scores[..seen], better });
            assert!((rate - expected).abs() < 1e-13, "{name} at {step}: {rate}, {expected}");
        }
    }
    Ok(())
}
