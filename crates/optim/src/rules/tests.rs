//! What the tests of all rules share: rules beside their formulas, one element at a time in f64.

use crate::rule::{Begins, Cells, Rule, Slices, Step, round};

/// What a formula sees of an element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Twin {
    pub(super) lr: f64,
    pub(super) weight_decay: f64,
    pub(super) step: i32,
    pub(super) param: f64,
    pub(super) grad: f64,
}

/// What a slot holds at the beginning.
fn first(begins: Begins, param: &[f64]) -> Vec<f64> {
    match begins {
        Begins::Zeros => vec![0.0; param.len()],
        Begins::Ones => vec![1.0; param.len()],
        Begins::Parameter => param.to_vec(),
    }
}

/// Parameters after each step, and the slots after the last, of a rule that sees a whole vector at rate and decay.
pub(super) fn steps(
    rule: &dyn Rule,
    (lr, weight_decay): (f64, f64),
    start: &[f32],
    grads: &[&[f32]],
) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let shape = [start.len()];
    let step = Step::new("w", &shape);
    let mut param = start.to_vec();
    let narrow = |values: Vec<f64>| -> Vec<f32> { values.iter().map(|&v| round(v)).collect() };
    let wide: Vec<f64> = start.iter().copied().map(f64::from).collect();
    let mut slots: Vec<Vec<f32>> =
        rule.slots(&step.param).iter().map(|slot| narrow(first(slot.begins, &wide))).collect();
    let mut numbers = vec![1.0; rule.numbers().len()];
    let mut seen = Vec::new();
    for (grad, at) in grads.iter().zip(1..) {
        rule.advance(at, &mut numbers);
        let grad_norm = grad.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        let mut sums = [0.0; 2];
        for pass in 0..rule.passes(&step.param, weight_decay).count {
            let step = Step { pass, sums, grad_norm, numbers: &numbers, ..step };
            let mut views: Vec<&mut [f32]> = slots.iter_mut().map(Vec::as_mut_slice).collect();
            let slices = Slices { param: &mut param, grad, slots: &mut views };
            sums = rule.update(&step.at(lr, weight_decay, at), Cells::F32(slices));
        }
        seen.push(param.clone());
    }
    (seen, slots)
}

/// Compares a rule with its formula over some steps in which gradients depend on the parameters.
pub(super) fn follows_its_twin(
    rule: &dyn Rule,
    weight_decay: f64,
    twin: impl Fn(Twin, &mut [f64]) -> f64,
) {
    rule.check().unwrap();
    let start: Vec<f64> = (0..37).map(|i| (f64::from(i) * 0.7).sin() * 2.0).collect();
    let shape = [start.len()];
    let step = Step::new("w", &shape);
    let slots = rule.slots(&step.param);
    let mut expected = start.clone();
    let mut expected_slots: Vec<Vec<f64>> = (0..start.len())
        .map(|i| slots.iter().map(|slot| first(slot.begins, &start)[i]).collect())
        .collect();
    let mut grads: Vec<Vec<f32>> = Vec::new();
    for at in 1..=6 {
        let lr = 0.02 / f64::from(at);
        let grad: Vec<f32> = expected.iter().map(|p| round((3.0 * p + 0.3).cos())).collect();
        for ((param, slots), &grad) in expected.iter_mut().zip(&mut expected_slots).zip(&grad) {
            let seen = Twin { lr, weight_decay, step: at, param: *param, grad: f64::from(grad) };
            *param = twin(seen, slots);
        }
        grads.push(grad);
    }
    for (double, tolerance) in [(false, 5e-6), (true, 1e-12)] {
        let got = run(rule, weight_decay, &start, &grads, double);
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert!((got - expected).abs() < tolerance, "{i}: {got} {expected}");
        }
    }
}

fn run(
    rule: &dyn Rule,
    weight_decay: f64,
    start: &[f64],
    grads: &[Vec<f32>],
    double: bool,
) -> Vec<f64> {
    let shape = [start.len()];
    let step = Step::new("w", &shape);
    let begins = rule.slots(&step.param);
    let mut numbers = vec![1.0; rule.numbers().len()];
    let mut wide = start.to_vec();
    let mut wide_slots: Vec<Vec<f64>> =
        begins.iter().map(|slot| first(slot.begins, start)).collect();
    let narrow = |values: &[f64]| -> Vec<f32> { values.iter().map(|&v| round(v)).collect() };
    let mut short = narrow(start);
    let mut short_slots: Vec<Vec<f32>> = wide_slots.iter().map(|slot| narrow(slot)).collect();
    for (grad, at) in grads.iter().zip(1u32..) {
        rule.advance(u64::from(at), &mut numbers);
        let step = Step { numbers: &numbers, ..step };
        let step = step.at(0.02 / f64::from(at), weight_decay, u64::from(at));
        let wide_grad: Vec<f64> = grad.iter().copied().map(f64::from).collect();
        let mut views: Vec<&mut [f64]> = wide_slots.iter_mut().map(Vec::as_mut_slice).collect();
        let mut short_views: Vec<&mut [f32]> =
            short_slots.iter_mut().map(Vec::as_mut_slice).collect();
        match double {
            true => {
                let slices = Slices { param: &mut wide, grad: &wide_grad, slots: &mut views };
                rule.update(&step, Cells::F64(slices));
            }
            false => {
                let slices = Slices { param: &mut short, grad, slots: &mut short_views };
                rule.update(&step, Cells::F32(slices));
            }
        }
    }
    match double {
        true => wide,
        false => short.into_iter().map(f64::from).collect(),
    }
}
