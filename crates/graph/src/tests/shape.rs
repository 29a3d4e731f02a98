//! Sizes of maps, against counting and against PyTorch's numbers.
//!
//! Above: `cargo test`. Below: `shape`, `window`. Not here: channels and names (`builder`).

use super::small;
use crate::{
    Bias, Conv, Error, Extent, Graph, GraphBuilder, NodeId, Op, PadMode, Padding, PoolKind,
    ResizeMode, ResizeTo, ScopeKind, Window,
};

/// The extent after `ops`, one on the other, of an image `(h, w, c)`.
fn after(ops: &[Op], [h, w, c]: [usize; 3]) -> crate::Result<Extent> {
    let mut b = GraphBuilder::new(c)?;
    let mut xs = b.input();
    for (op_idx, op) in ops.iter().enumerate() {
        xs = b.push(&format!("op{op_idx}"), op.clone(), &[xs], Bias::Without)?;
    }
    b.output("y", xs)?;
    Ok(b.build()?.extents(h, w)?[xs.index()])
}

fn map(h: usize, w: usize, c: usize) -> Extent {
    Extent::Map { h, w, c }
}

fn transposed(stride: usize, output_padding: usize, padding: usize) -> Op {
    let padding = Padding::symmetric(padding);
    let conv = Conv { out: 5, window: Window { padding, ..Window::square(3, stride) }, groups: 1 };
    Op::ConvTranspose { conv, output_padding: [output_padding; 2] }
}

#[test]
fn sizes_are_those_of_pytorch() {
    // torch.nn.*(…)(torch.zeros(1, 6, 11, 14)).shape
    let image = [11, 14, 6];
    let pool = |ceil| Op::Pool { kind: PoolKind::Max, window: Window::square(3, 2), ceil };
    let cases = [
        (Op::Conv(Conv::dense(5, 3, 2)), map(6, 7, 5)),
        (Op::Conv(Conv::dense(5, 5, 3)), map(4, 5, 5)),
        (transposed(2, 1, 1), map(22, 28, 5)),
        (transposed(3, 0, 0), map(33, 42, 5)),
        (pool(false), map(6, 7, 6)),
        (pool(true), map(6, 8, 6)),
        (Op::AdaptivePool { kind: PoolKind::Avg, out: [3, 2], at_least: false }, map(3, 2, 6)),
        (Op::AdaptivePool { kind: PoolKind::Avg, out: [13, 7], at_least: true }, map(13, 14, 6)),
        (Op::GlobalPool { kind: PoolKind::Avg, squeeze: false }, map(1, 1, 6)),
        (Op::GlobalPool { kind: PoolKind::Avg, squeeze: true }, Extent::Vector { c: 6 }),
        (Op::Slice { start: 1, len: 3 }, map(11, 14, 3)),
        (Op::Shuffle { groups: 3 }, map(11, 14, 6)),
        (Op::Pad { sides: [1, 2, 3, 4], mode: PadMode::Zeros }, map(15, 20, 6)),
        (Op::Resize { out: ResizeTo::Size([7, 9]), mode: ResizeMode::Bilinear }, map(7, 9, 6)),
        // torch.nn.functional.interpolate(xs, scale_factor=(0.3, 1.7)): floors of 3.3 and 23.8
        (
            Op::Resize { out: ResizeTo::Factor([0.3, 1.7]), mode: ResizeMode::Nearest },
            map(3, 23, 6),
        ),
    ];
    for (op, expected) in cases {
        assert_eq!(after(std::slice::from_ref(&op), image).unwrap(), expected, "{op:?}");
    }
}

#[test]
fn flatten_works_on_fixed_sizes_only() {
    let pool = Op::AdaptivePool { kind: PoolKind::Avg, out: [3, 2], at_least: false };
    let flat = after(&[pool, Op::Flatten], [11, 14, 6]).unwrap();
    assert_eq!(flat, Extent::Vector { c: 36 });
    assert!(matches!(after(&[Op::Flatten], [11, 14, 6]), Err(Error::UnknownSize { .. })));
}

