//! Positions and channels moved, normalization within a picture, PReLU, attention and transposed convolution against their twins.
//!
//! Above: `main`. Below: `taper_kernels`. Not here: convolution and pooling (`main`).

use proptest::prelude::{Strategy, any, prop_assert, prop_oneof, proptest};
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use taper_kernels::{
    Activation, Affine, AttentionShape, ChannelMap, ConvShape, Cpu, Device, Edge, Isa, Mask,
    NormShape, Reference, Resampling, Sink, Source, SpatialMap,
};

use super::{Stream, close_sums, flags, windows};

/// What surrounds an operation: a pending norm and activation on its input, and what becomes of its gradient.
#[derive(Clone, Copy, Debug)]
struct Around {
    seed: u64,
    normed: bool,
    masked: bool,
    accumulate: bool,
    activation: Activation,
    threads: usize,
}

fn around() -> impl Strategy<Value = Around> {
    flags().prop_map(|(seed, normed, masked, accumulate, activation, threads)| Around {
        seed,
        normed,
        masked,
        accumulate,
        activation,
        threads,
    })
}

/// A tensor with its norm.
struct Held {
    x: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Around {
    fn held(&self, stream: &mut Stream, len: usize, c: usize) -> Held {
        Held { x: stream.vec(len), scale: stream.vec(c), shift: stream.vec(c) }
    }

    fn source<'a>(&self, held: &'a Held) -> Source<'a, f32> {
        let affine = Affine { scale: &held.scale[..], shift: &held.shift[..] };
        Source { data: &held.x, affine: self.normed.then_some(affine), activation: self.activation }
    }

    fn sink<'a>(&self, out: &'a mut [f32], source: Source<'a, f32>) -> Sink<'a, f32> {
        let mask = self.masked.then_some(Mask { source });
        Sink { out, accumulate: self.accumulate, mask, tally: None }
    }

    /// Runs the same on the twin and on every instruction set.
    fn check(
        &self,
        run: impl Fn(&mut dyn Device<f32>) -> Vec<Vec<f32>>,
    ) -> Result<(), TestCaseError> {
        self.check_sums(25, run)
    }

    /// The same where outputs are sums of up to so many terms.
    fn check_sums(
        &self,
        terms: usize,
        run: impl Fn(&mut dyn Device<f32>) -> Vec<Vec<f32>>,
    ) -> Result<(), TestCaseError> {
        let wide = |outs: Vec<Vec<f32>>| -> Vec<Vec<f64>> {
            outs.into_iter().map(|v| v.into_iter().map(f64::from).collect()).collect()
        };
        let truth = wide(run(&mut Reference));
        for isa in Isa::here() {
            let mut cpu = Cpu::with_isa(self.threads, isa).expect("a set of this machine");
            let fast = wide(run(&mut cpu));
            prop_assert!(fast.len() == truth.len());
            for (i, (fast, truth)) in fast.iter().zip(&truth).enumerate() {
                close_sums(&format!("output {i} on {isa:?}"), fast, truth, (terms, 1.0))?;
            }
        }
        Ok(())
    }
}

fn sizes() -> impl Strategy<Value = [usize; 4]> {
    [1..4usize, 1..10usize, 1..10usize, 1..70usize]
}

fn spatial_map() -> impl Strategy<Value = Option<SpatialMap>> {
    let edge = select(&[Edge::Zeros, Edge::Reflect, Edge::Replicate, Edge::Circular][..]);
    let resampling = select(
        &[
            Resampling::Nearest,
            Resampling::Bilinear,
            Resampling::BilinearAligned,
            Resampling::Bicubic,
        ][..],
    );
    let pads = [0..4usize, 0..4usize, 0..4usize, 0..4usize];
    prop_oneof![
        (sizes(), pads, edge.clone()).prop_map(|(s, pads, edge)| SpatialMap::pad(s, pads, edge)),
        (sizes(), [1..15usize, 1..15usize], resampling)
            .prop_map(|(s, out, how)| SpatialMap::resize(s, out, how)),
        (sizes(), [1..6usize, 1..6usize], [1..4usize, 1..4usize], [0..3usize, 0..3usize], edge)
            .prop_map(|(s, kernel, stride, before, edge)| {
                let out = [0, 1].map(|a| {
                    let room = (s[a + 1] + 2 * before[a]).checked_sub(kernel[a]);
                    room.map_or(0, |room| room / stride[a] + 1)
                });
                SpatialMap::blur(s, out, kernel, stride, before, edge)
            }),
        (sizes(), -3.0..3.0f64).prop_map(|(s, factor)| SpatialMap::scale(s, factor)),
    ]
}

