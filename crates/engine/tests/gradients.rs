//! Gradients of whole graphs against finite differences in double precision, and the fast device against the reference.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use taper_engine::{Cpu, Device, Error, Real, Reference, Session, Trainer};
use taper_graph::blocks::{
    DepthwiseSeparable, InvertedResidual, Names, SqueezeExcite, Style, Variation, conv_norm_act,
};
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, Op, ParamRole, PoolKind, Window};

const STYLE: Style =
    Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };

/// Every block kind in small: stem, separable block, two residual blocks in a row, a strided one, head, dropout, classifier.
fn network(dropout: f64) -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let names = Names { conv: "conv_stem", norm: "bn1", activation: Some("act1") };
    let input = b.input();
    let mut xs = conv_norm_act(&mut b, names, input, Conv::dense(4, 3, 2), &STYLE).unwrap();
    let block = DepthwiseSeparable { out: 5, kernel_size: 3, stride: 1 };
    xs = block.build(&mut b, "s", xs, &STYLE).unwrap();
    for name in ["r0", "r1"] {
        let block = InvertedResidual { expanded: 10, out: 5, kernel_size: 3, stride: 1 };
        xs = block.build(&mut b, name, xs, &STYLE).unwrap();
    }
    let block = InvertedResidual { expanded: 15, out: 6, kernel_size: 5, stride: 2 };
    xs = block.build(&mut b, "d", xs, &STYLE).unwrap();
    let names = Names { conv: "conv_head", norm: "bn2", activation: Some("act2") };
    xs = conv_norm_act(&mut b, names, xs, Conv::pointwise(12), &STYLE).unwrap();
    b.output("features", xs).unwrap();
    xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    xs = b.dropout("drop", xs, dropout).unwrap();
    xs = b.linear("classifier", xs, 3, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    b.build().unwrap()
}

/// Gates, curved activations, and what follows a flatten: squeeze-and-excite in two styles, a map gated by another, an
/// activation on a tensor that others read before it.
fn gated_network() -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let style = |activation| Style { activation, ..STYLE };
    let names = Names { conv: "conv_stem", norm: "bn1", activation: Some("act1") };
    let input = b.input();
    let stem = Conv::dense(4, 3, 2);
    let mut xs = conv_norm_act(&mut b, names, input, stem, &style(Activation::Silu)).unwrap();
    for (name, activation, gate) in [
        ("h", Activation::HardSwish, Activation::HardSigmoid),
        ("s", Activation::Silu, Activation::Sigmoid),
    ] {
        let block = InvertedResidual { expanded: 8, out: 4, kernel_size: 3, stride: 1 };
        let squeeze_excite = SqueezeExcite { squeezed: 3, activation: Activation::Relu, gate };
        let varied = Variation { squeeze_excite: Some(squeeze_excite), ..Variation::default() };
        xs = block.build_with(&mut b, name, xs, &style(activation), &varied).unwrap();
    }
    let other = b.activation("bend", xs, Activation::Sigmoid).unwrap();
    xs = b.mul("product", xs, other).unwrap();
    xs = b.activation("act_product", xs, Activation::HardSwish).unwrap();
    let names = Names { conv: "conv_down", norm: "bn_down", activation: None };
    xs = conv_norm_act(&mut b, names, xs, Conv::dense(3, 3, 4), &STYLE).unwrap();
    xs = b.global_pool("pool", xs, PoolKind::Avg, false).unwrap();
    xs = b.flatten("flat", xs).unwrap();
    xs = b.activation("act_flat", xs, Activation::Silu).unwrap();
    xs = b.linear("classifier", xs, 3, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    b.build().unwrap()
}