#[test]
fn a_window_that_does_not_fit_names_its_node_and_its_formula() {
    let valid = Window { padding: Padding::Valid, ..Window::square(7, 1) };
    let conv = Op::Conv(Conv { out: 4, window: valid, groups: 1 });
    assert_eq!(after(std::slice::from_ref(&conv), [7, 7, 3]).unwrap(), map(1, 1, 4));
    let error = after(&[conv], [7, 6, 3]).unwrap_err().to_string();
    let formula = "floor((w + left + right − dilation·(kernel − 1) − 1) / stride) + 1 \
                   = floor((6 + 0 + 0 − 1·(7 − 1) − 1) / 1) + 1 = 0, it must be 1 or more";
    assert!(error.starts_with("`op0`: nothing is left along w"), "{error}");
    assert!(error.contains(formula), "{error}");
    let error = after(&[transposed(1, 0, 3)], [7, 4, 3]).unwrap_err().to_string();
    let formula = "(4 − 1)·1 − 3 − 3 + 1·(3 − 1) + 0 + 1 = 0";
    assert!(error.contains(formula), "{error}");
}

#[test]
fn rounding_up_takes_a_window_that_is_cut_and_drops_one_in_the_padding() {
    // torch.nn.MaxPool2d(3, 2, ceil_mode=True)(torch.zeros(1, 1, 2, 2)).shape
    let valid = Window { padding: Padding::Valid, ..Window::square(3, 2) };
    let pool = |window, ceil| [Op::Pool { kind: PoolKind::Max, window, ceil }];
    assert_eq!(after(&pool(valid, true), [2, 2, 1]).unwrap(), map(1, 1, 1));
    assert!(after(&pool(valid, false), [2, 2, 1]).is_err());
    assert!(after(&pool(valid, true), [1, 2, 1]).is_err());
    // torch.nn.MaxPool2d(2, 2, padding=1, ceil_mode=True)(torch.zeros(1, 1, 5, 4)).shape
    let window = Window { padding: Padding::symmetric(1), ..Window::square(2, 2) };
    let [pool] = pool(window, true);
    let [h, w] = pool.size_formulas([5, 4]).unwrap();
    assert_eq!(
        h.to_string(),
        "ceil((5 + 1 + 1 − 1·(2 − 1) − 1) / 2) + 1 = 4, less one that would begin in the padding = 3"
    );
    assert_eq!((h.output(), w.output()), (Some(3), Some(3)));
    assert_eq!(after(&[pool], [5, 4, 1]).unwrap(), map(3, 3, 1));
}

#[test]
fn reflected_padding_needs_a_larger_map() {
    let pad = Op::Pad { sides: [3, 0, 0, 0], mode: PadMode::Reflect };
    assert!(after(std::slice::from_ref(&pad), [4, 1, 1]).is_ok());
    let error = after(&[pad], [3, 1, 1]).unwrap_err().to_string();
    assert_eq!(error, "padding of `op0` is 3, it must be below h = 3, to be reflected");
}

#[test]
fn images_of_no_size_and_of_absurd_size_are_refused() {
    for (h, w) in [(0, 224), (224, 0), (usize::MAX, 1), (1 << 20, 1 << 20)] {
        assert!(small().extents(h, w).is_err(), "{h}x{w}");
    }
    assert!(small().extents(1, 1).is_ok()); // padding suffices
}

#[test]
fn a_gate_multiplies_a_map_and_other_sizes_do_not_fit() {
    let build = |pooled_first: bool| {
        let mut b = GraphBuilder::new(3).unwrap();
        let gate = b.global_pool("gate", b.input(), PoolKind::Avg, false).unwrap();
        let (left, right) = if pooled_first { (gate, b.input()) } else { (b.input(), gate) };
        let xs = b.mul("mul", left, right).unwrap();
        b.output("y", xs).unwrap();
        b.build().unwrap().extents(4, 5).map(|extents| extents[xs.index()])
    };
    assert_eq!(build(false).unwrap(), map(4, 5, 3));
    assert!(matches!(build(true), Err(Error::Mismatch { .. })));
}

