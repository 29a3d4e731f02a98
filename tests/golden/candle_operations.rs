//! Every operation case through candle: the functions of `ops` on variables, with gradients from candle's own tape.
//!
//! Above: `main`. Below: `ops`, candle, `candle`, `taper_tests::operation`. Not here: the same cases through executors
//! (`operations`) and through modules (`candle_layers`).
//! Maps become variables channels last, so that nothing but the operation is on the tape. The gradient that arrives is that of
//! `sum(y · dy)`.

use std::collections::BTreeMap;

use candle_core::{DType, Result, Tensor, bail};
use taper_graph::{Activation as Curve, Op, PoolKind, ResizeTo};
use taper_ops::{self as ops, nhwc};
use taper_tests::fixture::Golden;
use taper_tests::operation::Case;

use crate::candle::{
    activation, blur, border, cases, for_every_case, gradients, resampling, rounding, tensor,
    values, variable,
};

/// Operations that candle has itself, with gradients for any layout: `ops` adds none of its own, and models use it beside them. Linear
/// layers and flattening are modules of `layers` as well (`candle_layers`).
const CANDLES: [&str; 7] = ["add", "concat", "flatten", "linear", "mul", "scale", "slice"];

/// How many cases there are, and how many of them go through `ops`: all but those of [`CANDLES`], where a gate is still ours.
const CASES: [usize; 2] = [246, 223];

/// How many cases are of one dimension, and go through the function for sequences too.
const LINES: usize = 10;

#[test]
fn ops_agree_and_cover_every_case() {
    let mut through_ops = 0;
    let run = for_every_case(|case, dtype, limit| check(case, dtype, limit, Dims::Map));
    for case in cases() {
        let is_candles = CANDLES.contains(&case.op.label()) && !is_gate(&case);
        through_ops += usize::from(!is_candles);
    }
    assert_eq!([run, through_ops], CASES);
}

#[test]
fn ops_on_one_thread_and_on_three_agree() {
    for threads in [1, 3] {
        ops::with_threads(threads, || {
            for_every_case(|case, dtype, limit| check(case, dtype, limit, Dims::Map))
        });
    }
}

#[test]
fn ops_for_sequences_agree() {
    let run =
        for_every_case(|case, dtype, limit| is_line(case) && check(case, dtype, limit, Dims::Line));
    assert_eq!(run, LINES);
}

/// Whether a map is seen as it is, or a map of one row as a sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dims {
    Map,
    Line,
}

/// What a function is called with; variables where a gradient is wanted.
struct Arguments {
    xs: Vec<Tensor>,
    params: BTreeMap<String, Tensor>,
}

impl Arguments {
    fn new(case: &Case, dtype: DType) -> Self {
        let xs = case.xs.iter().map(|x| variable(&channels_last(x, dtype))).collect();
        let param = |(name, golden): (&String, &Golden)| {
            let value = tensor(golden, dtype);
            let wanted = case.d_params.contains_key(name);
            (name.clone(), if wanted { variable(&value) } else { value })
        };
        Self { xs, params: case.params.iter().map(param).collect() }
    }

    fn param(&self, name: &str) -> Result<&Tensor> {
        match self.params.get(name) {
            Some(tensor) => Ok(tensor),
            None => bail!("the case has no {name}"),
        }
    }
}

fn channels_last(golden: &Golden, dtype: DType) -> Tensor {
    let xs = tensor(golden, dtype);
    if xs.rank() == 4 { xs.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap() } else { xs }
}

fn check(case: &Case, dtype: DType, limit: f64, dims: Dims) -> bool {
    let case = &Case { name: format!("{} as {dims:?} in {dtype:?}", case.name), ..case.clone() };
    let arguments = Arguments::new(case, dtype);
    let y = apply(case, &arguments, dims).unwrap();
    case.check("y", &values(&y), &case.y.in_kernel_order(), limit);

    let grads = gradients(&y, channels_last(&case.dy, dtype));
    for (i, (x, expected)) in arguments.xs.iter().zip(&case.d_xs).enumerate() {
        let grad = values(grads.get(x).unwrap());
        case.check(&format!("d_x{i}"), &grad, &expected.in_kernel_order(), limit);
    }
    for (name, expected) in &case.d_params {
        let grad = grads.get(&arguments.params[name]).unwrap();
        assert_eq!(grad.dims(), expected.shape, "{} d_{name}", case.name);
        case.check(&format!("d_{name}"), &values(grad), &expected.data, limit);
    }
    check_statistics(case, &arguments, limit);
    true
}

