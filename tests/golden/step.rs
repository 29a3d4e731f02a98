//! One training step of the executor against PyTorch's: taps, loss, every gradient, the updated running statistics.
//!
//! Above: `main`. Below: `engine::Trainer` on both devices. Not here: the same step through candle (`network`).
//! In f64 on the reference kernels the arithmetic is PyTorch's but for the order of sums. In f32 the golden's seed is one on which
//! PyTorch's two memory layouts agree to 1e-4, so that no activation sits on a corner of ReLU6 (see the generator).

use taper_engine::{Cpu, Device, Real, Reference, Trainer};
use taper_tests::close::{Tolerance, assert_close, assert_norm_close, largest, norm};

use crate::networks::{Problem, full, short, to_f64};

/// How far a step may be from PyTorch's.
#[derive(Clone, Copy)]
struct Limits {
    /// Taps and logits, in units of the largest magnitude.
    taps: f64,
    /// Gradients, in units of their own norm.
    grads: f64,
    /// Gradients, in units of the largest gradient's norm.
    largest_grad: f64,
}

const F64: Limits = Limits { taps: 1e-10, grads: 0.0, largest_grad: 1e-9 };
const F32: Limits = Limits { taps: 1e-4, grads: 1e-3, largest_grad: 1e-6 };

#[test]
fn short_network_in_f64_on_the_reference() {
    check_step::<f64, _>(&short("f64"), Reference, "", F64);
}

#[test]
fn whole_network_in_f64_on_the_reference() {
    check_step::<f64, _>(&full("f64"), Reference, "", F64);
}

#[test]
fn short_network_in_f32_on_the_reference() {
    check_step::<f32, _>(&short("f32"), Reference, "", F32);
}

#[test]
fn short_network_in_f32_on_the_cpu() {
    check_step::<f32, _>(&short("f32"), Cpu::new(2), "", F32);
}

#[test]
fn whole_network_in_f32_on_the_cpu() {
    check_step::<f32, _>(&full("f32"), Cpu::new(2), "", F32);
}

#[test]
fn whole_network_has_158_gradients() {
    assert_eq!(full("f64").fixture.below("grads/").count(), 158);
}

#[test]
fn frozen_norms_use_and_keep_their_statistics() {
    check_step::<f64, _>(&short("f64"), Reference, "frozen_norms/", F64);
    check_step::<f32, _>(&short("f64"), Cpu::new(2), "frozen_norms/", F32);
}

#[test]
fn frozen_stages_have_no_gradients() {
    check_step::<f64, _>(&short("f64"), Reference, "frozen_stage/", F64);
    check_step::<f32, _>(&short("f64"), Cpu::new(2), "frozen_stage/", F32);
}

#[test]
fn a_frozen_backbone_trains_the_classifier_alone() {
    check_step::<f64, _>(&short("f64"), Reference, "frozen_backbone/", F64);
    check_step::<f32, _>(&short("f64"), Cpu::new(2), "frozen_backbone/", F32);
}

#[test]
fn taps_in_f64() {
    for problem in [short("f64"), full("f64")] {
        check_taps::<f64, _>(&problem, || Reference, F64);
    }
}

#[test]
fn taps_in_f32() {
    for problem in [short("f32"), full("f32")] {
        check_taps::<f32, _>(&problem, || Cpu::new(2), F32);
    }
}

/// A parameter is trained iff the scenario (`prefix` in the fixture, empty: nothing is frozen) has its gradient.
fn trained(problem: &Problem, prefix: &str) -> Vec<bool> {
    let below = format!("{prefix}grads/");
    let has_gradient = |name: &str| problem.fixture.below(&below).any(|(golden, _)| golden == name);
    problem.graph.params().iter().map(|spec| has_gradient(&spec.name)).collect()
}

fn check_step<T: Real, D: Device<T>>(problem: &Problem, device: D, prefix: &str, limits: Limits) {
    let trained = trained(problem, prefix);
    let params = problem.params::<T>();
    let params: Vec<&[T]> = params.iter().map(Vec::as_slice).collect();
    let (xs, shape) = problem.inputs::<T>();
    let mut trainer = Trainer::new(&problem.graph, "logits", &trained, device).unwrap();

    let logits = to_f64(trainer.forward(&params, &xs, shape, 0).unwrap());
    let tap = if prefix.is_empty() { "taps/logits".into() } else { format!("{prefix}logits") };
    check_tap(problem, &tap, &logits, limits);
    let (loss, grad) = problem.loss(&logits);
    let golden = &problem.fixture.get(&format!("{prefix}loss")).data;
    assert_close("loss", &[loss], golden, Tolerance { rtol: limits.taps, atol: 0.0 });

    let grad: Vec<T> = grad.into_iter().map(T::from_f64).collect();
    let mut grads = vec![Vec::new(); params.len()];
    trainer.backward(&params, &grad, &mut grads).unwrap();
    check_grads(problem, prefix, &grads, limits);

    let mut updated = 0;
    for (id, values) in trainer.running_statistics(&params) {
        let name = &problem.graph.param(id).name;
        check_tap(problem, &format!("{prefix}updated/{name}"), &to_f64(&values), limits);
        updated += 1;
    }
    assert_eq!(updated, problem.fixture.below(&format!("{prefix}updated/")).count());
}

fn check_grads<T: Real>(problem: &Problem, prefix: &str, grads: &[Vec<T>], limits: Limits) {
    let below = format!("{prefix}grads/");
    let norms = problem.fixture.below(&below).map(|(_, grad)| norm(&grad.data));
    let largest = norms.fold(0.0, f64::max);
    let tolerance = Tolerance { rtol: limits.grads, atol: limits.largest_grad * largest };
    let mut compared = 0;
    for (spec, grad) in problem.graph.params().iter().zip(grads) {
        if !grad.is_empty() {
            let golden = problem.fixture.get(&format!("{below}{}", spec.name));
            assert_eq!(spec.shape, golden.shape, "{}", spec.name);
            assert_norm_close(&spec.name, &to_f64(grad), &golden.data, tolerance);
            compared += 1;
        }
    }
    assert_eq!(compared, problem.fixture.below(&below).count());
}

fn check_taps<T, D>(problem: &Problem, device: impl Fn() -> D, limits: Limits)
where
    T: Real,
    D: Device<T>,
{
    let params = problem.params::<T>();
    let params: Vec<&[T]> = params.iter().map(Vec::as_slice).collect();
    let (xs, shape) = problem.inputs::<T>();
    for output in ["features", "pre_logits", "logits"] {
        let trained = trained(problem, "");
        let mut trainer = Trainer::new(&problem.graph, output, &trained, device()).unwrap();
        let actual = to_f64(trainer.forward(&params, &xs, shape, 0).unwrap());
        check_tap(problem, &format!("taps/{output}"), &actual, limits);
    }
}

/// Holds a tensor to the golden's, to a fraction of its largest magnitude. Maps are compared channels last.
fn check_tap(problem: &Problem, name: &str, actual: &[f64], limits: Limits) {
    let expected = problem.fixture.get(name).in_kernel_order();
    let tolerance = Tolerance { rtol: 0.0, atol: limits.taps * largest(&expected) };
    assert_close(name, actual, &expected, tolerance);
}
