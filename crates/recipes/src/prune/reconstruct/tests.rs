//! Layers of every window against what they computed before channels went that others can stand for.

use taper_graph::{Bias, GraphBuilder, PoolKind};
use taper_model::Preprocess;
use taper_prune::{Protect, cut};

use super::*;

const SIZE: usize = 12;

const IMAGES: usize = 12;

/// Numbers around 0, the same each time.
fn images() -> Images {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0
    };
    ((0..IMAGES * SIZE * SIZE * 3).map(|_| next()).collect(), [IMAGES, SIZE, SIZE])
}

/// A network whose `first` has six channels, the last two of which are sums of others, before what `rest` adds.
fn network(rest: impl Fn(&mut GraphBuilder, NodeId) -> taper_graph::Result<NodeId>) -> Model {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("first", b.input(), Conv::dense(6, 3, 1), Bias::With).unwrap();
    let xs = rest(&mut b, xs).unwrap();
    b.output("ys", xs).unwrap();
    let preprocess = Preprocess { input_size: [SIZE; 2], ..Preprocess::imagenet() };
    let model = Model::random(b.build().unwrap(), 3, preprocess, Vec::new()).unwrap();
    let mut tensors = model.tensors().to_vec();
    for tensor in &mut tensors[..2] {
        let each = tensor.data.len() / 6;
        for i in 0..each {
            let of = |channel: usize| tensor.data[channel * each + i];
            let (sum, difference) = (of(0) + 0.5 * of(1), of(2) - of(3));
            tensor.data[4 * each + i] = sum;
            tensor.data[5 * each + i] = difference;
        }
    }
    model.with_tensors(tensors).unwrap()
}

/// The mean square by which outputs differ from those of `model` when two channels of `first` went: cut alone, and fitted.
fn missed(model: &Model) -> [f32; 2] {
    let groups = Groups::of(model.graph(), &Protect::default()).unwrap();
    let first = groups.of_node(model.graph().find_node("first").unwrap());
    let units = Cut::of(&groups, [first[4], first[5]]).unwrap();
    let smaller = cut(model, &groups, &units).unwrap();
    let (xs, shape) = images();
    let batches = xs.chunks(xs.len() / 3).map(|xs| Ok((xs.to_vec(), [IMAGES / 3, SIZE, SIZE])));
    let fitted = reconstruct([model, &smaller], (&groups, &units), (batches, IMAGES), 1).unwrap();
    let run = |model: &Model| -> Vec<f32> {
        let mut session = Session::new(model, &taper_engine::SessionOptions::default()).unwrap();
        session.run(&xs, shape).unwrap().to_vec()
    };
    let expected = run(model);
    [&smaller, &fitted].map(|model| {
        let squares = run(model).into_iter().zip(&expected).map(|(y, &e)| (y - e) * (y - e));
        squares.sum::<f32>() / expected.len() as f32
    })
}

fn is_made_up_for(what: &str, model: &Model) {
    let [cut, fitted] = missed(model);
    assert!(cut > 1e-4 && fitted < 0.05 * cut, "{what}: {cut} cut, {fitted} fitted");
}

#[test]
fn channels_that_others_stand_for_are_made_up_for_behind_every_window() {
    let square = Window::square;
    let windows = [
        square(1, 1),
        square(3, 1),
        square(3, 2),
        Window { dilation: [2, 1], ..square(3, 1) },
        Window { padding: Padding::Same, ..square(5, 2) },
        Window { padding: Padding::Valid, kernel: [2, 3], ..square(3, 1) },
        Window { padding: Padding::Valid, mode: PadMode::Reflect, ..square(3, 1) },
    ];
    for window in windows {
        for bias in [Bias::With, Bias::Without] {
            let model =
                network(|b, xs| b.conv("next", xs, Conv { out: 5, window, groups: 1 }, bias));
            is_made_up_for(&format!("{window:?}, {bias:?}"), &model);
        }
    }
}

#[test]
fn norms_take_what_a_bias_would_and_vectors_are_fitted_too() {
    let normed = network(|b, xs| {
        let xs = b.conv("next", xs, Conv::pointwise(5), Bias::Without)?;
        b.batch_norm("norm", xs, 1e-5, 0.1)
    });
    is_made_up_for("norm", &normed);
    let linear = network(|b, xs| {
        let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
        b.linear("classifier", xs, 4, Bias::With)
    });
    let [cut, fitted] = missed(&linear);
    assert!(fitted < 0.3 * cut, "means hardly differ, so that the penalty holds: {cut}, {fitted}");
}

/// A border that is no zeros, and a convolution in groups, whose channels went with their inputs.
#[test]
fn what_cannot_be_fitted_stays_as_it_was() {
    let mode = PadMode::Replicate;
    let window = Window { mode, ..Window::square(3, 1) };
    let mirrored =
        network(|b, xs| b.conv("next", xs, Conv { out: 5, window, groups: 1 }, Bias::With));
    let grouped = network(|b, xs| {
        let xs = b.conv("next", xs, Conv::depthwise(6, 3, 1), Bias::With)?;
        b.conv("last", xs, Conv::pointwise(4), Bias::With)
    });
    for model in [&mirrored, &grouped] {
        let [cut, fitted] = weights_of("next", model);
        assert_eq!(cut, fitted);
    }
    let [cut, fitted] = weights_of("last", &grouped);
    assert_ne!(cut, fitted, "who reads the convolution in groups");
}

/// Weights of a layer when a channel of `first` went: cut alone, and fitted.
fn weights_of(layer: &str, model: &Model) -> [Tensor; 2] {
    let groups = Groups::of(model.graph(), &Protect::default()).unwrap();
    let unit = groups.of_node(model.graph().find_node("first").unwrap())[4];
    let units = Cut::of(&groups, [unit]).unwrap();
    let smaller = cut(model, &groups, &units).unwrap();
    let batches = std::iter::once(Ok(images()));
    let fitted = reconstruct([model, &smaller], (&groups, &units), (batches, IMAGES), 1).unwrap();
    [smaller, fitted].map(|model| model.tensor(&format!("{layer}.weight")).unwrap().clone())
}
