//! Every operation of a graph through the executor, over its legal space: gradients against finite differences in double precision,
//! the fast device on every instruction set against the reference, and the session against the trainer.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "tests; single precision is what is compared"
)]

mod problem;

use problem::{Problem, problem};
use proptest::prelude::{prop_assert, proptest};
use proptest::test_runner::TestCaseError;
use taper_engine::{Cpu, Device, Isa, Real, Reference, Session, Trainer};

/// Steps of the differences: the first is exact where nothing bends, the second passes by nearly every kink.
const STEPS: [f64; 2] = [1e-5, 1e-8];

/// How far a gradient may be from its finite difference, as a share of the largest one.
const DIFFERENCE: f64 = 1e-6;

/// How far single precision may be from double, likewise.
const SINGLE: f64 = 1e-5;

/// What a training step gives: the output, the gradients, the running statistics.
struct Step {
    output: Vec<f64>,
    gradients: Vec<Vec<f64>>,
    statistics: Vec<Vec<f64>>,
}

fn narrow<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&v| T::from_f64(v)).collect()
}

fn wide<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.to_f64()).collect()
}

fn step<T: Real, D: Device<T>>(p: &Problem, params: &[Vec<f64>], device: D) -> Step {
    let held: Vec<Vec<T>> = params.iter().map(|p| narrow(p)).collect();
    let held: Vec<&[T]> = held.iter().map(Vec::as_slice).collect();
    let mut trainer = Trainer::new(&p.graph, "y", &vec![true; held.len()], device).expect("a plan");
    let output = trainer.forward(&held, &narrow(&p.images), p.shape, 7).expect("a batch");
    let output = output.to_vec();
    let mut gradients = vec![Vec::new(); held.len()];
    let upstream = p.upstream(output.len());
    trainer.backward(&held, &narrow(&upstream), &mut gradients).expect("gradients");
    let statistics = trainer.running_statistics(&held);
    Step {
        output: wide(&output),
        gradients: gradients.iter().map(|g| wide(g)).collect(),
        statistics: statistics.iter().map(|(_, values)| wide(values)).collect(),
    }
}

/// `Σ upstream · y`, whose derivative the gradients are.
fn objective(p: &Problem, params: &[Vec<f64>]) -> f64 {
    let held: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let mut trainer = Trainer::new(&p.graph, "y", &vec![true; held.len()], Reference).unwrap();
    let output = trainer.forward(&held, &p.images, p.shape, 7).unwrap();
    output.iter().zip(p.upstream(output.len())).map(|(y, g)| y * g).sum()
}

fn check_differences(p: &Problem, truth: &Step) -> Result<(), TestCaseError> {
    let largest = largest_of(truth.gradients.iter().flatten());
    for (id, spec) in p.graph.params().iter().enumerate() {
        if !spec.role.is_trained() {
            prop_assert!(truth.gradients[id].is_empty(), "{} is a buffer", spec.name);
            continue;
        }
        for i in [0, spec.len() / 2, spec.len() - 1] {
            let at = |delta: f64| {
                let mut moved = p.params.clone();
                moved[id][i] += delta;
                objective(p, &moved)
            };
            let got = truth.gradients[id][i];
            let differences = STEPS.map(|h| (at(h) - at(-h)) / (2.0 * h));
            // Where a kink lies within the larger step, such as two maxima that are nearly equal, the smaller one does not reach it.
            let off = |expected: &f64| (got - expected).abs();
            let expected = if off(&differences[0]) < off(&differences[1]) {
                differences[0]
            } else {
                differences[1]
            };
            prop_assert!(
                (got - expected).abs() < DIFFERENCE * largest,
                "{}[{i}]: {got} but differences say {expected} (largest {largest})",
                spec.name
            );
        }
    }
    Ok(())
}

fn close(what: &str, got: &[f64], expected: &[f64]) -> Result<(), TestCaseError> {
    close_beside(what, got, expected, largest_of(expected))
}

/// The largest magnitude, at least 1.
fn largest_of<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    values.into_iter().fold(1.0f64, |largest, v| largest.max(v.abs()))
}

/// Where values up to `largest` are rounded: a sum of them may be exactly zero, as the gradient of a bias in front of a norm is, and its
/// rounding is that of its terms.
fn close_beside(
    what: &str,
    got: &[f64],
    expected: &[f64],
    largest: f64,
) -> Result<(), TestCaseError> {
    prop_assert!(got.len() == expected.len(), "{what}: {} and {}", got.len(), expected.len());
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        prop_assert!(
            (got - expected).abs() <= SINGLE * largest,
            "{what}[{i}]: {got} but {expected} (largest {largest})"
        );
    }
    Ok(())
}

fn check_single(p: &Problem, truth: &Step) -> Result<(), TestCaseError> {
    let gradients = largest_of(truth.gradients.iter().flatten());
    for isa in Isa::here() {
        let cpu = Cpu::with_isa(p.threads, isa).expect("a set of this machine");
        let fast = step::<f32, _>(p, &p.params, cpu);
        close(&format!("output on {isa:?}"), &fast.output, &truth.output)?;
        for (spec, (fast, truth)) in
            p.graph.params().iter().zip(fast.gradients.iter().zip(&truth.gradients))
        {
            close_beside(&format!("gradient of {} on {isa:?}", spec.name), fast, truth, gradients)?;
        }
        for (fast, truth) in fast.statistics.iter().zip(&truth.statistics) {
            close(&format!("statistics on {isa:?}"), fast, truth)?;
        }
    }
    Ok(())
}

/// Nothing trained, so that norms use what they remember and nothing is dropped.
fn check_session(p: &Problem) -> Result<(), TestCaseError> {
    let held: Vec<Vec<f32>> = p.params.iter().map(|p| narrow(p)).collect();
    let held: Vec<&[f32]> = held.iter().map(Vec::as_slice).collect();
    let images: Vec<f32> = narrow(&p.images);
    let mut trainer =
        Trainer::new(&p.graph, "y", &vec![false; held.len()], Cpu::new(p.threads)).unwrap();
    let unfused = wide(trainer.forward(&held, &images, p.shape, 7).unwrap());
    let [_, h, w] = p.shape;
    let node = p.graph.output("y").unwrap();
    let mut session = Session::of_nodes(&p.graph, &held, &[node], [h, w], p.threads).unwrap();
    let fused = session.run_all(&images, p.shape).unwrap();
    close("the session's output", &wide(&fused[0]), &unfused)
}

proptest! {
    #[test]
    fn every_operation_holds_to_its_definition(p in problem()) {
        let truth = step::<f64, _>(&p, &p.params, Reference);
        check_differences(&p, &truth)?;
        check_single(&p, &truth)?;
        check_session(&p)?;
    }
}