/// Running statistics after the step, and the output in evaluation mode with those before it.
fn check_statistics(case: &Case, arguments: &Arguments, limit: f64) {
    let Op::BatchNorm { eps, momentum } = case.op else {
        assert!(case.updated.is_empty(), "{}", case.name);
        return;
    };
    let [weight, bias, mean, var] = norm(arguments).unwrap();
    let evaluated = nhwc::batch_norm_frozen(&arguments.xs[0], [weight, bias], [mean, var], eps);
    let evaluated = values(&evaluated.unwrap());
    case.check("evaluated", &evaluated, &case.evaluated.in_kernel_order(), limit);
    if case.trained {
        let (_, batch) = nhwc::batch_norm(&arguments.xs[0], weight, bias, eps).unwrap();
        let seen = || case.params["num_batches_tracked"].data[0];
        let momentum = momentum.unwrap_or_else(|| 1.0 / (seen() + 1.0));
        let (mean, var) = batch.running(mean, var, momentum).unwrap();
        for (name, running) in [("running_mean", mean), ("running_var", var)] {
            case.check(name, &values(&running), &case.updated[name].data, limit);
        }
    }
}

/// Weight, bias, running mean and running variance.
fn norm(arguments: &Arguments) -> Result<[&Tensor; 4]> {
    let [weight, bias] = [arguments.param("weight")?, arguments.param("bias")?];
    Ok([weight, bias, arguments.param("running_mean")?, arguments.param("running_var")?])
}

/// Whether the operation has a window over one axis, on a map of one row, so that its form for sequences can take it.
fn is_line(case: &Case) -> bool {
    let window = match &case.op {
        Op::Conv(conv) | Op::ConvTranspose { conv, .. } => &conv.window,
        Op::Pool { window, .. } | Op::LpPool { window, .. } => window,
        Op::AdaptivePool { out: [1, _], .. } => return case.xs[0].shape[2] == 1,
        _ => return false,
    };
    let [top, _, bottom, _] = window.pads([1, case.xs[0].shape[3]]);
    let grows = matches!(case.op, Op::ConvTranspose { output_padding: [more, _], .. } if more > 0);
    case.xs[0].shape[2] == 1 && window.kernel[0] == 1 && top + bottom == 0 && !grows
}

/// Whether a product is of a map and a gate.
fn is_gate(case: &Case) -> bool {
    case.op == Op::Mul && case.xs[0].shape != case.xs[1].shape
}

/// The case's operation.
fn apply(case: &Case, arguments: &Arguments, dims: Dims) -> Result<Tensor> {
    if dims == Dims::Line {
        return line(case, arguments);
    }
    let (xs, param) = (&arguments.xs, |name| arguments.param(name));
    let (x, bias) = (&xs[0], arguments.params.get("bias"));
    let y = match &case.op {
        Op::Conv(conv) => nhwc::conv2d(x, param("weight")?, bias, &conv.window, conv.groups)?,
        Op::ConvTranspose { conv, output_padding: more } => {
            nhwc::conv_transpose2d(x, param("weight")?, bias, &conv.window, *more, conv.groups)?
        }
        Op::BatchNorm { eps, .. } => {
            let [weight, bias, mean, var] = norm(arguments)?;
            if case.trained {
                nhwc::batch_norm(x, weight, bias, *eps)?.0
            } else {
                nhwc::batch_norm_frozen(x, [weight, bias], [mean, var], *eps)?
            }
        }
        Op::GroupNorm { groups, eps } => {
            nhwc::group_norm(x, *groups, param("weight")?, param("bias")?, *eps)?
        }
        Op::LayerNorm { eps } => nhwc::layer_norm(x, param("weight")?, param("bias")?, *eps)?,
        Op::ChannelScale => {
            let gamma = param("gamma")?;
            nhwc::channel_affine(x, gamma, &gamma.detach().zeros_like()?)?
        }
        Op::Activation(Curve::PRelu) => nhwc::prelu(x, param("weight")?)?,
        Op::Activation(curve) => ops::activation(x, activation(*curve)?)?,
        Op::Attention { heads, kv_heads, scale } => {
            nhwc::attention(x, &xs[1], &xs[2], [*heads, *kv_heads], *scale)?
        }
        Op::Shuffle { groups } => nhwc::channel_shuffle(x, *groups)?,
        Op::Mul if is_gate(case) => nhwc::channel_gate(x, &xs[1])?,
        Op::Pad { .. } | Op::Resize { .. } | Op::BlurPool { .. } => resampled(&case.op, x)?,
        op if op.label().ends_with("pool") => pooled(op, x)?,
        _ => candles(case, arguments)?,
    };
    Ok(y)
}

