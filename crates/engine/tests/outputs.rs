//! Several outputs and the gradient of the image: against finite differences in double precision, and the fast device against the reference.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use taper_engine::{Cpu, Device, Error, Real, Reference, Session, SessionOptions, Trainer};
use taper_graph::{
    Activation, Bias, Conv, Graph, GraphBuilder, Op, ParamRole, PoolKind, ResizeMode, ResizeTo,
};
use taper_model::{Model, Preprocess};

/// Sums that share operands, norms, activations, a gate, a resize, a concatenation with the image, and two heads; nearly every node is
/// an output.
fn network() -> Graph {
    let mut b = GraphBuilder::new(2).unwrap();
    let conv = Conv::dense(4, 3, 1);
    let stem = b.conv("stem", b.input(), Conv::dense(4, 3, 2), Bias::With).unwrap();
    let wide = b.conv("wide", stem, conv, Bias::Without).unwrap();
    let wide = b.batch_norm("bn_wide", wide, 1e-5, 0.1).unwrap();
    let bent = b.activation("act_wide", wide, Activation::HardSwish).unwrap();
    let sum = b.add("sum", bent, stem).unwrap();
    let silu = b.activation("act_sum", sum, Activation::Silu).unwrap();
    let normed = b.batch_norm("bn_sum", sum, 1e-5, 0.1).unwrap();
    let both = b.add("both", normed, silu).unwrap();
    let dropped = b.dropout("drop", both, 0.3).unwrap();
    let gate = b.global_pool("squeeze", dropped, PoolKind::Avg, false).unwrap();
    let gate = b.conv("gate", gate, Conv::pointwise(4), Bias::With).unwrap();
    let gate = b.activation("sigmoid", gate, Activation::Sigmoid).unwrap();
    let gated = b.mul("gated", dropped, gate).unwrap();
    let resize = Op::Resize { out: ResizeTo::Size([H, W]), mode: ResizeMode::Bilinear };
    let large = b.push("large", resize, &[gated], Bias::Without).unwrap();
    let skip = b.concat("skip", &[large, b.input()]).unwrap();
    let mask = b.conv("mask", skip, Conv::pointwise(2), Bias::With).unwrap();
    let pooled = b.global_pool("pool", gated, PoolKind::Avg, true).unwrap();
    let score = b.linear("score", pooled, 3, Bias::With).unwrap();
    let outputs = [
        ("stem", stem),
        ("bn_wide", wide),
        ("act_wide", bent),
        ("sum", sum),
        ("act_sum", silu),
        ("bn_sum", normed),
        ("both", both),
        ("drop", dropped),
        ("gate", gate),
        ("gated", gated),
        ("large", large),
        ("skip", skip),
        ("mask", mask),
        ("pool", pooled),
        ("score", score),
        ("score_again", score),
    ];
    for (name, node) in outputs {
        b.output(name, node).unwrap();
    }
    b.build().unwrap()
}

const N: usize = 3;
const H: usize = 9;
const W: usize = 10;
const SHAPE: [usize; 3] = [N, H, W];

fn values(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // A number that single precision has too.
        f64::from(((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0) as f32)
    };
    (0..len).map(|_| next()).collect()
}

fn parameters(graph: &Graph) -> Vec<Vec<f64>> {
    let specs = graph.params().iter().enumerate();
    let one = |(i, spec): (usize, &taper_graph::ParamSpec)| {
        let (center, spread) = match spec.role {
            ParamRole::NormScale | ParamRole::RunningVar => (1.0, 0.25),
            ParamRole::Weight => (0.0, 0.5),
            _ => (0.25, 0.25),
        };
        values(i as u64 + 1, spec.len()).into_iter().map(|v| center + spread * v).collect()
    };
    specs.map(one).collect()
}

fn narrow<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&v| T::from_f64(v)).collect()
}

/// What a step gives: the objective `Σ gradient · output` over all outputs, its gradients by parameter and, last, by pixel.
fn step<T: Real, D: Device<T>>(
    graph: &Graph,
    outputs: &[&str],
    trained: &[bool],
    (params, images): (&[Vec<f64>], &[f64]),
    device: D,
) -> (f64, Vec<Vec<T>>) {
    let params: Vec<Vec<T>> = params.iter().map(|p| narrow(p)).collect();
    let params: Vec<&[T]> = params.iter().map(Vec::as_slice).collect();
    let mut trainer = Trainer::with_image_gradient(graph, outputs, trained, device).unwrap();
    trainer.forward(&params, &narrow(images), SHAPE, 5).unwrap();
    let (mut objective, mut grads) = (0.0, Vec::new());
    let shapes = trainer.output_shapes(SHAPE).unwrap();
    for (i, (output, shape)) in trainer.outputs().iter().zip(shapes).enumerate() {
        assert_eq!(output.len(), shape.iter().product::<usize>(), "{}", outputs[i]);
        let weights = values(77 + i as u64, output.len());
        objective += output.iter().zip(&weights).map(|(y, w)| y.to_f64() * w).sum::<f64>();
        grads.push(narrow::<T>(&weights));
    }
    let grads: Vec<&[T]> = grads.iter().map(Vec::as_slice).collect();
    let mut gradients = vec![Vec::new(); params.len()];
    trainer.backward_all(&params, &grads, &mut gradients).unwrap();
    gradients.push(trainer.watched_gradient());
    (objective, gradients)
}