#[test]
fn sums_of_different_sizes_are_found_when_the_size_is_known() {
    let mut b = GraphBuilder::new(3).unwrap();
    let half = b.conv("half", b.input(), Conv::dense(3, 3, 2), Bias::Without).unwrap();
    let sum = b.add("sum", b.input(), half).unwrap();
    b.output("y", sum).unwrap();
    let graph = b.build().unwrap();
    assert!(graph.extents(1, 1).is_ok());
    let error = graph.extents(4, 4).unwrap_err().to_string();
    assert_eq!(
        error,
        "inputs of add `sum` do not fit: a map of 4x4x3 (h, w, c) and a map of 2x2x3 (h, w, c)"
    );
}

#[test]
fn concatenation_adds_channels() {
    let mut b = GraphBuilder::new(3).unwrap();
    let wide = b.conv("wide", b.input(), Conv::pointwise(5), Bias::Without).unwrap();
    let all = b.concat("all", &[b.input(), wide, b.input()]).unwrap();
    assert_eq!(b.channels(all), 11);
}

#[test]
fn attention_has_the_queries_positions_and_the_values_channels() {
    let build = |q: usize, k: usize, v: usize| {
        let mut b = GraphBuilder::new(3)?;
        let make = |b: &mut GraphBuilder, name: &str, c: usize| -> crate::Result<NodeId> {
            b.conv(name, b.input(), Conv::pointwise(c), Bias::Without)
        };
        let inputs = [make(&mut b, "q", q)?, make(&mut b, "k", k)?, make(&mut b, "v", v)?];
        let op = Op::Attention { heads: 4, kv_heads: 2, scale: 0.25 };
        let xs = b.push("attention", op, &inputs, Bias::Without)?;
        Ok::<usize, Error>(b.channels(xs))
    };
    assert_eq!(build(16, 8, 6).unwrap(), 12); // 4 heads of 3
    assert!(build(16, 6, 6).is_err()); // keys of another size than queries
    assert!(build(10, 8, 6).is_err());
}

/// Resizes `op0` to the size of the image, and to others.
fn resized(out: ResizeTo, inputs: usize) -> crate::Result<Graph> {
    let op = Op::Resize { out, mode: ResizeMode::Bilinear };
    let mut b = GraphBuilder::new(3)?;
    let small = b.conv("small", b.input(), Conv::dense(5, 3, 4), Bias::Without)?;
    let read = [small, b.input(), small];
    let ys = b.push("ys", op, &read[..inputs], Bias::Without)?;
    b.output("ys", ys)?;
    b.build()
}

#[test]
fn a_map_is_resized_to_the_size_of_another_whose_channels_do_not_matter() {
    let graph = resized(ResizeTo::Like, 2).unwrap();
    let ys = graph.output("ys").unwrap();
    for [h, w] in [[32, 40], [7, 9]] {
        assert_eq!(graph.extents(h, w).unwrap()[ys.index()], map(h, w, 5));
    }
    assert!(matches!(resized(ResizeTo::Like, 1), Err(Error::InputCount { got: 1, .. })));
    assert!(matches!(resized(ResizeTo::Size([4, 4]), 2), Err(Error::InputCount { got: 2, .. })));
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = resized(ResizeTo::Factor([1.0, factor]), 1);
        assert!(matches!(refused, Err(Error::Range { .. })), "{factor}");
    }
    // Nothing is left of 8 / 4 rows.
    let nothing = resized(ResizeTo::Factor([0.4, 1.0]), 1).unwrap();
    assert!(nothing.extents(8, 8).is_err());
}

#[test]
fn a_stride_is_taken_back_by_resizing_to_a_factor_or_to_an_earlier_map() {
    let reduction = |out: ResizeTo, inputs: usize| {
        let op = Op::Resize { out, mode: ResizeMode::Nearest };
        let mut b = GraphBuilder::new(3).unwrap();
        let ys = b.scope(ScopeKind::Block, "block", |b| {
            let small = b.conv("small", b.input(), Conv::dense(5, 3, 8), Bias::Without)?;
            let read = [small, b.input()];
            b.push("ys", op, &read[..inputs], Bias::Without)
        });
        b.output("ys", ys.unwrap()).unwrap();
        b.build().unwrap().scopes()[0].reduction()
    };
    assert_eq!(reduction(ResizeTo::Factor([2.0, 4.0]), 1), 4);
    assert_eq!(reduction(ResizeTo::Like, 2), 1);
    assert_eq!(reduction(ResizeTo::Size([3, 3]), 1), 8);
}