fn pooled(op: &Op, x: &Tensor) -> Result<Tensor> {
    let y = match op {
        Op::Pool { kind: PoolKind::Max, window, ceil } => {
            nhwc::max_pool2d(x, window, rounding(*ceil))?
        }
        Op::Pool { kind, window, ceil } => {
            nhwc::avg_pool2d(x, window, rounding(*ceil), border(*kind))?
        }
        Op::LpPool { p, window, ceil } => nhwc::lp_pool2d(x, *p, window, rounding(*ceil))?,
        Op::AdaptivePool { kind: PoolKind::Max, out, .. } => nhwc::adaptive_max_pool2d(x, *out)?,
        Op::AdaptivePool { out, .. } => nhwc::adaptive_avg_pool2d(x, *out)?,
        Op::GlobalPool { kind, squeeze } => {
            let map = match kind {
                PoolKind::Max => nhwc::global_max_pool2d(x)?,
                _ => nhwc::global_avg_pool2d(x)?,
            };
            if *squeeze { map.flatten_from(1)? } else { map }
        }
        op => bail!("{} is no pool", op.label()),
    };
    Ok(y)
}

fn resampled(op: &Op, x: &Tensor) -> Result<Tensor> {
    let y = match op {
        Op::Pad { sides, mode } => nhwc::pad(x, *sides, *mode)?,
        Op::Resize { out: ResizeTo::Size(out), mode } => {
            nhwc::interpolate(x, *out, resampling(*mode))?
        }
        Op::BlurPool { window } => {
            let [kernel_size, stride] = blur(window);
            nhwc::blur_pool2d(x, kernel_size, stride, window.mode)?
        }
        op => bail!("{} resamples nothing", op.label()),
    };
    Ok(y)
}

/// The operation on sequences `(n, l, c)`.
fn line(case: &Case, arguments: &Arguments) -> Result<Tensor> {
    let x = &arguments.xs[0].squeeze(1)?;
    let filters = || arguments.param("weight")?.squeeze(2);
    let bias = arguments.params.get("bias");
    let y = match &case.op {
        Op::Conv(conv) => nhwc::conv1d(x, &filters()?, bias, &conv.window, conv.groups)?,
        Op::ConvTranspose { conv, output_padding: [_, more] } => {
            nhwc::conv_transpose1d(x, &filters()?, bias, &conv.window, *more, conv.groups)?
        }
        Op::Pool { kind: PoolKind::Max, window, ceil } => {
            nhwc::max_pool1d(x, window, rounding(*ceil))?
        }
        Op::Pool { kind, window, ceil } => {
            nhwc::avg_pool1d(x, window, rounding(*ceil), border(*kind))?
        }
        Op::LpPool { p, window, ceil } => nhwc::lp_pool1d(x, *p, window, rounding(*ceil))?,
        Op::AdaptivePool { kind: PoolKind::Max, out, .. } => nhwc::adaptive_max_pool1d(x, out[1])?,
        Op::AdaptivePool { out, .. } => nhwc::adaptive_avg_pool1d(x, out[1])?,
        op => bail!("{} has no form for sequences", op.label()),
    };
    y.unsqueeze(1)
}

/// The operations that candle has itself.
fn candles(case: &Case, arguments: &Arguments) -> Result<Tensor> {
    let xs = &arguments.xs;
    let last = xs[0].rank() - 1;
    match &case.op {
        Op::Add => &xs[0] + &xs[1],
        Op::Mul => &xs[0] * &xs[1],
        Op::Scale { factor } => &xs[0] * *factor,
        Op::Concat => Tensor::cat(xs, last),
        Op::Slice { start, len } => xs[0].narrow(last, *start, *len),
        Op::Flatten => ops::to_nchw(&xs[0])?.flatten_from(1),
        Op::Linear { .. } => {
            let y = xs[0].matmul(&arguments.param("weight")?.t()?)?;
            arguments.params.get("bias").map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))
        }
        op => bail!("{} is not candle's", op.label()),
    }
}