proptest! {
    #[test]
    fn spatial_maps_equal_their_twin(map in spatial_map(), a in around()) {
        let Some(map) = map else { return Ok(()) };
        a.check(|device| {
            let mut stream = Stream(a.seed);
            let held = a.held(&mut stream, map.input_len(), map.channels());
            let gradient = stream.vec(map.output_len());
            let (mut y, mut dx) = (vec![0.0; map.output_len()], stream.vec(map.input_len()));
            device.resample(&map, a.source(&held), &mut y);
            device.resample_backward(&map, &gradient, a.sink(&mut dx, a.source(&held)));
            vec![y, dx]
        })?;
    }

    #[test]
    fn moved_channels_equal_their_twin(
        rows in 1..30usize,
        (groups, width) in (1..6usize, 1..20usize),
        (from, to, count) in (0..20usize, 0..20usize, 1..60usize),
        shuffles in any::<bool>(),
        a in around(),
    ) {
        let (in_c, out_c) = if shuffles { (groups * width, groups * width) } else { (from + count + 3, to + count + 5) };
        let map = if shuffles { ChannelMap::shuffle(in_c, groups) } else { ChannelMap::part(in_c, from, count, out_c, to) };
        let map = map.expect("a legal map");
        a.check(|device| {
            let mut stream = Stream(a.seed);
            let held = a.held(&mut stream, rows * in_c, in_c);
            let (gradient, mut y) = (stream.vec(rows * out_c), stream.vec(rows * out_c));
            let mut dx = stream.vec(rows * in_c);
            device.move_channels(rows, &map, a.source(&held), &mut y);
            device.move_channels_backward(rows, &map, &gradient, a.sink(&mut dx, a.source(&held)));
            vec![y, dx]
        })?;
    }

    #[test]
    fn group_norms_equal_their_twin(
        n in 1..4usize,
        positions in 1..30usize,
        (groups, width) in (1..5usize, 1..40usize),
        a in around(),
    ) {
        let c = groups * width;
        let shape = NormShape::new(n, positions, c, groups).expect("a legal shape");
        a.check(|device| {
            let mut stream = Stream(a.seed);
            let held = a.held(&mut stream, shape.len(), c);
            let affine = [stream.vec(c), stream.vec(c)];
            let gradient = stream.vec(shape.len());
            let (mut y, mut dx) = (vec![0.0; shape.len()], stream.vec(shape.len()));
            let (mut d_scale, mut d_shift) = (vec![0.0; c], vec![0.0; c]);
            // The twin's quotients are as ill-conditioned as ours: an eps of one keeps both exact.
            let given = Affine { scale: &affine[0][..], shift: &affine[1][..] };
            device.group_norm(&shape, 1.0, a.source(&held), given, &mut y);
            let d_affine = [Some(&mut d_scale[..]), Some(&mut d_shift[..])];
            let sink = Some(a.sink(&mut dx, a.source(&held)));
            device.group_norm_backward(&shape, 1.0, &gradient, a.source(&held), &affine[0], d_affine, sink);
            vec![y, dx, d_scale, d_shift]
        })?;
    }

    #[test]
    fn prelu_equals_its_twin(rows in 1..300usize, c in 1..70usize, shared in any::<bool>(), a in around()) {
        // A shared slope's gradient sums over all elements.
        let terms = if shared { rows * c } else { rows };
        a.check_sums(terms, |device| {
            let mut stream = Stream(a.seed);
            let held = a.held(&mut stream, rows * c, c);
            let slope = stream.vec(if shared { 1 } else { c });
            let gradient = stream.vec(rows * c);
            let (mut y, mut dx, mut d_slope) = (vec![0.0; rows * c], stream.vec(rows * c), vec![0.0; slope.len()]);
            device.prelu(c, a.source(&held), &slope, &mut y);
            let sink = Some(a.sink(&mut dx, a.source(&held)));
            device.prelu_backward(c, &gradient, a.source(&held), &slope, Some(&mut d_slope), sink);
            vec![y, dx, d_slope]
        })?;
    }

    #[test]
    fn attention_equals_its_twin(
        (n, queries, keys) in (1..3usize, 1..12usize, 1..20usize),
        (kv_heads, shared) in (1..3usize, 1..3usize),
        (key_dim, value_dim) in (1..20usize, 1..20usize),
        a in around(),
    ) {
        let shape = AttentionShape { n, queries, keys, heads: kv_heads * shared, kv_heads, key_dim, value_dim, scale: 0.7 };
        let lens = shape.lens().expect("a legal shape");
        let channels = shape.channels();
        a.check(|device| {
            let mut stream = Stream(a.seed);
            let held = [0, 1, 2].map(|i| a.held(&mut stream, lens[i], channels[i]));
            let qkv = [0, 1, 2].map(|i| a.source(&held[i]));
            let gradient = stream.vec(lens[3]);
            let mut y = vec![0.0; lens[3]];
            let mut d = [0, 1, 2].map(|i| stream.vec(lens[i]));
            device.attention(&shape, qkv, &mut y);
            let [dq, dk, dv] = &mut d;
            let sinks = [Some(a.sink(dq, qkv[0])), Some(a.sink(dk, qkv[1])), Some(a.sink(dv, qkv[2]))];
            device.attention_backward(&shape, &gradient, qkv, sinks);
            let [dq, dk, dv] = d;
            vec![y, dq, dk, dv]
        })?;
    }

    /// `cut` leaves out positions that only output padding reaches.
    #[test]
    fn transposed_convolutions_equal_their_twin(
        (n, h, w) in (1..3usize, 1..12usize, 1..12usize),
        (ic, oc, groups) in (1..10usize, 1..10usize, 1..4usize),
        (kernel, stride, dilation, pads) in windows(),
        depthwise in any::<bool>(),
        cut in any::<bool>(),
        a in around(),
    ) {
        let (c, oc, groups) = if depthwise { (ic * 5, ic * 5, ic * 5) } else { (ic * groups, oc * groups, groups) };
        let Some(shape) = ConvShape::new([n, h, w, c], oc, kernel, stride, dilation, pads, groups) else { return Ok(()) };
        let [oh, ow] = [0, 1].map(|axis| {
            let reach = (kernel[axis] - 1) * dilation[axis] + 1;
            ([h, w][axis] + pads[axis] + pads[axis + 2] - reach) / stride[axis] + 1
        });
        let smaller = [oh.saturating_sub(1).max(1), ow.saturating_sub(1).max(1)];
        let shape = if cut { shape.with_output(smaller).expect("fewer positions") } else { shape };
        a.check(|device| {
            let mut stream = Stream(a.seed);
            let (x, weight, bias) = (stream.vec(shape.output_len()), stream.vec(shape.weight_len()), stream.vec(c));
            let gradient = stream.vec(shape.input_len());
            let (mut y, mut d_weight, mut d_bias) = (vec![0.0; shape.input_len()], vec![0.0; shape.weight_len()], vec![0.0; c]);
            let mut dx = stream.vec(shape.output_len());
            device.conv_transpose(&shape, &x, &weight, Some(&bias), &mut y);
            let mut bare = vec![0.0; shape.input_len()];
            device.conv_transpose(&shape, &x, &weight, None, &mut bare);
            let sink = a.sink(&mut dx, Source { activation: a.activation, ..Source::plain(&x) });
            device.conv_transpose_backward(&shape, &gradient, &x, &weight, Some(&mut d_weight), Some(&mut d_bias), Some(sink));
            vec![y, bare, d_weight, d_bias, dx]
        })?;
    }
}
