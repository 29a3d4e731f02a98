//! Resizing by a factor and to another map's size, in both executors, against numbers worked out by hand.
//!
//! Above: `cargo test`. Below: `taper_engine`. Not here: gradients (`operations`), sizes (`taper-graph`).
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use taper_engine::{Reference, Session, Trainer};
use taper_graph::{Bias, Graph, GraphBuilder, Op, PoolKind, ResizeMode, ResizeTo};

/// The output of a session and of a trainer, which agree, on one image of one channel.
fn run(graph: &Graph, image: &[f64], [h, w]: [usize; 2]) -> Vec<f64> {
    let node = graph.output("y").unwrap();
    let narrow: Vec<f32> = image.iter().map(|x| *x as f32).collect();
    let mut session = Session::of_nodes(graph, &[], &[node], [h, w], 1).unwrap();
    let quick = session.run(&narrow, [1, h, w]).unwrap();
    let mut trainer = Trainer::new(graph, "y", &[], Reference).unwrap();
    let exact = trainer.forward(&[], image, [1, h, w], 0).unwrap().to_vec();
    assert_eq!(quick.len(), exact.len());
    assert!(quick.iter().zip(&exact).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5));
    exact
}

fn resized(out: ResizeTo, mode: ResizeMode) -> Graph {
    let mut b = GraphBuilder::new(1).unwrap();
    let ys = b.push("y", Op::Resize { out, mode }, &[b.input()], Bias::Without).unwrap();
    b.output("y", ys).unwrap();
    b.build().unwrap()
}

fn close(actual: &[f64], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len());
    let near = actual.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(near, "{actual:?} is not {expected:?}");
}

/// A row of three becomes one of four. By the factor a step is 1 / 1.5, by the sizes 3 / 4.
#[test]
fn a_factor_sets_the_step_and_a_size_the_ratio_of_sizes() {
    let row = [0.0, 3.0, 6.0];
    let (factor, size) = (ResizeTo::Factor([1.0, 1.5]), ResizeTo::Size([1, 4]));
    let by = |out, mode| run(&resized(out, mode), &row, [1, 3]);
    // Centers (i + 0.5) / 1.5 − 0.5: below 0, 1/2, 7/6, 11/6.
    close(&by(factor, ResizeMode::Bilinear), &[0.0, 1.5, 3.5, 5.5]);
    // Centers (i + 0.5) · 3 / 4 − 0.5: below 0, 5/8, 11/8, 17/8.
    close(&by(size, ResizeMode::Bilinear), &[0.0, 1.875, 4.125, 6.0]);
    // The corners stay where they are, whatever the factor.
    close(&by(factor, ResizeMode::BilinearAligned), &[0.0, 2.0, 4.0, 6.0]);
    close(&by(size, ResizeMode::BilinearAligned), &[0.0, 2.0, 4.0, 6.0]);
    // ⌊i / 1.5⌋ is 0, 0, 1, 2, and ⌊i · 3 / 4⌋ is 0, 0, 1, 2 too; of five, ⌊i / 1.5⌋ and ⌊i · 5 / 7⌋ differ.
    close(&by(factor, ResizeMode::Nearest), &[0.0, 0.0, 3.0, 6.0]);
    let five = [0.0, 1.0, 2.0, 3.0, 4.0];
    let factor = resized(factor, ResizeMode::Nearest);
    close(&run(&factor, &five, [1, 5]), &[0.0, 0.0, 1.0, 2.0, 2.0, 3.0, 4.0]);
    let size = resized(ResizeTo::Size([1, 7]), ResizeMode::Nearest);
    close(&run(&size, &five, [1, 5]), &[0.0, 0.0, 1.0, 2.0, 2.0, 3.0, 4.0]);
    let third = resized(ResizeTo::Factor([1.0, 0.4]), ResizeMode::Nearest);
    close(&run(&third, &five, [1, 5]), &[0.0, 2.0]);
}

/// Forty-nine times as many: 49 · (1 / 49) is below 1 in double precision, and PyTorch computes in single.
#[test]
fn a_whole_factor_repeats_every_element_so_many_times() {
    for times in [2_u8, 3, 7, 49] {
        let graph = resized(ResizeTo::Factor([1.0, f64::from(times)]), ResizeMode::Nearest);
        let expected = [1.0, 2.0, 3.0].map(|x| vec![x; usize::from(times)]).concat();
        close(&run(&graph, &[1.0, 2.0, 3.0], [1, 3]), &expected);
    }
}

/// The map is halved and made as large as the image again, whatever that is; the image's values are not read for it.
#[test]
fn the_size_of_another_map_follows_the_image() {
    let mut b = GraphBuilder::new(1).unwrap();
    let window = taper_graph::Window {
        padding: taper_graph::Padding::Valid,
        ..taper_graph::Window::square(2, 2)
    };
    let halved = b.pool("halved", b.input(), PoolKind::Avg, window).unwrap();
    let op = Op::Resize { out: ResizeTo::Like, mode: ResizeMode::Nearest };
    let ys = b.push("y", op, &[halved, b.input()], Bias::Without).unwrap();
    b.output("y", ys).unwrap();
    let graph = b.build().unwrap();
    close(&run(&graph, &[1.0, 3.0, 5.0, 7.0], [2, 2]), &[4.0; 4]);
    let wide: Vec<f64> = (0..10).map(f64::from).collect();
    // Means of 0, 1, 5, 6 and of 2, 3, 7, 8; ⌊j · 2 / 5⌋ is 0, 0, 0, 1, 1.
    let row = [3.0, 3.0, 3.0, 5.0, 5.0];
    close(&run(&graph, &wide, [2, 5]), &[row, row].concat());
}
