//! A generator of small networks around one operation, over its whole legal space.
//!
//! Above: `main`. Below: `taper_graph`. Not here: what is checked.
//! The operation reads a trained convolution, so that its input's gradient shows in the convolution's, with a norm and an activation
//! pending or not. What the graph refuses is drawn again.

use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use taper_graph::{
    Activation, Bias, Conv, Graph, GraphBuilder, NodeId, Op, PadMode, Padding, ParamRole, PoolKind,
    ResizeMode, ResizeTo, Result, Window,
};

/// Of all norms: so large that dividing by a spread of few values blows up no rounding, in any precision.
const EPS: f64 = 1.0;

/// A network, its parameters, a batch.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) graph: Graph,
    pub(crate) params: Vec<Vec<f64>>,
    pub(crate) images: Vec<f64>,
    pub(crate) shape: [usize; 3],
    pub(crate) threads: usize,
    seed: u64,
}

/// The node under test.
#[derive(Clone, Debug)]
enum Subject {
    /// Reads the map.
    One(Op, Bias),
    /// Reads the map and another convolution of it, in this order or the other.
    Two(Op, bool),
    /// Reads the map twice.
    Twice(Op),
    /// A gate over the map.
    Gate,
    /// Queries, keys and values by convolutions of the map; or the map in the places of all three.
    Attention { op: Op, widths: [usize; 2], itself: bool },
}

#[derive(Clone, Copy, Debug)]
struct Around {
    normed: bool,
    activation: Option<Activation>,
    followed: bool,
    threads: usize,
    seed: u64,
}

fn values(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // What single precision can hold, so that both precisions see the same numbers.
        f64::from(((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0) as f32)
    };
    (0..len).map(|_| next()).collect()
}

impl Problem {
    /// The gradient of the output.
    pub(crate) fn upstream(&self, len: usize) -> Vec<f64> {
        values(self.seed ^ 0x5555, len)
    }
}

fn pair<S: Strategy + Clone>(one: S) -> [S; 2] {
    [one.clone(), one]
}

fn window(kernels: std::ops::Range<usize>) -> impl Strategy<Value = Window> + Clone {
    let modes = [PadMode::Zeros, PadMode::Reflect, PadMode::Replicate, PadMode::Circular];
    let padding = prop_oneof![
        [0..3usize, 0..3usize, 0..3usize, 0..3usize].prop_map(|[top, left, bottom, right]| {
            Padding::Explicit { top, left, bottom, right }
        }),
        Just(Padding::Same),
        Just(Padding::Valid),
    ];
    let numbers = (pair(kernels), pair(1..4usize), pair(1..3usize));
    (numbers, padding, select(modes.to_vec())).prop_map(
        |((kernel, stride, dilation), padding, mode)| Window {
            kernel,
            stride,
            dilation,
            padding,
            mode,
        },
    )
}

/// Channels of a convolution of `c`: dense, grouped, depthwise with a multiplier.
fn groups(c: usize) -> impl Strategy<Value = (usize, usize)> + Clone {
    let divisors: Vec<usize> = (1..=c).filter(|g| c.is_multiple_of(*g)).collect();
    (select(divisors), 1..4usize).prop_map(|(groups, each)| (groups * each, groups))
}

fn bias() -> impl Strategy<Value = Bias> + Clone {
    select(&[Bias::With, Bias::Without][..])
}

fn convolutions(c: usize) -> BoxedStrategy<Subject> {
    let conv =
        (groups(c), window(1..4)).prop_map(|((out, groups), window)| Conv { out, window, groups });
    let transposed = (conv.clone(), pair(0..3usize), bias()).prop_map(|(conv, extra, bias)| {
        let mode = PadMode::Zeros;
        let conv = Conv { window: Window { mode, ..conv.window }, ..conv };
        Subject::One(Op::ConvTranspose { conv, output_padding: extra }, bias)
    });
    let plain = (conv, bias()).prop_map(|(conv, bias)| Subject::One(Op::Conv(conv), bias));
    prop_oneof![2 => plain, 1 => transposed].boxed()
}

fn pools() -> BoxedStrategy<Subject> {
    let kinds = [PoolKind::Max, PoolKind::Avg, PoolKind::AvgWithoutPadding];
    let one = |op| Subject::One(op, Bias::Without);
    prop_oneof![
        (select(kinds.to_vec()), window(1..5), any::<bool>())
            .prop_map(move |(kind, window, ceil)| one(Op::Pool { kind, window, ceil })),
        (select(&[1.0, 2.0, 3.0, 2.5][..]), window(1..4), any::<bool>())
            .prop_map(move |(p, window, ceil)| one(Op::LpPool { p, window, ceil })),
        (window(1..6)).prop_map(move |window| {
            one(Op::BlurPool { window: Window { dilation: [1, 1], ..window } })
        }),
        (select(kinds.to_vec()), pair(1..9usize), any::<bool>())
            .prop_map(move |(kind, out, at_least)| one(Op::AdaptivePool { kind, out, at_least })),
        (select(kinds.to_vec()), any::<bool>())
            .prop_map(move |(kind, squeeze)| one(Op::GlobalPool { kind, squeeze })),
    ]
    .boxed()
}

