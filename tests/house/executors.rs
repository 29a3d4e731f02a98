//! Every architecture of the zoo runs alike in both executors: a session, with norms folded and additions fused, gives what a trainer
//! gives unfused when nothing is trained.
#![expect(
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests; single precision is what is compared"
)]

use taper_engine::{Cpu, Error, Session, Trainer};
use taper_graph::{Graph, NodeId, Op, ParamRole};
use taper_model::{Model, Preprocess};
use taper_tests::close::{Tolerance, assert_close, largest};

/// What the engine cannot run yet, and the node it names. Nothing else may be refused, and what begins to run leaves this list.
const REFUSED: &[(&str, &str)] = &[];

/// Images, rows, columns: small, of two different sides, and halved to odd sizes on the way down.
const SHAPE: [usize; 3] = [2, 48, 64];

/// The size of a network that takes no small images, or only one size.
pub(crate) fn shape(name: &str) -> [usize; 3] {
    match name {
        "vgg11" | "vgg16" => [2, 224, 224],
        "lenet5" => [2, 32, 32],
        _ => SHAPE,
    }
}
const OUTPUTS: [&str; 3] = ["features", "pre_logits", "logits"];

/// How far the executors may be apart, as a share of an output's largest magnitude.
const TOLERANCE: f64 = 1e-4;

/// How far the two images must be apart in every output, likewise: else a constant would pass.
const CONTRAST: f64 = 0.002;

#[test]
fn a_session_equals_a_trainer_of_nothing_on_every_network() {
    let mut surprises = Vec::new();
    for architecture in taper_zoo::architectures() {
        let graph = architecture.graph(10).unwrap();
        let listed = REFUSED.iter().find(|(name, _)| *name == architecture.name);
        let refused = refused(&graph);
        if refused.as_deref() != listed.map(|(_, node)| *node) {
            surprises.push((architecture.name, refused.clone()));
        }
        if refused.is_none() {
            let shape = shape(architecture.name);
            compare(architecture.name, &model(graph, shape), shape);
        }
    }
    assert!(surprises.is_empty(), "refused or not, against the list: {surprises:?}");
    for (name, _) in REFUSED {
        assert!(taper_zoo::architecture(name).is_ok_and(|it| it.name == *name), "{name}");
    }
}

/// The node that both executors refuse, if they do.
fn refused(graph: &Graph) -> Option<String> {
    let node = |error| match error {
        Error::Unsupported { node, .. } => node,
        other => panic!("{other}"),
    };
    let nothing = vec![false; graph.params().len()];
    let by_trainer = Trainer::<f32, _>::new(graph, "logits", &nothing, Cpu::new(1)).err().map(node);
    if by_trainer.is_some() {
        // Refused before a weight is looked at, so zeros will do.
        let zeros: Vec<Vec<f32>> = graph.params().iter().map(|p| vec![0.0; p.len()]).collect();
        let params: Vec<&[f32]> = zeros.iter().map(Vec::as_slice).collect();
        let session = Session::of_nodes(graph, &params, &nodes(graph), [SHAPE[1], SHAPE[2]], 1);
        assert_eq!(session.err().map(node), by_trainer);
    }
    by_trainer
}

fn nodes(graph: &Graph) -> [NodeId; 3] {
    OUTPUTS.map(|output| graph.output(output).unwrap())
}

fn compare(name: &str, model: &Model, shape: [usize; 3]) {
    let (params, images) = (params(model), images(model.graph().input_channels(), shape));
    let size = [shape[1], shape[2]];
    let mut session =
        Session::of_nodes(model.graph(), &params, &nodes(model.graph()), size, 1).unwrap();
    let fused = session.run_all(&images, shape).unwrap();
    for (output, fused) in OUTPUTS.into_iter().zip(fused) {
        let nothing = vec![false; params.len()];
        let mut trainer = Trainer::new(model.graph(), output, &nothing, Cpu::new(1)).unwrap();
        let unfused = trainer.forward(&params, &images, shape, 0).unwrap();
        let [fused, unfused] =
            [fused, unfused].map(|xs| xs.iter().copied().map(f64::from).collect::<Vec<_>>());
        let (what, size) = (format!("{output} of {name}"), largest(&unfused));
        let atol = (TOLERANCE * size).max(sway(&mut trainer, &params, (&images, shape), &unfused));
        assert_close(&what, &fused, &unfused, Tolerance { rtol: 0.0, atol });
        let (first, second) = unfused.split_at(unfused.len() / 2);
        let apart: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
        let contrast = largest(&apart) / size;
        assert!(contrast > CONTRAST, "{what} does not see the images: {contrast}");
    }
}

