//! Random shapes: mostly small and sound, some with sizes that are zero or huge, which their constructors must refuse or bear.
//!
//! Above: `operations`, `packed`. Below: `draw`. Not here: slices.

use taper_kernels::{
    AttentionShape, ChannelMap, ConvShape, Edge, NormShape, PoolShape, PoolWindow, Resampling,
    SpatialMap,
};

use super::draw::{Draw, product};
use super::{attempt, calls};

/// Distances of taps, with padding to match, from likely to beyond all memory.
const FAR: [usize; 4] = [1 << 9, 1 << 12, 1 << (usize::BITS - 18), 1 << (usize::BITS - 2)];

/// How many of them there are: Miri has no allocator that refuses.
const FARTHEST: usize = if cfg!(miri) { 1 } else { FAR.len() };

/// A convolution, and its channels in and out.
pub(crate) fn conv(draw: &mut Draw) -> Option<(ConvShape, [usize; 2])> {
    let [n, h, w] = draw.sizes(5);
    let (mut groups, mut per_group, mut out) = (draw.size(4), draw.size(20), draw.size(20));
    match draw.below(3) {
        0 => groups = 1,
        1 => (per_group, out) = (1, 1),
        _ => {}
    }
    groups *= usize::from(groups < 1 << 20);
    per_group *= usize::from(per_group < 1 << 20);
    out *= usize::from(out < 1 << 20);
    let (c, oc) = (groups * per_group, groups * out);
    let mut kernel: [usize; 2] = draw.sizes(3);
    let mut stride: [usize; 2] = draw.sizes(3);
    let mut dilation: [usize; 2] = draw.sizes(2);
    let mut pads: [usize; 4] = std::array::from_fn(|_| draw.below(3));
    if draw.one_in(4) {
        (kernel, stride, dilation, pads) = ([1; 2], [1; 2], [1; 2], [0; 4]);
    }
    if draw.one_in(10) {
        let (axis, far) = (draw.below(2), draw.pick(&FAR[..FARTHEST]));
        (dilation[axis], pads[axis], pads[axis + 2]) = (far, far, draw.pick(&[0, far]));
        stride[axis] = draw.pick(&[1, far]);
        draw.unbound();
    }
    let shape = ConvShape::new([n, h, w, c], oc, kernel, stride, dilation, pads, groups)?;
    draw.say("shape", shape);
    if draw.one_in(4) {
        let smaller = draw.sizes(4);
        return shape.with_output(smaller).map(|shape| (shape, [c, oc]));
    }
    Some((shape, [c, oc]))
}

pub(crate) fn pool(draw: &mut Draw) -> Option<PoolShape> {
    let [n, h, w] = draw.sizes(5);
    let (c, out) = (draw.size(40), draw.sizes(3));
    let shape = if draw.one_in(2) {
        PoolShape::adaptive([n, h, w, c], out)
    } else {
        let (kernel, stride, dilation) = (draw.sizes(3), draw.sizes(3), draw.sizes(2));
        let pads = std::array::from_fn(|_| if draw.one_in(2) { 0 } else { draw.size(2) });
        let counts_padding = draw.one_in(2);
        let window = PoolWindow { kernel, stride, dilation, pads, counts_padding };
        PoolShape::sliding([n, h, w, c], &window, out)
    };
    shape.inspect(|shape| draw.say("shape", shape))
}

pub(crate) fn spatial(draw: &mut Draw) -> Option<SpatialMap> {
    let [n, h, w] = draw.sizes(5);
    let shape = [n, h, w, draw.size(40)];
    let edge = draw.pick(&[Edge::Zeros, Edge::Reflect, Edge::Replicate, Edge::Circular]);
    let map = match draw.below(5) {
        0 => SpatialMap::pad(shape, std::array::from_fn(|_| draw.size(3)), edge),
        1 => {
            let resampling = draw.pick(&[
                Resampling::Nearest,
                Resampling::Bilinear,
                Resampling::BilinearAligned,
                Resampling::Bicubic,
            ]);
            let factor = [0.3, 1.0, 2.5, 1e-300, 0.0, f64::NAN];
            if draw.one_in(2) {
                let factor = [draw.pick(&factor), draw.pick(&factor)];
                SpatialMap::resize_by(shape, draw.sizes(6), factor, resampling)
            } else {
                SpatialMap::resize(shape, draw.sizes(6), resampling)
            }
        }
        2 => {
            let (out, kernel) = (draw.sizes(3), draw.sizes(4));
            SpatialMap::blur(shape, out, kernel, draw.sizes(2), draw.sizes(2), edge)
        }
        3 => SpatialMap::scale(shape, 0.5),
        _ => {
            let taps = |draw: &mut Draw| vec![vec![(draw.below(6), 0.5), (draw.below(6), 2.0)]; 2];
            let (rows, cols) = (taps(draw), taps(draw));
            SpatialMap::new(shape, &rows, &cols)
        }
    };
    map.inspect(|map| draw.say("map of", (shape, map.out())))
}

/// A map of channels, and how many go in and out.
pub(crate) fn channels(draw: &mut Draw) -> Option<(ChannelMap, [usize; 2])> {
    let [inputs, outputs] = draw.sizes(40);
    draw.say("channels", [inputs, outputs]);
    if draw.one_in(2) {
        let groups = draw.size(4);
        return ChannelMap::shuffle(inputs, groups).map(|map| (map, [inputs; 2]));
    }
    let [from, count, to] = draw.sizes(12);
    ChannelMap::part(inputs, from, count, outputs, to).map(|map| (map, [inputs, outputs]))
}