fn positions() -> BoxedStrategy<Subject> {
    let one = |op| Subject::One(op, Bias::Without);
    let modes = [
        ResizeMode::Nearest,
        ResizeMode::Bilinear,
        ResizeMode::BilinearAligned,
        ResizeMode::Bicubic,
    ];
    let pads = [PadMode::Zeros, PadMode::Reflect, PadMode::Replicate, PadMode::Circular];
    let sides = [0..4usize, 0..4usize, 0..4usize, 0..4usize];
    prop_oneof![
        (resize_to(), select(modes.to_vec())).prop_map(move |(out, mode)| match out {
            ResizeTo::Like => Subject::Two(Op::Resize { out, mode }, true),
            ResizeTo::Size(_) | ResizeTo::Factor(_) => one(Op::Resize { out, mode }),
        }),
        (sides, select(pads.to_vec())).prop_map(move |(sides, mode)| one(Op::Pad { sides, mode })),
        (-2.0..2.0f64).prop_map(move |factor| one(Op::Scale { factor })),
    ]
    .boxed()
}

fn resize_to() -> impl Strategy<Value = ResizeTo> + Clone {
    prop_oneof![
        pair(1..9usize).prop_map(ResizeTo::Size),
        pair(0.4..3.0f64).prop_map(ResizeTo::Factor),
        Just(ResizeTo::Like),
    ]
}

fn channels(c: usize) -> BoxedStrategy<Subject> {
    let one = |op| Subject::One(op, Bias::Without);
    let divisors: Vec<usize> = (1..=c).filter(|g| c.is_multiple_of(*g)).collect();
    let norms = divisors.clone();
    let momentum = select(&[Some(0.1), Some(0.5), None][..]);
    prop_oneof![
        (0..c, 1..=c).prop_map(move |(start, len)| one(Op::Slice { start, len })),
        select(divisors).prop_map(move |groups| one(Op::Shuffle { groups })),
        select(norms).prop_map(move |groups| one(Op::GroupNorm { groups, eps: EPS })),
        momentum.prop_map(move |momentum| one(Op::BatchNorm { eps: EPS, momentum })),
        Just(one(Op::LayerNorm { eps: EPS })),
        Just(one(Op::ChannelScale)),
        Just(one(Op::Activation(Activation::PRelu))),
        activation().prop_map(move |f| one(Op::Activation(f))),
        select(&[0.0, 0.5][..]).prop_map(move |p| one(Op::Dropout { p })),
        select(&[0.0, 0.5][..]).prop_map(move |p| one(Op::DropPath { p })),
        any::<bool>().prop_map(|first| Subject::Two(Op::Concat, first)),
        any::<bool>().prop_map(|first| Subject::Two(Op::Add, first)),
        any::<bool>().prop_map(|first| Subject::Two(Op::Mul, first)),
        select(vec![Op::Add, Op::Mul, Op::Concat]).prop_map(Subject::Twice),
        Just(Subject::Gate),
    ]
    .boxed()
}

/// Smooth ones, or with corners that random values do not meet.
fn activation() -> impl Strategy<Value = Activation> + Clone {
    select(
        &[
            Activation::Silu,
            Activation::Tanh,
            Activation::Sigmoid,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Mish,
            Activation::HardSwish,
            Activation::HardSigmoid,
            Activation::LeakyRelu { slope: 0.2 },
            Activation::Relu,
            Activation::Relu6,
        ][..],
    )
}

fn attention() -> BoxedStrategy<Subject> {
    (1..3usize, 1..3usize, 1..5usize, 1..5usize, any::<bool>())
        .prop_map(|(kv_heads, shared, key, value, itself)| {
            let heads = kv_heads * shared;
            let op = Op::Attention { heads, kv_heads, scale: 0.6 };
            Subject::Attention { op, widths: [key, value], itself }
        })
        .boxed()
}

fn around() -> impl Strategy<Value = Around> {
    (any::<bool>(), proptest::option::of(activation()), any::<bool>(), 1..4usize, any::<u64>())
        .prop_map(|(normed, activation, followed, threads, seed)| Around {
            normed,
            activation,
            followed,
            threads,
            seed,
        })
}