/// Every pooling: overlapping windows of maxima behind a norm, means with and without padding, adaptive ones, a flatten of a map.
fn pooled_network() -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let style = Style { activation: Activation::Relu, ..STYLE };
    let names = Names { conv: "conv_stem", norm: "bn1", activation: Some("act1") };
    let input = b.input();
    let mut xs = conv_norm_act(&mut b, names, input, Conv::dense(5, 3, 1), &style).unwrap();
    let window = Window::square(3, 2);
    xs = b
        .push("max", Op::Pool { kind: PoolKind::Max, window, ceil: true }, &[xs], Bias::Without)
        .unwrap();
    let names = Names { conv: "conv2", norm: "bn2", activation: Some("act2") };
    xs = conv_norm_act(&mut b, names, xs, Conv::dense(4, 2, 1), &style).unwrap();
    for (name, kind) in [("avg", PoolKind::Avg), ("mean", PoolKind::AvgWithoutPadding)] {
        let window = Window::square(3, 1);
        xs = b.push(name, Op::Pool { kind, window, ceil: false }, &[xs], Bias::Without).unwrap();
    }
    xs = b.activation("bend", xs, Activation::HardSwish).unwrap();
    // A norm and a branch on the same tensor, as in blocks that are folded after training.
    let normed = b.batch_norm("identity", xs, 1e-5, 0.1).unwrap();
    xs = b.add("branches", normed, xs).unwrap();
    xs = b.activation("gelu", xs, Activation::Gelu).unwrap();
    xs = b.batch_norm("last", xs, 1e-5, 0.1).unwrap();
    let adaptive = |kind, out| Op::AdaptivePool { kind, out, at_least: false };
    xs = b.push("fit", adaptive(PoolKind::Avg, [3, 4]), &[xs], Bias::Without).unwrap();
    xs = b.push("fit_max", adaptive(PoolKind::Max, [2, 2]), &[xs], Bias::Without).unwrap();
    xs = b.flatten("flat", xs).unwrap();
    xs = b.linear("classifier", xs, 3, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    b.build().unwrap()
}

/// Sums whose operands are read elsewhere too: two branches and their input, and a value read later with one read earlier.
fn summed_network() -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let conv = Conv::dense(4, 3, 1);
    let xs = b.conv("stem", b.input(), conv, Bias::With).unwrap();
    let wide = b.conv("wide", xs, conv, Bias::Without).unwrap();
    let wide = b.batch_norm("bn_wide", wide, 1e-5, 0.1).unwrap();
    let point = b.conv("point", xs, Conv::depthwise(4, 1, 1), Bias::With).unwrap();
    let sum = b.add("branches", wide, point).unwrap();
    let sum = b.add("sum", sum, xs).unwrap();
    let early = b.batch_norm("bn_sum", sum, 1e-5, 0.1).unwrap();
    let between = b.conv("between", early, conv, Bias::With).unwrap();
    let late = b.conv("late", between, conv, Bias::With).unwrap();
    let above = b.conv("above", late, conv, Bias::With).unwrap();
    let both = b.add("both", late, early).unwrap();
    let xs = b.add("all", both, above).unwrap();
    b.output("logits", xs).unwrap();
    b.build().unwrap()
}

fn values(seed: u64, len: usize) -> impl Iterator<Item = f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    })
    .take(len)
}

fn parameters(graph: &Graph) -> Vec<Vec<f64>> {
    let specs = graph.params().iter().enumerate();
    let one = |(i, spec): (usize, &taper_graph::ParamSpec)| {
        let (center, spread) = match spec.role {
            ParamRole::NormScale | ParamRole::RunningVar => (1.0, 0.4),
            ParamRole::Weight => (0.0, 0.6),
            _ => (0.2, 0.3),
        };
        values(i as u64 + 1, spec.len()).map(|v| f64::from((center + spread * v) as f32)).collect()
    };
    specs.map(one).collect()
}

const SHAPE: [usize; 3] = [3, 11, 14];

struct Step<T> {
    logits: Vec<T>,
    gradients: Vec<Vec<T>>,
}

