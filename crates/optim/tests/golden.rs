//! Ten steps of every optimizer and forty rates of every schedule against PyTorch.
//!
//! Fixtures are written by `tests/generators/optim.py` and `schedule.py`, which document their keys.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;

use candle_core::{Device, Tensor, Var, backprop::GradStore};
use taper_optim::{AdamW, Group, Optimizer, Rule, Schedule, Sgd};

type Test = Result<(), Box<dyn Error>>;
type Fixture = HashMap<String, Tensor>;

/// Each case as the generator spells it, with the weight decay of `weight`.
fn cases() -> Vec<(&'static str, Box<dyn Rule>, f64)> {
    let sgd = |momentum, nesterov, dampening| Box::new(Sgd { momentum, nesterov, dampening });
    vec![
        ("sgd", sgd(0.0, false, 0.0), 0.0),
        ("sgd_momentum", sgd(0.9, false, 0.0), 0.0),
        ("sgd_momentum_decay", sgd(0.9, false, 0.0), 0.05),
        ("sgd_nesterov_decay", sgd(0.9, true, 0.0), 0.05),
        ("sgd_dampening", sgd(0.9, false, 0.3), 0.0),
        ("adamw", Box::new(AdamW::default()), 0.0),
        ("adamw_decay", Box::new(AdamW { betas: (0.8, 0.95), eps: 1e-3 }), 0.1),
    ]
}

fn fixture(name: &str) -> candle_core::Result<Fixture> {
    let path = format!("{}/tests/fixtures/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    candle_core::safetensors::load(path, &Device::Cpu)
}

/// Asserts `|actual − expected| ≤ atol + rtol · |expected|` everywhere; a failure names the worst element.
fn assert_close(what: &str, actual: &Tensor, expected: &Tensor, rtol: f32, atol: f32) -> Test {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    let [actual, expected]: [Vec<f32>; 2] =
        [actual.flatten_all()?.to_vec1()?, expected.flatten_all()?.to_vec1()?];
    let excess = |i: usize| (actual[i] - expected[i]).abs() - rtol * expected[i].abs() - atol;
    let worst = (0..actual.len()).max_by(|&i, &j| excess(i).total_cmp(&excess(j)));
    if let Some(i) = worst {
        assert!(excess(i) <= 0.0, "{what}[{i}]: got {}, expected {}", actual[i], expected[i]);
    }
    Ok(())
}

#[test]
fn ten_steps_agree_with_pytorch_in_parameters_and_state() -> Test {
    let golden = fixture("optim")?;
    let names: BTreeSet<&str> =
        golden.keys().filter_map(|key| key.split_once("/after/").map(|(case, _)| case)).collect();
    assert_eq!(names, cases().iter().map(|(name, ..)| *name).collect::<BTreeSet<_>>());
    cases().into_iter().try_for_each(|(case, rule, decay)| ten_steps(&golden, case, rule, decay))
}

fn ten_steps(golden: &Fixture, case: &str, rule: Box<dyn Rule>, decay: f64) -> Test {
    let var = |name: &str| Var::from_tensor(&golden[&format!("before/{name}")]);
    let (weight, bias) = (var("weight")?, var("bias")?);
    let groups = vec![
        Group::new("decayed", vec![("weight".to_owned(), weight.clone())]).with_weight_decay(decay),
        Group::new("undecayed", vec![("bias".to_owned(), bias.clone())]).with_lr_scale(0.5),
    ];
    let mut optimizer = Optimizer::from_groups(groups, rule)?;
    let peak = if case.starts_with("sgd") { 0.1 } else { 0.01 };
    for step in 0..10u32 {
        let mut grads = GradStore::default();
        for (name, var) in [("weight", &weight), ("bias", &bias)] {
            grads.insert(var, golden[&format!("grads/{step}/{name}")].clone());
        }
        optimizer.step_at(&grads, peak * (1.0 - f64::from(step) / 20.0))?;
        for (name, var) in [("weight", &weight), ("bias", &bias)] {
            let key = format!("{case}/after/{step}/{name}");
            assert_close(&key, var, &golden[&key], 1e-6, 1e-7)?;
        }
    }
    let state = optimizer.state()?;
    let prefix = format!("{case}/state/");
    for (key, expected) in golden.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        assert_close(key, &state[&key[prefix.len()..]], expected, 1e-6, 1e-7)?;
    }
    let n_expected = golden.keys().filter(|key| key.starts_with(&prefix)).count();
    assert_eq!(state.keys().filter(|key| !key.ends_with(".step")).count(), n_expected, "{case}");
    Ok(())
}

#[test]
fn rates_agree_with_pytorch() -> Test {
    let golden = fixture("schedule")?;
    let schedules = [
        ("cosine", Schedule::cosine(0.1, 40)),
        ("warmup_cosine", Schedule::cosine(0.1, 40).with_warmup(5)),
        ("step", Schedule::step(0.1, 15, 0.1)),
    ];
    assert_eq!(golden.len(), schedules.len());
    for (name, schedule) in schedules {
        for (step, expected) in (0..).zip(golden[name].to_vec1::<f64>()?) {
            let rate = schedule.lr_at(step);
            assert!((rate - expected).abs() < 1e-13, "{name} at {step}: {rate}, {expected}");
        }
    }
    Ok(())
}
