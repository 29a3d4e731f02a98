//! What holds for every window, width and small chain of layers.
//!
//! Above: `cargo test`. Below: `window`, `scaling`, `builder`, `json`. Not here: single cases (`shape`, `json`).

use proptest::prelude::*;

use crate::scaling::make_divisible;
use crate::{
    Activation, Bias, Conv, Extent, Flow, Graph, GraphBuilder, Op, PadMode, Padding, PoolKind,
    Window,
};

fn windows() -> impl Strategy<Value = Window> {
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    let explicit = (0usize..4, 0usize..4, 0usize..4, 0usize..4)
        .prop_map(|(top, left, bottom, right)| Padding::Explicit { top, left, bottom, right });
    let padding = prop_oneof![Just(Padding::Same), Just(Padding::Valid), explicit];
    (pair(1..6), pair(1..4), pair(1..3), padding).prop_map(|(kernel, stride, dilation, padding)| {
        Window { kernel, stride, dilation, padding, mode: PadMode::Zeros }
    })
}

/// Counts the places where a window fits into the padded axis.
fn count(size: usize, pads: usize, kernel: usize, stride: usize, dilation: usize) -> usize {
    let fits = |begin: &usize| begin + dilation * (kernel - 1) < size + pads;
    (0..size + pads).step_by(stride).filter(fits).count()
}

/// A chain of layers that fit; numbers pick them.
fn chain(picks: &[(u8, usize)]) -> Graph {
    let mut b = GraphBuilder::new(4).unwrap();
    let mut xs = b.input();
    for (layer_idx, &(kind, n)) in picks.iter().enumerate() {
        let (name, c) = (format!("layers.{layer_idx}"), b.channels(xs));
        let op = match kind {
            0 => Op::Conv(Conv::dense(4 * n, 3, 2)),
            1 => Op::Conv(Conv::depthwise(c, 2 * n - 1, 1)),
            2 => Op::Conv(Conv { groups: 4, ..Conv::dense(4 * n, 1, 1) }),
            3 => Op::BatchNorm { eps: 1e-5, momentum: Some(0.1) },
            4 => Op::Activation(Activation::PRelu),
            5 => Op::Slice { start: 0, len: c / 8 * 4 + 4 },
            6 => Op::GroupNorm { groups: 4, eps: 1e-3 },
            _ => Op::Shuffle { groups: 4 },
        };
        let bias = if n % 2 == 0 { Bias::With } else { Bias::Without };
        xs = b.push(&name, op, &[xs], bias).unwrap();
        if kind == 3 {
            xs = b.add(&format!("{name}.add"), xs, xs).unwrap();
        }
    }
    let pooled = b.global_pool("pool", xs, PoolKind::Max, true).unwrap();
    b.output("y", pooled).unwrap();
    b.build().unwrap()
}

fn chains() -> impl Strategy<Value = Graph> {
    proptest::collection::vec((0u8..8, 1usize..5), 0..12).prop_map(|picks| chain(&picks))
}