/// A problem around any operation.
pub(crate) fn problem() -> impl Strategy<Value = Problem> {
    let subject = (1..9usize).prop_flat_map(|c| {
        let subjects = prop_oneof![
            3 => convolutions(c),
            2 => pools(),
            1 => positions(),
            3 => channels(c),
            1 => attention(),
        ];
        (Just(c), subjects)
    });
    (subject, [2..4usize, 1..8usize, 1..8usize], around())
        .prop_filter_map("the graph refuses it", |((c, subject), shape, around)| {
            make(c, &subject, shape, around)
        })
}

fn make(c: usize, subject: &Subject, shape: [usize; 3], around: Around) -> Option<Problem> {
    let graph = build(c, subject, around).ok()?;
    let [n, h, w] = shape;
    graph.extents(h, w).ok()?;
    let images = values(around.seed, n * h * w * graph.input_channels());
    let params = graph.params().iter().enumerate().map(|(i, spec)| {
        let drawn = values(around.seed ^ (i as u64 + 1), spec.len());
        let (center, spread) = match spec.role {
            ParamRole::NormScale | ParamRole::RunningVar => (1.0, 0.4),
            ParamRole::BatchesTracked => (3.0, 0.0),
            _ => (0.1, 0.8),
        };
        drawn.into_iter().map(|v| f64::from((center + spread * v) as f32)).collect()
    });
    let params = params.collect();
    let problem =
        Problem { params, images, shape, threads: around.threads, seed: around.seed, graph };
    // Pooling windows in the padding alone are refused with the sizes known; a batch norm needs two values.
    let held: Vec<&[f64]> = problem.params.iter().map(Vec::as_slice).collect();
    let trained = vec![true; held.len()];
    let mut trainer =
        taper_engine::Trainer::new(&problem.graph, "y", &trained, taper_engine::Reference).ok()?;
    trainer.forward(&held, &problem.images, shape, 7).ok()?;
    drop(trainer);
    Some(problem)
}

fn build(c: usize, subject: &Subject, around: Around) -> Result<Graph> {
    let mut b = GraphBuilder::new(2)?;
    let mut xs = b.conv("before", b.input(), Conv::pointwise(c), Bias::Without)?;
    if around.normed {
        xs = b.batch_norm("norm", xs, EPS, 0.1)?;
    }
    if let Some(activation) = around.activation {
        xs = b.activation("act", xs, activation)?;
    }
    let mut ys = add_subject(&mut b, xs, c, subject)?;
    if around.followed {
        // Something to be pending on the operation, and something that reads it.
        ys = b.batch_norm("after_norm", ys, EPS, 0.1)?;
        ys = b.activation("after", ys, Activation::Silu)?;
    }
    b.output("y", ys)?;
    b.build()
}

fn add_subject(b: &mut GraphBuilder, xs: NodeId, c: usize, subject: &Subject) -> Result<NodeId> {
    match subject {
        Subject::One(op, bias) => b.push("op", op.clone(), &[xs], *bias),
        Subject::Two(op, first) => {
            let other = b.conv("other", xs, Conv::pointwise(c), Bias::With)?;
            let inputs = if *first { [xs, other] } else { [other, xs] };
            b.push("op", op.clone(), &inputs, Bias::Without)
        }
        Subject::Twice(op) => b.push("op", op.clone(), &[xs, xs], Bias::Without),
        Subject::Gate => {
            let gate = b.global_pool("squeeze", xs, PoolKind::Avg, false)?;
            let gate = b.conv("excite", gate, Conv::pointwise(c), Bias::With)?;
            let gate = b.activation("gate", gate, Activation::Sigmoid)?;
            b.mul("op", xs, gate)
        }
        Subject::Attention { op, widths: [key, value], itself } => {
            let Op::Attention { heads, kv_heads, .. } = *op else { return Ok(xs) };
            if *itself {
                let q = b.conv("q", xs, Conv::pointwise(heads * key), Bias::With)?;
                let op = Op::Attention { heads, kv_heads: heads, scale: 0.6 };
                return b.push("op", op, &[q, q, q], Bias::Without);
            }
            let q = b.conv("q", xs, Conv::pointwise(heads * key), Bias::With)?;
            let k = b.conv("k", xs, Conv::dense(kv_heads * key, 1, 2), Bias::Without)?;
            let k = b.batch_norm("k_norm", k, EPS, 0.1)?;
            let v = b.conv("v", xs, Conv::dense(kv_heads * value, 1, 2), Bias::With)?;
            b.push("op", op.clone(), &[q, k, v], Bias::Without)
        }
    }
}
