//! Every operation case that is a layer, through its module in candle's order: `forward_t` on `(n, c, h, w)`, variables from a `VarMap`.
//!
//! Above: `main`. Below: `layers`, candle, `candle`. Not here: operations that are no layer; the numbers without a module
//! (`candle_operations`).

use candle_core::{DType, Device, ModuleT, Result, Var, bail};
use candle_nn::{VarBuilder, VarMap};
use taper_graph::{Activation as Curve, Bias, Conv, Op, PoolKind, ResizeTo};
use taper_layers::{
    Activate, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, AvgPoolConfig, BatchNorm,
    BatchNormConfig, BlurPool2d, BlurPoolConfig, Conv2d, ConvConfig, ConvTranspose2d,
    ConvTransposeConfig, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, GroupNorm, GroupNormConfig,
    LayerNorm, LayerNormConfig, Linear, LinearConfig, LpPool2d, LpPoolConfig, MaxPool2d, PRelu,
    PReluConfig, Pad2d, PoolConfig, Sequential, Statistics, Target, Upsample,
};
use taper_tests::operation::Case;

use crate::candle::{
    activation, blur, border, for_every_case, gradients, resampling, rounding, tensor, values,
    variable,
};

/// Operations that are functions of candle or of `ops` and no layer: sums, products, gates, layer scale, channels moved, attention.
const NO_LAYER: [&str; 8] =
    ["add", "attention", "channel_scale", "concat", "mul", "scale", "shuffle", "slice"];

/// How many cases are layers.
const CASES: usize = 213;

#[test]
fn layers_agree_in_candles_order() {
    let run = for_every_case(|case, dtype, limit| {
        !NO_LAYER.contains(&case.op.label()) && check(case, dtype, limit)
    });
    assert_eq!(run, CASES);
}

fn check(case: &Case, dtype: DType, limit: f64) -> bool {
    let case = &Case { name: format!("{} as a layer in {dtype:?}", case.name), ..case.clone() };
    let vars = variables(case, dtype);
    let layer = layer(case, VarBuilder::from_varmap(&vars, dtype, &Device::Cpu)).unwrap();
    let x = variable(&tensor(&case.xs[0], dtype));

    let evaluated = layer.forward_t(&x, false).unwrap();
    case.check("evaluated", &values(&evaluated), &case.evaluated.data, limit);
    let y = layer.forward_t(&x, true).unwrap();
    assert_eq!(y.dims(), case.y.shape, "{}", case.name);
    case.check("y", &values(&y), &case.y.data, limit);

    let grads = gradients(&y, tensor(&case.dy, dtype));
    case.check("d_x0", &values(grads.get(&x).unwrap()), &case.d_xs[0].data, limit);
    let vars = vars.data().lock().unwrap();
    for (name, expected) in &case.d_params {
        let grad = values(grads.get(&vars[name]).unwrap());
        case.check(&format!("d_{name}"), &grad, &expected.data, limit);
    }
    for (name, expected) in &case.updated {
        case.check(&format!("updated {name}"), &values(&vars[name]), &expected.data, limit);
    }
    true
}

/// The case's parameters and buffers. PyTorch counts batches in integers.
fn variables(case: &Case, dtype: DType) -> VarMap {
    let (vars, count) = (VarMap::new(), "num_batches_tracked");
    let mut data = vars.data().lock().unwrap();
    for (name, golden) in case.params.iter().filter(|(name, _)| *name != count) {
        data.insert(name.clone(), Var::from_tensor(&tensor(golden, dtype)).unwrap());
    }
    if let Some(golden) = case.params.get(count) {
        let seen = tensor(golden, DType::I64).squeeze(0).unwrap();
        data.insert(count.to_owned(), Var::from_tensor(&seen).unwrap());
    }
    drop(data);
    vars
}