proptest! {
    #[test]
    fn the_output_size_is_the_number_of_places_where_the_window_fits(
        window in windows(), size in [1usize..20, 1usize..20],
    ) {
        let pads = window.pads(size);
        let counted = [0, 1].map(|axis| {
            let pads = pads[axis] + pads[axis + 2];
            count(size[axis], pads, window.kernel[axis], window.stride[axis], window.dilation[axis])
        });
        let expected = (!counted.contains(&0)).then_some(counted);
        prop_assert_eq!(window.output_size(size), expected);
    }

    #[test]
    fn same_padding_divides_the_size_by_the_stride_and_puts_the_odd_pixel_at_the_end(
        window in windows(), size in [1usize..20, 1usize..20],
    ) {
        let window = Window { padding: Padding::Same, ..window };
        let expected = [0, 1].map(|axis| size[axis].div_ceil(window.stride[axis]));
        prop_assert_eq!(window.output_size(size), Some(expected));
        let [top, left, bottom, right] = window.pads(size);
        prop_assert!(bottom == top || bottom == top + 1);
        prop_assert!(right == left || right == left + 1);
    }

    /// For the windows that a pool may have: PyTorch pads by at most half a kernel.
    #[test]
    fn rounding_up_adds_at_most_one_window_that_begins_inside(
        window in windows(), size in [6usize..20, 6usize..20],
    ) {
        let pads = window.pads(size);
        prop_assume!((0..4).all(|side| pads[side] <= window.kernel[side % 2] / 2));
        let (Some(floor), Some(ceil)) = (window.output_size(size), window.output_size_ceil(size))
            else { return Ok(()) };
        for axis in 0..2 {
            prop_assert!(ceil[axis] == floor[axis] || ceil[axis] == floor[axis] + 1);
            prop_assert!((ceil[axis] - 1) * window.stride[axis] < size[axis] + pads[axis]);
        }
    }

    #[test]
    fn windows_of_any_numbers_overflow_nothing(
        numbers in proptest::collection::vec(prop_oneof![0usize..3, any::<usize>(), Just(usize::MAX)], 12),
    ) {
        let pair = |i: usize| [numbers[i], numbers[i + 1]];
        let explicit = Padding::Explicit {
            top: numbers[6], left: numbers[7], bottom: numbers[8], right: numbers[9],
        };
        for padding in [Padding::Same, Padding::Valid, explicit] {
            let mode = PadMode::Zeros;
            let window = Window { kernel: pair(0), stride: pair(2), dilation: pair(4), padding, mode };
            // Whatever comes out, it comes out.
            let _ = (window.output_size(pair(10)), window.output_size_ceil(pair(10)));
        }
    }

    #[test]
    fn divisible_channels_are_multiples_not_far_below_and_fixed(v in 1.0f64..4000.0) {
        let channels = make_divisible(v, 8, 0.9);
        prop_assert_eq!(channels % 8, 0);
        prop_assert!(channels as f64 >= 0.9 * v && channels as f64 <= v.max(8.0) + 8.0);
        prop_assert_eq!(make_divisible(channels as f64, 8, 0.9), channels);
    }

    #[test]
    fn every_chain_survives_json_and_replaying(graph in chains()) {
        prop_assert_eq!(&Graph::from_json(&graph.to_json()).unwrap(), &graph);
        prop_assert_eq!(&graph.map_ops(|node| node.op().clone()).unwrap(), &graph);
    }

    #[test]
    fn cut_and_altered_descriptions_never_panic(
        graph in chains(), cut in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut text = graph.to_json().into_bytes();
        let at = cut.index(text.len());
        let _ = Graph::from_json(&String::from_utf8_lossy(&text[..at]));
        text[at] = byte;
        if let Ok(read) = Graph::from_json(&String::from_utf8_lossy(&text)) {
            let _ = read.extents(33, 17);
        }
    }

    /// Channel counts at build time are those at run time, and `flow` describes as many channels as there are; which ones they are,
    /// numbers say (`taper-engine`'s `tests/flow.rs`).
    #[test]
    fn shapes_parameters_and_flow_agree(graph in chains()) {
        let extents = graph.extents(65, 33).unwrap();
        for node in graph.node_ids().map(|id| (id, graph.node(id))) {
            let (id, node) = node;
            let (out, inputs) = (extents[id.index()].channels(), node.inputs().iter());
            let inputs: Vec<Extent> = inputs.map(|id| extents[id.index()]).collect();
            if let Some(xs) = inputs.first().map(Extent::channels) {
                match node.op().flow(0, &inputs) {
                    Flow::Same => prop_assert_eq!(out, xs),
                    Flow::Mixes { groups } => prop_assert_eq!([out % groups, xs % groups], [0, 0]),
                    Flow::Shuffled { groups } => prop_assert_eq!([out, xs % groups], [xs, 0]),
                    Flow::Repeated { block } => prop_assert_eq!(out, xs * block),
                    Flow::Shifted { .. } => prop_assert!(out <= xs),
                    Flow::Normalizes { groups } => prop_assert_eq!([out, xs % groups], [xs, 0]),
                    Flow::Nothing => prop_assert!(false, "the first input is read"),
                    Flow::Heads { .. } | Flow::Opaque => {}
                }
            }
            for param in node.params().iter().map(|&id| graph.param(id)) {
                for (len, role) in param.shape.iter().zip(&param.axes) {
                    match role {
                        crate::AxisRole::Out => prop_assert_eq!(*len, out),
                        crate::AxisRole::In { input, block, groups } => prop_assert_eq!(
                            len * groups / block, inputs[usize::from(*input)].channels()
                        ),
                        crate::AxisRole::Fixed => {}
                    }
                }
            }
        }
    }
}
