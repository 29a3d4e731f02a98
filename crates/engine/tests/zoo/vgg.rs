//! VGG on images below 224x224: the last map is averaged up to 7x7, as torchvision's adaptive pool and timm do.

use taper_engine::Session;
use taper_model::{Model, Preprocess};
use taper_zoo::mobilenet_v2::Scaling;
use taper_zoo::{Options, architecture};

/// Begin and end of the seven windows along an axis of 1, 2 and 3: `floor(i · n / 7) .. ceil((i + 1) · n / 7)`.
fn windows(n: usize) -> [[usize; 2]; 7] {
    match n {
        1 => [[0, 1]; 7],
        2 => [[0, 1], [0, 1], [0, 1], [0, 2], [1, 2], [1, 2], [1, 2]],
        3 => [[0, 1], [0, 1], [0, 2], [1, 2], [1, 3], [2, 3], [2, 3]],
        _ => [[0, 0]; 7],
    }
}

/// Outputs of a fully connected layer of 7x7 taps over a map `(h, w, c)` averaged up to 7x7, before the activation.
fn first_layer(map: &[f32], [h, w]: [usize; 2], weight: &[f32], bias: &[f32]) -> Vec<f64> {
    let c = map.len() / (h * w);
    let mean = |channel: usize, [i, j]: [usize; 2]| {
        let ([top, bottom], [left, right]) = (windows(h)[i], windows(w)[j]);
        let cells = (top..bottom).flat_map(|y| (left..right).map(move |x| (y * w + x) * c));
        let count = ((bottom - top) * (right - left)) as f64;
        cells.map(|at| f64::from(map[at + channel])).sum::<f64>() / count
    };
    let output = |(filter, bias): (&[f32], &f32)| {
        let taps = filter.iter().enumerate();
        let products =
            taps.map(|(tap, weight)| f64::from(*weight) * mean(tap / 49, [tap % 49 / 7, tap % 7]));
        products.sum::<f64>() + f64::from(*bias)
    };
    weight.chunks_exact(c * 49).zip(bias).map(output).collect()
}

#[test]
fn small_maps_are_averaged_up_to_seven_by_seven() {
    let options = Options { scaling: Scaling::width(1.0 / 16.0), ..Options::classes(3) };
    let graph = architecture("vgg11").unwrap().graph_with(&options).unwrap();
    let fc1 = graph.find_node("pre_logits.fc1").unwrap();
    let tensors = graph.node(fc1).params().to_vec();
    for [h, w] in [[32, 32], [64, 32], [96, 64], [40, 96]] {
        let preprocess = Preprocess { input_size: [h, w], ..Preprocess::imagenet() };
        let model = Model::random(graph.clone(), 5, preprocess, Vec::new()).unwrap();
        let [weight, bias] = [0, 1].map(|i| &model.tensors()[tensors[i].index()].data);
        let xs: Vec<f32> = (0..h * w * 3).map(|i| (i as f32 * 0.37).sin()).collect();
        let params: Vec<&[f32]> = model.tensors().iter().map(|t| t.data.as_slice()).collect();
        let features = graph.output("features").unwrap();
        let mut session = Session::of_nodes(&graph, &params, &[features, fc1], [h, w], 1).unwrap();
        let outputs = session.run_all(&xs, [1, h, w]).unwrap();
        let expected = first_layer(&outputs[0], [h / 32, w / 32], weight, bias);
        assert!(expected.iter().any(|y| y.abs() > 1e-3), "a constant would pass");
        let near = |(y, expected): (&f32, &f64)| {
            (f64::from(*y) - expected).abs() <= 1e-5 + 1e-4 * expected.abs()
        };
        assert_eq!(outputs[1].len(), expected.len());
        assert!(outputs[1].iter().zip(&expected).all(near), "{h}x{w}");
    }
}

#[test]
fn a_map_of_seven_by_seven_and_larger_ones_stay_as_they_are() {
    let graph = taper_zoo::create("vgg16", 10).unwrap();
    let (features, pool) =
        (graph.output("features").unwrap(), graph.find_node("pre_logits.pool").unwrap());
    for [h, w] in [[224, 224], [256, 300]] {
        let extents = graph.extents(h, w).unwrap();
        assert_eq!(extents[pool.index()], extents[features.index()]);
    }
}
