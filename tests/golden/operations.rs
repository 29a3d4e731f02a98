//! Every operation of a graph against PyTorch: output, every gradient, updated buffers, and the output in evaluation mode.
//!
//! Above: `main`. Below: `engine::{Trainer, Session}`, `taper_tests::operation`. Not here: the same cases through candle ops.
//! An executor gives gradients of parameters alone, so the inputs are parameters here: weights of a convolution that unfolds one
//! pixel to a map. The image `(n, 1, 1, n)` is 1 where image and channel are equal, the kernel is as large as the map and padded
//! until each of its taps meets the pixel once; what leaves it is the input to the bit, and its weight's gradient the input's.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use taper_engine::{Cpu, Device, Isa, Real, Reference, Session, Trainer};
use taper_graph::{Bias, Conv, Graph, GraphBuilder, NodeId, Op, Padding, PoolKind, Window};
use taper_tests::fixture::Golden;
use taper_tests::operation::{Case, FAMILIES};

use crate::networks::to_f64;

/// Of the largest magnitude of a tensor.
const F64: f64 = 1e-9;
const F32: f64 = 1e-5;

/// How the inputs reach the operation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Feed {
    /// From the convolution, which takes a norm or an activation into itself.
    Direct,
    /// Over a pool of one element a window, so that the operation stands alone.
    Copied,
    /// As `Direct`, but frozen: the parameters' gradients alone are computed.
    Frozen,
}

const FEEDS: [Feed; 3] = [Feed::Direct, Feed::Copied, Feed::Frozen];

#[test]
fn in_f64_on_the_reference() {
    for_every_case(|case, feed| check_step::<f64, _>(case, feed, Reference, F64));
}

#[test]
fn in_f32_on_the_reference() {
    for_every_case(|case, feed| check_step::<f32, _>(case, feed, Reference, F32));
}

#[test]
fn in_f32_on_every_instruction_set() {
    for_every_case(|case, feed| {
        for isa in Isa::here() {
            for threads in [1, 3] {
                let cpu = Cpu::with_isa(threads, isa).unwrap();
                let case = Case { name: format!("{} on {cpu:?}", case.name), ..case.clone() };
                check_step::<f32, _>(&case, feed, cpu, F32);
            }
        }
    });
}

/// Not `input`, which computes nothing, nor `dropout` and `drop_path`, whose chance is not PyTorch's.
#[test]
fn every_operation_has_cases() {
    let labels: BTreeSet<&str> = cases().map(|case| case.op.label()).collect();
    let expected = [
        "activation",
        "adaptive_pool",
        "add",
        "attention",
        "batch_norm",
        "blur_pool",
        "channel_scale",
        "concat",
        "conv",
        "conv_transpose",
        "flatten",
        "global_pool",
        "group_norm",
        "layer_norm",
        "linear",
        "lp_pool",
        "mul",
        "pad",
        "pool",
        "resize",
        "scale",
        "shuffle",
        "slice",
    ];
    assert_eq!(labels, BTreeSet::from(expected));
}

#[test]
fn in_sessions() {
    for_every_case(|case, feed| {
        for threads in [1, 3] {
            check_session(case, feed, threads);
        }
    });
}

fn cases() -> impl Iterator<Item = Case> {
    FAMILIES.iter().flat_map(|family| Case::all(family))
}

/// Runs a check on every case and feed, and fails with the names of those that failed; what they panicked with is in the output.
fn for_every_case(check: impl Fn(&Case, Feed)) {
    let mut failed = Vec::new();
    for case in cases() {
        for feed in FEEDS {
            if feed == Feed::Direct && needs_known_sizes(&case.op) {
                continue;
            }
            if catch_unwind(AssertUnwindSafe(|| check(&case, feed))).is_err() {
                failed.push(format!("{} {feed:?}", case.name));
            }
        }
    }
    assert!(failed.is_empty(), "{} checks failed: {failed:#?}", failed.len());
}

/// Whether a graph refuses the operation on maps whose size depends on the image.
fn needs_known_sizes(op: &Op) -> bool {
    matches!(op, Op::Flatten | Op::Mul)
}

/// A case as a network.
struct Net {
    graph: Graph,
    node: NodeId,
    /// By `ParamId`, in f64.
    params: Vec<Vec<f64>>,
    trained: Vec<bool>,
    /// `(n, 1, 1, n)`.
    image: Vec<f64>,
    shape: [usize; 3],
}

