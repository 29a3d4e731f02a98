//! Gradients in evaluation mode: all parameters', with running statistics and without dropout.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use taper_engine::{Cpu, Reference, Session, Trainer};
use taper_graph::blocks::{InvertedResidual, Names, Style, conv_norm_act};
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, ParamRole, PoolKind};

const SHAPE: [usize; 3] = [2, 9, 7];

/// A stem, a residual block, a norm that follows no convolution, a sum of norms, dropout and a classifier.
fn network() -> Graph {
    let style =
        Style { activation: Activation::HardSwish, eps: 1e-3, momentum: 0.1, tf_padding: false };
    let mut b = GraphBuilder::new(3).unwrap();
    let names = Names { conv: "conv_stem", norm: "bn1", activation: Some("act1") };
    let input = b.input();
    let xs = conv_norm_act(&mut b, names, input, Conv::dense(4, 3, 2), &style).unwrap();
    let block = InvertedResidual { expanded: 8, out: 4, kernel_size: 3, stride: 1 };
    let xs = block.build(&mut b, "r", xs, &style).unwrap();
    let lone = b.batch_norm("lone", xs, 1e-3, 0.1).unwrap();
    let xs = b.add("sum", lone, xs).unwrap();
    let xs = b.activation("act", xs, Activation::Silu).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.dropout("drop", xs, 0.5).unwrap();
    let xs = b.linear("classifier", xs, 3, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    b.build().unwrap()
}

fn values(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0) as f32)
    };
    (0..len).map(|_| next()).collect()
}

fn parameters(graph: &Graph) -> Vec<Vec<f64>> {
    let one = |(i, spec): (u64, &taper_graph::ParamSpec)| {
        let is_positive = matches!(spec.role, ParamRole::NormScale | ParamRole::RunningVar);
        let center = f64::from(u8::from(is_positive));
        values(i, spec.len()).into_iter().map(|v| center + 0.5 * v).collect()
    };
    (1..).zip(graph.params()).map(one).collect()
}

fn slices<T>(values: &[Vec<T>]) -> Vec<&[T]> {
    values.iter().map(Vec::as_slice).collect()
}

fn trainer(graph: &Graph) -> Trainer<f64, Reference> {
    let trained = vec![true; graph.params().len()];
    Trainer::new(graph, "logits", &trained, Reference).unwrap().in_evaluation_mode()
}

fn objective(graph: &Graph, params: &[Vec<f64>]) -> f64 {
    let images = values(99, SHAPE.iter().product::<usize>() * 3);
    let mut trainer = trainer(graph);
    let logits = trainer.forward(&slices(params), &images, SHAPE, 5).unwrap();
    logits.iter().zip(values(77, logits.len())).map(|(l, g)| l * g).sum()
}

#[test]
fn gradients_in_evaluation_mode_equal_finite_differences() {
    let graph = network();
    let params = parameters(&graph);
    let mut trainer = trainer(&graph);
    let images = values(99, SHAPE.iter().product::<usize>() * 3);
    trainer.forward(&slices(&params), &images, SHAPE, 5).unwrap();
    let mut gradients = vec![Vec::new(); params.len()];
    trainer.backward(&slices(&params), &values(77, SHAPE[0] * 3), &mut gradients).unwrap();
    assert!(trainer.running_statistics(&slices(&params)).is_empty());
    for (p, spec) in graph.params().iter().enumerate() {
        assert_eq!(gradients[p].is_empty(), !spec.role.is_trained(), "{}", spec.name);
        for (i, gradient) in gradients[p].iter().enumerate() {
            let at = |delta: f64| {
                let mut moved = params.clone();
                moved[p][i] += delta;
                objective(&graph, &moved)
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            let error = (difference - gradient).abs();
            assert!(
                error < 1e-7 + 1e-5 * difference.abs(),
                "{}[{i}]: {gradient} but differences say {difference}",
                spec.name
            );
        }
    }
}

#[test]
fn outputs_in_evaluation_mode_are_those_of_a_session_on_any_device() {
    let graph = network();
    let params: Vec<Vec<f32>> =
        parameters(&graph).iter().map(|p| p.iter().map(|&v| v as f32).collect()).collect();
    let images: Vec<f32> =
        values(99, SHAPE.iter().product::<usize>() * 3).iter().map(|&v| v as f32).collect();
    let node = graph.output("logits").unwrap();
    let mut session =
        Session::of_nodes(&graph, &slices(&params), &[node], [SHAPE[1], SHAPE[2]], 1).unwrap();
    let expected = session.run(&images, SHAPE).unwrap().to_vec();
    let trained = vec![true; params.len()];
    let mut trainer =
        Trainer::new(&graph, "logits", &trained, Cpu::new(1)).unwrap().in_evaluation_mode();
    let logits = trainer.forward(&slices(&params), &images, SHAPE, 5).unwrap();
    for (got, expected) in logits.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-5 * expected.abs().max(1.0), "{got} {expected}");
    }
    let image = &images[..9 * 7 * 3];
    let alone = trainer.forward(&slices(&params), image, [1, 9, 7], 0).unwrap();
    for (got, expected) in alone.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-5 * expected.abs().max(1.0), "alone: {got} {expected}");
    }
}