/// Some of the outputs, others for each seed; never none.
fn choose(names: &[String], seed: u64) -> Vec<&str> {
    let picks = values(1000 + seed, names.len());
    let mut chosen: Vec<&str> = names
        .iter()
        .zip(&picks)
        .filter(|(_, pick)| **pick > 0.3)
        .map(|(n, _)| n.as_str())
        .collect();
    if chosen.is_empty() {
        chosen.push(&names[seed as usize % names.len()]);
    }
    if seed % 2 == 1 {
        chosen.reverse();
    }
    chosen
}

#[test]
fn any_choice_of_outputs_has_the_gradients_of_finite_differences() {
    let graph = network();
    let names: Vec<String> = graph.outputs().keys().cloned().collect();
    let images = values(99, N * H * W * 2);
    let params = parameters(&graph);
    for seed in 0..24 {
        let outputs = choose(&names, seed);
        let marks = values(500 + seed, params.len());
        let trained: Vec<bool> = marks.iter().map(|mark| seed % 3 == 0 || *mark > 0.0).collect();
        let run = |params: &[Vec<f64>], images: &[f64]| {
            step::<f64, _>(&graph, &outputs, &trained, (params, images), Reference)
        };
        let (_, truth) = run(&params, &images);
        let (_, fast) = step::<f32, _>(&graph, &outputs, &trained, (&params, &images), Cpu::new(2));
        let h = 1e-6;
        for (p, gradient) in truth.iter().enumerate() {
            let name = graph.params().get(p).map_or("the image", |spec| &spec.name);
            let scale = gradient.iter().fold(1.0f64, |most, g| most.max(g.abs()));
            for i in [0, gradient.len() / 2, gradient.len().saturating_sub(1)] {
                let Some(&gradient) = gradient.get(i) else { continue };
                let at = |delta: f64| {
                    let (mut params, mut images) = (params.clone(), images.clone());
                    params.get_mut(p).unwrap_or(&mut images)[i] += delta;
                    run(&params, &images).0
                };
                let difference = (at(h) - at(-h)) / (2.0 * h);
                assert!(
                    (difference - gradient).abs() < 1e-6 * scale,
                    "{outputs:?}: {name}[{i}] is {gradient}, differences say {difference}"
                );
            }
            for (fast, truth) in fast[p].iter().zip(gradient) {
                let off = (f64::from(*fast) - truth).abs();
                assert!(off < 1e-4 * scale, "{outputs:?}: {name}: {fast} for {truth}");
            }
            assert_eq!(fast[p].len(), gradient.len());
        }
    }
}

#[test]
fn several_outputs_are_those_of_one_at_a_time() {
    let graph = network();
    let outputs = ["mask", "score", "act_sum", "score_again"];
    let images: Vec<f32> = narrow(&values(99, N * H * W * 2));
    let params: Vec<Vec<f32>> = parameters(&graph).iter().map(|p| narrow(p)).collect();
    let slices: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
    let trained = vec![true; params.len()];
    let mut all = Trainer::of_outputs(&graph, &outputs, &trained, Cpu::new(1)).unwrap();
    assert_eq!(all.forward(&slices, &images, SHAPE, 5).unwrap().len(), N * H * W * 2);
    for (output, values) in outputs.iter().zip(all.outputs()) {
        let mut one = Trainer::new(&graph, output, &trained, Cpu::new(1)).unwrap();
        let alone = one.forward(&slices, &images, SHAPE, 5).unwrap();
        let off = alone.iter().zip(values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(alone.len() == values.len() && off < 1e-5, "{output}: {off}");
    }
    let mut gradients = vec![Vec::new(); params.len()];
    let refused = all.backward_all(&slices, &[&[0.0; 9]], &mut gradients);
    assert!(matches!(refused, Err(Error::Length { got: 1, expected: 4, .. })));
}

#[test]
fn a_session_names_its_outputs_and_tells_their_shapes() {
    let graph = network();
    let mut preprocess = Preprocess::imagenet();
    preprocess.input_size = [H, W];
    let model = Model::random(graph, 0, preprocess, Vec::new()).unwrap();
    let session = |outputs: &[&str]| {
        let outputs = outputs.iter().map(|&name| name.to_owned()).collect();
        Session::new(&model, &SessionOptions { threads: 1, outputs })
    };
    let mut both = session(&["score", "mask"]).unwrap();
    assert_eq!(both.output_names(), ["score", "mask"]);
    let shapes = both.output_shapes(SHAPE).unwrap();
    assert_eq!(shapes, [vec![N, 3], vec![N, H, W, 2]]);
    let images: Vec<f32> = narrow(&values(99, N * H * W * 2));
    let all = both.run_all(&images, SHAPE).unwrap().to_vec();
    for (values, (name, shape)) in all.iter().zip(["score", "mask"].iter().zip(&shapes)) {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        assert_eq!(session(&[name]).unwrap().run(&images, SHAPE).unwrap(), values);
    }
    assert_eq!(both.output_shapes([0, H, W]).unwrap(), [vec![0, 3], vec![0, H, W, 2]]);
    // With no `logits`, all outputs are meant.
    assert_eq!(session(&[]).unwrap().output_names().len(), model.graph().outputs().len());
    assert!(session(&["logits"]).is_err());
}