/// The case's layer with the parameters of `vb`.
fn layer(case: &Case, vb: VarBuilder<'_>) -> Result<Box<dyn ModuleT>> {
    let c = case.xs[0].shape[1];
    let bias = if case.has_bias() { Bias::With } else { Bias::Without };
    let layer: Box<dyn ModuleT> = match &case.op {
        Op::Conv(Conv { out, window, groups }) => {
            let config = ConvConfig { groups: *groups, bias, ..ConvConfig::new(c, *out, *window) };
            Box::new(Conv2d::new(config, vb)?)
        }
        Op::ConvTranspose { conv: Conv { out, window, groups }, output_padding } => {
            let config = ConvTransposeConfig::new(c, *out, *window);
            let (output_padding, groups) = (*output_padding, *groups);
            let config = ConvTransposeConfig { output_padding, groups, bias, ..config };
            Box::new(ConvTranspose2d::new(config, vb)?)
        }
        Op::Linear { out } => {
            Box::new(Linear::new(LinearConfig { bias, ..LinearConfig::new(c, *out) }, vb)?)
        }
        Op::BatchNorm { eps, momentum } => {
            let statistics = if case.trained { Statistics::Batch } else { Statistics::Frozen };
            let (eps, momentum) = (*eps, *momentum);
            let config = BatchNormConfig { channels: c, eps, momentum, statistics };
            Box::new(BatchNorm::new(config, vb)?)
        }
        Op::GroupNorm { groups, eps } => {
            let config = GroupNormConfig { eps: *eps, ..GroupNormConfig::new(*groups, c) };
            Box::new(GroupNorm::new(config, vb)?)
        }
        Op::LayerNorm { eps } => {
            Box::new(LayerNorm::new(LayerNormConfig { eps: *eps, channels: c }, vb)?)
        }
        Op::Activation(Curve::PRelu) => {
            let slopes = case.params["weight"].data.len();
            Box::new(PRelu::new(PReluConfig { slopes, ..PReluConfig::default() }, vb)?)
        }
        Op::Activation(curve) => Box::new(Activate(activation(*curve)?)),
        Op::Flatten => Box::new(Flatten),
        op => return pool(op),
    };
    Ok(layer)
}

/// The layers without parameters.
fn pool(op: &Op) -> Result<Box<dyn ModuleT>> {
    let config =
        |window: &_, ceil: &bool| PoolConfig { window: *window, rounding: rounding(*ceil) };
    let layer: Box<dyn ModuleT> = match op {
        Op::Pool { kind: PoolKind::Max, window, ceil } => {
            Box::new(MaxPool2d::new(config(window, ceil))?)
        }
        Op::Pool { kind, window, ceil } => {
            let config = AvgPoolConfig { pool: config(window, ceil), border: border(*kind) };
            Box::new(AvgPool2d::new(config)?)
        }
        Op::LpPool { p, window, ceil } => {
            Box::new(LpPool2d::new(LpPoolConfig { p: *p, pool: config(window, ceil) })?)
        }
        Op::AdaptivePool { kind: PoolKind::Max, out, .. } => {
            Box::new(AdaptiveMaxPool2d::new(*out)?)
        }
        Op::AdaptivePool { out, .. } => Box::new(AdaptiveAvgPool2d::new(*out)?),
        Op::GlobalPool { kind, squeeze } => {
            let global = match kind {
                PoolKind::Max => Sequential::default().add(GlobalMaxPool2d),
                _ => Sequential::default().add(GlobalAvgPool2d),
            };
            Box::new(if *squeeze { global.add(Flatten) } else { global })
        }
        Op::Pad { sides, mode } => Box::new(Pad2d { sides: *sides, mode: *mode }),
        Op::Resize { out: ResizeTo::Size(out), mode } => {
            Box::new(Upsample::new(Target::Size(*out), resampling(*mode))?)
        }
        Op::BlurPool { window } => {
            let ([kernel_size, stride], mode) = (blur(window), window.mode);
            Box::new(BlurPool2d::new(BlurPoolConfig { kernel_size, stride, mode })?)
        }
        op => bail!("{} is no layer", op.label()),
    };
    Ok(layer)
}