fn step<T: Real, D: Device<T>>(
    graph: &Graph,
    params: &[Vec<f64>],
    trained: &[bool],
    device: D,
) -> Step<T> {
    let narrow = |v: &[f64]| v.iter().map(|&v| T::from_f64(v)).collect::<Vec<T>>();
    let params: Vec<Vec<T>> = params.iter().map(|p| narrow(p)).collect();
    let params: Vec<&[T]> = params.iter().map(Vec::as_slice).collect();
    let images: Vec<f64> = values(99, SHAPE.iter().product::<usize>() * 3).collect();
    let mut trainer = Trainer::new(graph, "logits", trained, device).unwrap();
    let logits = trainer.forward(&params, &narrow(&images), SHAPE, 5).unwrap().to_vec();
    let grad: Vec<f64> = values(77, logits.len()).collect();
    let mut gradients = vec![Vec::new(); params.len()];
    trainer.backward(&params, &narrow(&grad), &mut gradients).unwrap();
    Step { logits, gradients }
}

/// `Σ grad · logits`, whose derivative the gradients are.
fn objective(graph: &Graph, params: &[Vec<f64>], trained: &[bool]) -> f64 {
    let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let images: Vec<f64> = values(99, SHAPE.iter().product::<usize>() * 3).collect();
    let mut trainer = Trainer::new(graph, "logits", trained, Reference).unwrap();
    let logits = trainer.forward(&params, &images, SHAPE, 5).unwrap();
    logits.iter().zip(values(77, logits.len())).map(|(l, g)| l * g).sum()
}

fn check_differences(graph: &Graph, trained: &[bool]) {
    let params = parameters(graph);
    let gradients = step::<f64, _>(graph, &params, trained, Reference).gradients;
    let largest = gradients.iter().flatten().fold(0.0f64, |m, g| m.max(g.abs()));
    for (p, spec) in graph.params().iter().enumerate() {
        if !trained[p] || !spec.role.is_trained() {
            assert!(gradients[p].is_empty(), "{} is frozen", spec.name);
            continue;
        }
        for i in [0, spec.len() / 2, spec.len() - 1] {
            let at = |delta: f64| {
                let mut moved = params.clone();
                moved[p][i] += delta;
                objective(graph, &moved, trained)
            };
            let h = 1e-6;
            let difference = (at(h) - at(-h)) / (2.0 * h);
            let error = (difference - gradients[p][i]).abs();
            assert!(
                error < 1e-7 * largest.max(1.0) + 1e-5 * difference.abs(),
                "{}[{i}]: {} but differences say {difference}",
                spec.name,
                gradients[p][i]
            );
        }
    }
}

#[test]
fn all_gradients_equal_finite_differences() {
    let graph = network(0.0);
    check_differences(&graph, &vec![true; graph.params().len()]);
}

#[test]
fn gradients_through_gates_and_curves_equal_finite_differences() {
    let graph = gated_network();
    check_differences(&graph, &vec![true; graph.params().len()]);
    for name in ["se.conv_reduce.bias", "h.conv_pwl", "s.bn2"] {
        let trained: Vec<bool> = graph.params().iter().map(|p| p.name.contains(name)).collect();
        assert!(trained.iter().any(|t| *t), "{name}");
        check_differences(&graph, &trained);
    }
}

#[test]
fn gradients_through_pools_lone_norms_and_sums_equal_finite_differences() {
    let graph = summed_network();
    check_differences(&graph, &vec![true; graph.params().len()]);
    let graph = pooled_network();
    check_differences(&graph, &vec![true; graph.params().len()]);
    let trained: Vec<bool> = graph.params().iter().map(|p| p.name.contains("conv2")).collect();
    check_differences(&graph, &trained);
}

#[test]
fn gradients_with_dropout_equal_finite_differences() {
    let graph = network(0.5);
    check_differences(&graph, &vec![true; graph.params().len()]);
}

#[test]
fn gradients_above_a_frozen_prefix_equal_finite_differences() {
    let graph = network(0.2);
    for first in ["r0", "r1", "d", "classifier"] {
        let trained: Vec<bool> = graph
            .params()
            .iter()
            .scan(false, |on, p| {
                *on |= p.name.starts_with(first);
                Some(*on)
            })
            .collect();
        assert!(trained.iter().any(|t| *t));
        check_differences(&graph, &trained);
    }
}