impl Net {
    fn new(case: &Case, feed: Feed) -> Self {
        let n = case.xs[0].shape[0];
        let mut b = GraphBuilder::new(n).unwrap();
        let inputs: Vec<NodeId> = case
            .xs
            .iter()
            .enumerate()
            .map(|(i, x)| carry(&mut b, &format!("x{i}"), x, feed, needs_known_sizes(&case.op)))
            .collect();
        let bias = if case.has_bias() { Bias::With } else { Bias::Without };
        let node = b.push("op", case.op.clone(), &inputs, bias).unwrap();
        b.output("y", node).unwrap();
        let graph = b.build().unwrap();
        let params = graph.params().iter().map(|spec| value_of(case, &spec.name, spec.len()));
        let is_trained = |name: &str| match name.strip_prefix("op.") {
            Some(_) => case.trained,
            None => feed != Feed::Frozen,
        };
        Self {
            params: params.collect(),
            trained: graph.params().iter().map(|spec| is_trained(&spec.name)).collect(),
            image: (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect(),
            shape: [n, 1, 1],
            graph,
            node,
        }
    }
}

/// Rows and columns of an input; a vector has one of each.
fn size_of(x: &Golden) -> [usize; 2] {
    if let [_, _, h, w] = x.shape[..] { [h, w] } else { [1, 1] }
}

/// The nodes whose output is `x`, if the weight of the first is [`unfolded`].
fn carry(b: &mut GraphBuilder, name: &str, x: &Golden, feed: Feed, is_sized: bool) -> NodeId {
    let kernel @ [h, w] = size_of(x);
    let (top, left) = (h - 1, w - 1);
    let padding = Padding::Explicit { top, left, bottom: top, right: left };
    let window = Window { kernel, padding, ..Window::point() };
    let conv = Conv { out: x.shape[1], window, groups: 1 };
    let node = b.conv(name, b.input(), conv, Bias::Without).unwrap();
    let copy = format!("{name}_copy");
    if x.shape.len() == 2 {
        b.global_pool(&copy, node, PoolKind::Avg, true).unwrap()
    } else if kernel == [1, 1] && is_sized {
        b.global_pool(&copy, node, PoolKind::Avg, false).unwrap()
    } else if feed == Feed::Copied || is_sized {
        let op = Op::AdaptivePool { kind: PoolKind::Avg, out: kernel, at_least: false };
        b.push(&copy, op, &[node], Bias::Without).unwrap()
    } else {
        node
    }
}

/// `(n, c, h, w)` as the weight `(c, n, h, w)` whose taps lie the other way round; the same way back.
fn unfolded(data: &[f64], [n, c]: [usize; 2]) -> Vec<f64> {
    let positions = data.len() / (n * c);
    let plane = |image: usize, channel: usize| {
        let start = (image * c + channel) * positions;
        data[start..start + positions].iter().rev().copied()
    };
    (0..c).flat_map(|channel| (0..n).flat_map(move |image| plane(image, channel))).collect()
}

/// The value of the parameter of that name, `len` elements: an input of the case or a parameter, of which PReLU's may be one for
/// all channels.
fn value_of(case: &Case, name: &str, len: usize) -> Vec<f64> {
    if let Some(slot) = name.strip_prefix("op.") {
        let golden = &case.params[slot].data;
        golden.iter().copied().cycle().take(len).collect()
    } else {
        let x = input_of(name).map(|i| &case.xs[i]).unwrap();
        unfolded(&x.data, [x.shape[0], x.shape[1]])
    }
}

/// The input that a parameter carries: 2 for `x2.weight`.
fn input_of(name: &str) -> Option<usize> {
    name.strip_prefix('x')?.strip_suffix(".weight")?.parse().ok()
}

fn check_step<T: Real, D: Device<T>>(case: &Case, feed: Feed, device: D, limit: f64) {
    let cast = |values: &[f64]| values.iter().map(|&v| T::from_f64(v)).collect::<Vec<T>>();
    let net = Net::new(case, feed);
    let params: Vec<Vec<T>> = net.params.iter().map(|values| cast(values)).collect();
    let params: Vec<&[T]> = params.iter().map(Vec::as_slice).collect();
    let mut trainer = Trainer::new(&net.graph, "y", &net.trained, device).unwrap();

    let y = to_f64(trainer.forward(&params, &cast(&net.image), net.shape, 0).unwrap());
    case.check("y", &y, &case.y.in_kernel_order(), limit);

    let mut grads = vec![Vec::new(); params.len()];
    trainer.backward(&params, &cast(&case.dy.in_kernel_order()), &mut grads).unwrap();
    let mut compared = 0;
    for (spec, grad) in net.graph.params().iter().zip(&grads).filter(|(_, grad)| !grad.is_empty()) {
        check_gradient(case, &spec.name, &to_f64(grad), limit);
        compared += 1;
    }
    let inputs = if feed == Feed::Frozen { 0 } else { case.xs.len() };
    assert_eq!(compared, inputs + case.d_params.len(), "{}: gradients", case.name);

    let updated = trainer.running_statistics(&params);
    for (id, values) in &updated {
        let slot = net.graph.param(*id).name.strip_prefix("op.").unwrap();
        case.check(&format!("updated {slot}"), &to_f64(values), &case.updated[slot].data, limit);
    }
    assert_eq!(updated.len(), case.updated.len(), "{}: updated buffers", case.name);
}

fn check_gradient(case: &Case, name: &str, grad: &[f64], limit: f64) {
    if let Some(slot) = name.strip_prefix("op.") {
        let expected = &case.d_params[slot].data;
        if expected.len() == grad.len() {
            case.check(&format!("d_{slot}"), grad, expected, limit);
        } else {
            // One number for all channels: its gradient is their sum.
            case.check(&format!("d_{slot}"), &[grad.iter().sum()], expected, limit);
        }
    } else {
        let i = input_of(name).unwrap();
        let [n, c] = [case.xs[i].shape[0], case.xs[i].shape[1]];
        case.check(&format!("d_x{i}"), &unfolded(grad, [c, n]), &case.d_xs[i].data, limit);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the fixtures' inputs were drawn as f32")]
fn check_session(case: &Case, feed: Feed, threads: usize) {
    let cast = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let net = Net::new(case, feed);
    let params: Vec<Vec<f32>> = net.params.iter().map(|values| cast(values)).collect();
    let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
    let mut session = Session::of_nodes(&net.graph, &params, &[net.node], [1, 1], threads).unwrap();
    let y = to_f64(session.run(&cast(&net.image), net.shape).unwrap());
    case.check("y of a session", &y, &case.evaluated.in_kernel_order(), F32);
}