/// How far an output moves when every pixel moves by a millionth: a deep network with random weights may turn rounding into more
/// than the tolerance, whoever rounds.
fn sway(
    trainer: &mut Trainer<f32, Cpu>,
    params: &[&[f32]],
    (images, shape): (&[f32], [usize; 3]),
    output: &[f64],
) -> f64 {
    let moved = |(i, x): (usize, &f32)| x * (1.0 + if i % 3 == 0 { 1e-6 } else { -1e-6 });
    let moved: Vec<f32> = images.iter().enumerate().map(moved).collect();
    let moved = trainer.forward(params, &moved, shape, 0).unwrap();
    moved.iter().zip(output).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

pub(crate) fn images(channels: usize, shape: [usize; 3]) -> Vec<f32> {
    let len = shape.iter().product::<usize>() * channels;
    (0..len).map(|i| ((i * i) as f32 * 0.61).sin() * 1.5).collect()
}

/// Random weights with statistics such as a batch of images has, and scales and shifts that do something: as in a trained network,
/// values neither vanish nor grow on their way, so that every layer counts in the output.
pub(crate) fn model(graph: Graph, shape: [usize; 3]) -> Model {
    let preprocess = Preprocess { input_size: [shape[1], shape[2]], ..Preprocess::imagenet() };
    let model = Model::random(graph, 3, preprocess, Vec::new()).unwrap();
    let mut tensors = model.tensors().to_vec();
    for (spec, tensor) in model.graph().params().iter().zip(&mut tensors) {
        for (i, value) in tensor.data.iter_mut().enumerate() {
            let wave = ((i + spec.name.len()) as f32 * 0.7).sin();
            match spec.role {
                // A layer scale begins at almost nothing.
                ParamRole::NormScale | ParamRole::LayerScale => *value = 0.4 + 0.1 * wave,
                ParamRole::NormShift | ParamRole::Bias => *value = 0.2 * wave,
                _ => {}
            }
        }
    }
    let model = model.with_tensors(tensors.clone()).unwrap();
    for (id, values) in statistics(&model, shape) {
        tensors[id].data = values;
    }
    model.with_tensors(tensors).unwrap()
}

/// Means and variances of a batch, by parameter. A small map has few values a channel, and its smallest variances are mere chance
/// that would blow up rounding: each is the mean of the channel's own and the layer's.
fn statistics(model: &Model, shape: [usize; 3]) -> Vec<(usize, Vec<f32>)> {
    let all = vec![true; model.tensors().len()];
    let mut trainer = Trainer::new(model.graph(), "logits", &all, Cpu::new(1)).unwrap();
    trainer
        .forward(&params(model), &images(model.graph().input_channels(), shape), shape, 0)
        .unwrap();
    let mut statistics = trainer.running_statistics(&params(model));
    for node in model.graph().nodes() {
        let Op::BatchNorm { momentum: Some(momentum), .. } = node.op() else { continue };
        for (id, values) in statistics.iter_mut().filter(|(id, _)| node.params().contains(id)) {
            for (value, before) in values.iter_mut().zip(&model.tensors()[id.index()].data) {
                *value = before + (*value - before) / *momentum as f32;
            }
            if *id == node.params()[3] {
                let mean = values.iter().sum::<f32>() / values.len() as f32;
                values.iter_mut().for_each(|value| *value = 0.5 * (*value + mean));
            }
        }
    }
    statistics.into_iter().map(|(id, values)| (id.index(), values)).collect()
}

pub(crate) fn params(model: &Model) -> Vec<&[f32]> {
    model.tensors().iter().map(|tensor| tensor.data.as_slice()).collect()
}