#[test]
fn gradients_below_a_frozen_suffix_equal_finite_differences() {
    let graph = network(0.0);
    let trained: Vec<bool> = graph.params().iter().map(|p| p.name.starts_with("r0")).collect();
    check_differences(&graph, &trained);
    // Norms alone, and biases alone.
    let trained: Vec<bool> =
        graph.params().iter().map(|p| p.role == ParamRole::NormShift).collect();
    check_differences(&graph, &trained);
    let trained: Vec<bool> = graph.params().iter().map(|p| p.role == ParamRole::Weight).collect();
    check_differences(&graph, &trained);
}

#[test]
fn the_fast_device_trains_as_the_reference() {
    for graph in [network(0.3), gated_network(), pooled_network()] {
        check_fast_device(&graph);
    }
}

fn check_fast_device(graph: &Graph) {
    let params = parameters(graph);
    let late = |name: &str| name.starts_with("r1") || name.starts_with('s') || name == "classifier";
    for trained in [
        vec![true; params.len()],
        graph.params().iter().map(|p| p.role == ParamRole::Weight).collect(),
        graph.params().iter().map(|p| late(&p.name)).collect(),
    ] {
        let truth = step::<f64, _>(graph, &params, &trained, Reference);
        for threads in [1, 2, 3] {
            let fast = step::<f32, _>(graph, &params, &trained, Cpu::new(threads));
            let pairs =
                fast.gradients.iter().zip(&truth.gradients).chain([(&fast.logits, &truth.logits)]);
            for (i, (fast, truth)) in pairs.enumerate() {
                assert_eq!(fast.len(), truth.len());
                let scale = truth.iter().fold(0.1f64, |m, v| m.max(v.abs()));
                for (f, t) in fast.iter().zip(truth) {
                    assert!(
                        (f64::from(*f) - t).abs() < 2e-4 * scale,
                        "tensor {i}: {f} but {t} of {scale}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_second_step_in_the_same_arena_equals_the_first() {
    let graph = network(0.0);
    let params: Vec<Vec<f32>> =
        parameters(&graph).iter().map(|p| p.iter().map(|&v| v as f32).collect()).collect();
    let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
    let mut trainer =
        Trainer::new(&graph, "logits", &vec![true; params.len()], Cpu::new(2)).unwrap();
    let mut run = |[n, h, w]: [usize; 3]| {
        let images: Vec<f32> = values(3, n * h * w * 3).map(|v| v as f32).collect();
        let logits = trainer.forward(&params, &images, [n, h, w], 0).unwrap().to_vec();
        let mut gradients = vec![Vec::new(); params.len()];
        trainer.backward(&params, &vec![1.0; logits.len()], &mut gradients).unwrap();
        (logits, gradients, trainer.running_statistics(&params))
    };
    let first = run([4, 16, 16]);
    run([2, 9, 21]);
    assert_eq!(run([4, 16, 16]), first);
}

/// What starts from the values of a session gives what the whole trainer gives.
#[test]
fn a_trainer_above_a_session_equals_the_whole_trainer() {
    for (graph, first) in [
        (network(0.3), "r1"),
        (network(0.3), "classifier"),
        (gated_network(), "s"),
        (gated_network(), "h.se.conv_expand"),
        (gated_network(), "conv_stem"),
        (pooled_network(), "identity"),
        (pooled_network(), "classifier"),
    ] {
        let wide = parameters(&graph);
        let params: Vec<Vec<f32>> =
            wide.iter().map(|p| p.iter().map(|&v| v as f32).collect()).collect();
        let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
        let mut on = false;
        let mut is_trained = |name: &str| {
            on |= name.starts_with(first);
            on
        };
        let trained: Vec<bool> = graph.params().iter().map(|p| is_trained(&p.name)).collect();
        let whole = step::<f32, _>(&graph, &wide, &trained, Cpu::new(2));
        let (cpu, [n, h, w]) = (Cpu::new(2), SHAPE);
        let (mut trainer, nodes) = Trainer::above(&graph, &["logits"], &trained, cpu).unwrap();
        let images: Vec<f32> = values(99, n * h * w * 3).map(|v| v as f32).collect();
        let mut session = Session::of_nodes(&graph, &params, &nodes, [h, w], 2).unwrap();
        let given = session.run_all(&images, SHAPE).unwrap();
        let given: Vec<&[f32]> = given.iter().map(Vec::as_slice).collect();
        let logits = trainer.forward_from(&params, &given, SHAPE, 5).unwrap().to_vec();
        let grad: Vec<f32> = values(77, logits.len()).map(|v| v as f32).collect();
        let mut gradients = vec![Vec::new(); params.len()];
        trainer.backward(&params, &grad, &mut gradients).unwrap();
        assert_eq!(first == "conv_stem", nodes == [graph.input()], "{first}");
        let pairs = gradients.iter().zip(&whole.gradients).chain([(&logits, &whole.logits)]);
        for (i, (above, whole)) in pairs.enumerate() {
            assert_eq!(above.len(), whole.len());
            let scale = whole.iter().fold(0.1f32, |m, v| m.max(v.abs()));
            for (a, b) in above.iter().zip(whole) {
                assert!((a - b).abs() < 1e-4 * scale, "{first}, tensor {i}: {a} but {b}");
            }
        }
    }
}

#[test]
fn mistakes_are_named() {
    let graph = network(0.0);
    let all = vec![true; graph.params().len()];
    let mut trainer = Trainer::<f64, _>::new(&graph, "logits", &all, Reference).unwrap();
    let params = parameters(&graph);
    let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let error = trainer.backward(&params, &[0.0; 3], &mut vec![Vec::new(); params.len()]);
    assert!(matches!(error, Err(Error::NoForward)));
    let error = trainer.forward(&params, &[0.0; 3], [1, 8, 8], 0).map(<[f64]>::len);
    assert!(
        error.unwrap_err().to_string().contains("the batch of images has 3 elements, expected 192")
    );
    let error = trainer.forward(&params, &[0.0; 12], [1, 2, 2], 0).map(<[f64]>::len);
    assert!(error.unwrap_err().to_string().contains("sees one value a channel"));
    assert!(Trainer::<f64, _>::new(&graph, "logit", &all, Reference).is_err());
}

/// The gradient with respect to a value, in evaluation mode: in the middle of a residual block, under gates, in front of the pool,
/// of the image, of the logits themselves.
#[test]
fn gradients_of_values_equal_finite_differences() {
    for (graph, names) in [
        (network(0.5), ["input", "r0.conv_pw", "r0.conv_pwl", "act2", "classifier"].as_slice()),
        (gated_network(), ["act1", "h.conv_dw", "product", "pool"].as_slice()),
        (pooled_network(), ["act1", "mean", "identity", "fit"].as_slice()),
    ] {
        let params = parameters(&graph);
        let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
        let extents = graph.extents(SHAPE[1], SHAPE[2]).unwrap();
        for name in names {
            let node = graph.find_node(name).unwrap();
            let (mut trainer, nodes) =
                Trainer::watching(&graph, "logits", node, Reference).unwrap();
            let given: Vec<Vec<f64>> = (2..)
                .zip(&nodes)
                .map(|(seed, id)| values(seed, SHAPE[0] * extents[id.index()].len()).collect())
                .collect();
            let place = nodes.iter().position(|&id| id == node).unwrap();
            let mut objective = |given: &[Vec<f64>]| {
                let given: Vec<&[f64]> = given.iter().map(Vec::as_slice).collect();
                let logits = trainer.forward_from(&params, &given, SHAPE, 0).unwrap();
                let weights: Vec<f64> = values(77, logits.len()).collect();
                let sum: f64 = logits.iter().zip(&weights).map(|(l, g)| l * g).sum();
                trainer.backward(&params, &weights, &mut vec![Vec::new(); params.len()]).unwrap();
                (sum, trainer.watched_gradient())
            };
            let (_, gradient) = objective(&given);
            assert_eq!(gradient.len(), given[place].len(), "{name}");
            let largest = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
            assert!(largest > 0.0, "{name}");
            for i in (0..gradient.len()).step_by(gradient.len().div_ceil(20)) {
                let mut at = |delta: f64| {
                    let mut moved = given.clone();
                    moved[place][i] += delta;
                    objective(&moved).0
                };
                let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                let error = (difference - gradient[i]).abs();
                assert!(
                    error < 1e-6 * largest,
                    "{name}[{i}]: {} but differences say {difference}",
                    gradient[i]
                );
            }
        }
    }
}

/// The part above a value, begun with a session's values, gives the session's logits: it is in evaluation mode. And the fast device
/// finds the reference's gradient.
#[test]
fn what_lies_above_a_value_runs_in_evaluation_mode() {
    let drop_path = network(0.5).map_ops(|node| match *node.op() {
        Op::Dropout { p } => Op::DropPath { p },
        ref op => op.clone(),
    });
    for (graph, name) in [
        (network(0.5), "r0.conv_pw"),
        (gated_network(), "h.conv_dw"),
        (network(0.5), "act2"),
        (drop_path.unwrap(), "act2"),
    ] {
        let wide = parameters(&graph);
        let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        let params: Vec<Vec<f32>> = wide.iter().map(|p| narrow(p)).collect();
        let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
        let wide: Vec<&[f64]> = wide.iter().map(Vec::as_slice).collect();
        let (node, logits) = (graph.find_node(name).unwrap(), graph.output("logits").unwrap());
        let (mut fast, mut nodes) = Trainer::watching(&graph, "logits", node, Cpu::new(2)).unwrap();
        let (mut truth, _) = Trainer::watching(&graph, "logits", node, Reference).unwrap();
        nodes.push(logits);
        let [n, h, w] = SHAPE;
        let images: Vec<f32> = values(99, n * h * w * 3).map(|v| v as f32).collect();
        let mut session = Session::of_nodes(&graph, &params, &nodes, [h, w], 2).unwrap();
        let found = session.run_all(&images, SHAPE).unwrap();
        let (expected, given) = found.split_last().unwrap();
        let exact: Vec<Vec<f64>> =
            given.iter().map(|v| v.iter().map(|&v| f64::from(v)).collect()).collect();
        let exact: Vec<&[f64]> = exact.iter().map(Vec::as_slice).collect();
        let given: Vec<&[f32]> = given.iter().map(Vec::as_slice).collect();
        let above = fast.forward_from(&params, &given, SHAPE, 0).unwrap();
        for (a, e) in above.iter().zip(expected) {
            assert!((a - e).abs() < 1e-5 * e.abs().max(1.0), "{name}: {a} but {e}");
        }
        let ones = vec![1.0; expected.len()];
        fast.backward(&params, &narrow(&ones), &mut vec![Vec::new(); params.len()]).unwrap();
        truth.forward_from(&wide, &exact, SHAPE, 0).unwrap();
        truth.backward(&wide, &ones, &mut vec![Vec::new(); params.len()]).unwrap();
        let truth = truth.watched_gradient();
        let largest = truth.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        for (f, t) in fast.watched_gradient().iter().zip(&truth) {
            assert!((f64::from(*f) - t).abs() < 1e-5 * largest, "{name}: {f} but {t} of {largest}");
        }
    }
}

#[test]
fn an_output_below_a_value_has_gradient_zero_there() {
    let graph = network(0.0);
    let params = parameters(&graph);
    let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let node = graph.find_node("classifier").unwrap();
    let (mut trainer, nodes) = Trainer::watching(&graph, "features", node, Reference).unwrap();
    assert!(trainer.watched_gradient().is_empty(), "nothing has run");
    let extents = graph.extents(8, 8).unwrap();
    let given: Vec<Vec<f64>> =
        nodes.iter().map(|id| vec![1.0; extents[id.index()].len()]).collect();
    let given: Vec<&[f64]> = given.iter().map(Vec::as_slice).collect();
    let n = trainer.forward_from(&params, &given, [1, 8, 8], 0).unwrap().len();
    trainer.backward(&params, &vec![1.0; n], &mut vec![Vec::new(); params.len()]).unwrap();
    assert_eq!(trainer.watched_gradient(), [0.0; 3]);
}