pub(crate) fn norm(draw: &mut Draw) -> Option<(NormShape, usize)> {
    let [n, positions, per_group, groups] = draw.sizes(6);
    let c = per_group.wrapping_mul(groups);
    NormShape::new(n, positions, c, groups).map(|shape| (shape, c))
}

/// Attention of any sizes: nothing is checked before it is used. Lengths and channels of queries, keys, values and output.
pub(crate) fn attention(draw: &mut Draw) -> (AttentionShape, [Option<usize>; 4], [usize; 3]) {
    let [n, queries, keys, kv_heads, shared, key_dim] = draw.sizes(4);
    let (value_dim, heads) = (draw.size(20), kv_heads.wrapping_mul(shared));
    let shape =
        AttentionShape { n, queries, keys, heads, kv_heads, key_dim, value_dim, scale: 0.7 };
    draw.say("shape", shape);
    let lens = [
        [n, queries, heads, key_dim],
        [n, keys, kv_heads, key_dim],
        [n, keys, kv_heads, value_dim],
        [n, queries, heads, value_dim],
    ]
    .map(|sizes| product(&sizes));
    let divides = kv_heads > 0 && heads.is_multiple_of(kv_heads);
    draw.refuse_if(!divides || lens.iter().any(|len| matches!(len, None | Some(0))));
    let channels = [[heads, key_dim], [kv_heads, key_dim], [kv_heads, value_dim]];
    (shape, lens, channels.map(|sizes| product(&sizes).unwrap_or(usize::MAX)))
}

/// Every constructor, and every method that takes a number, with numbers of all sizes.
#[test]
fn shapes_of_any_numbers_are_sound_or_refused() {
    let (mut made, mut refused) = (0, 0);
    for seed in 0..calls(4_000) {
        let mut draw = Draw::new(seed);
        let rows = draw.size(4)..draw.size(4);
        let problem = attempt(|| match draw.below(5) {
            0 => conv(&mut draw).map(|(shape, _)| {
                let [inputs, outputs] = [shape.input_len(), shape.output_len()];
                let under = shape.rows_under(rows.start);
                assert!(inputs > 0 && outputs > 0 && shape.weight_len() > 0 && under > 0);
                let band = attempt(|| shape.band(rows.clone()));
                let fits = rows.start < rows.end && rows.end <= shape.output_rows()[0];
                assert_eq!(band.is_ok(), fits, "{rows:?} of {shape:?}");
                if let Ok((band, inputs)) = band {
                    assert_eq!(band.output_rows()[0], rows.len());
                    assert!(inputs.start <= inputs.end && band.input_len() <= shape.input_len());
                }
            }),
            1 => pool(&mut draw).map(|shape| {
                let ([oh, ow], [row, col]) = (shape.out(), [rows.start, rows.end]);
                let pixels = attempt(|| shape.pixels(row, col).next());
                assert_eq!(pixels.is_ok(), row < oh && col < ow);
                assert!(shape.input_len() > 0 && shape.output_len() > 0);
            }),
            2 => spatial(&mut draw).map(|map| {
                let back = map.transposed();
                let lens = [map.input_len(), map.output_len()];
                assert_eq!(lens, [back.output_len(), back.input_len()]);
            }),
            3 => channels(&mut draw).map(|(map, _)| assert_eq!(map, map.reversed().reversed())),
            _ => norm(&mut draw).map(|(shape, _)| assert!(!shape.is_empty())),
        });
        match problem {
            Ok(Some(())) => made += 1,
            Ok(None) => refused += 1,
            Err(message) => panic!("shape {seed}: {message}\n{}", draw.said()),
        }
    }
    assert!(cfg!(miri) || (made > 1_000 && refused > 500), "{made} made, {refused} refused");
}

/// Their products wrap to small numbers, or to none.
#[test]
fn sizes_that_overflow_are_refused_by_every_constructor() {
    let half = 1 << (usize::BITS / 2);
    for shape in [
        [half, half, 1, 1],
        [half, 1, half, 3],
        [usize::MAX, 2, 1, 1],
        [2, 1, 1, 1 << (usize::BITS - 1)],
    ] {
        let [n, h, w, c] = shape;
        assert!(ConvShape::new(shape, 1, [1; 2], [1; 2], [1; 2], [0; 4], 1).is_none());
        assert!(PoolShape::adaptive(shape, [1, 1]).is_none());
        assert!(SpatialMap::scale(shape, 1.0).is_none());
        assert!(NormShape::new(n, h.saturating_mul(w), c, 1).is_none());
    }
    let far = |kernel, dilation, pad, stride| {
        ConvShape::new([1, 4, 4, 1], 1, [kernel; 2], [stride; 2], [dilation; 2], [pad; 4], 1)
    };
    assert!(far(2, usize::MAX, 0, 1).is_none());
    assert!(far(1, 1, usize::MAX, 1).is_none());
    assert!(far(2, usize::MAX / 2, usize::MAX / 2, 1).is_none());
    assert!(far(1, 1, 0, usize::MAX).is_none(), "a step behind the last window must have a number");
    assert!(far(1, 1, 0, usize::MAX / 4).is_none(), "and so must all that a step on both axes is");
    assert!(far(1, 1, 0, 1 << 12).is_some());
}
