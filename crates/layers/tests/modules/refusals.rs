//! What no constructor accepts, and how it says so.

use candle_core::{DType, Device};
use candle_nn::{VarBuilder, VarMap};
use taper_layers::init::var_builder;
use taper_layers::*;

fn refused<T>(build: impl FnOnce(VarBuilder<'_>) -> Result<T>, parts: &[&str]) {
    let vars = VarMap::new();
    let Err(error) = build(var_builder(&vars, 0, DType::F32, &Device::Cpu).pp("net.0")) else {
        panic!("nothing was refused, expected {parts:?}")
    };
    assert!(matches!(error, Error::Layer { .. }), "{error:?}");
    let text = candle_core::Error::from(error).to_string();
    for part in parts {
        assert!(text.contains(part), "`{text}` does not say `{part}`");
    }
    assert!(vars.all_vars().is_empty(), "variables were made");
}

#[test]
fn convolutions_refuse_groups_and_zeros_at_their_place() {
    let config = ConvConfig::new(6, 8, Window::square(3, 1));
    let uneven = ConvConfig { groups: 4, ..config };
    refused(
        |vb| Conv2d::new(uneven, vb),
        &["`net.0`", "6 input channels cannot be split into 4 groups"],
    );
    refused(|vb| Conv2d::new(ConvConfig { groups: 0, ..config }, vb), &["into 0 groups"]);
    refused(
        |vb| Conv2d::new(ConvConfig { out_channels: 0, ..config }, vb),
        &["output channels [0] has a zero"],
    );
    let still = Window { stride: [1, 0], ..config.window };
    refused(|vb| Conv2d::new(ConvConfig { window: still, ..config }, vb), &["stride [1, 0]"]);
    refused(|vb| Conv1d::new(config, vb), &["see `Window::line`"]);
}

#[test]
fn transposed_convolutions_refuse_paddings() {
    let config = ConvTransposeConfig::new(4, 4, Window::square(3, 2));
    let far = ConvTransposeConfig { output_padding: [2, 0], ..config };
    refused(|vb| ConvTranspose2d::new(far, vb), &["output padding [2, 0] must be smaller"]);
    let same = Window { padding: Padding::Same, ..config.window };
    let same = ConvTransposeConfig { window: same, ..config };
    refused(|vb| ConvTranspose2d::new(same, vb), &["explicit or valid"]);
    let high = ConvTransposeConfig { output_padding: [1, 0], window: Window::line(3, 2), ..config };
    refused(|vb| ConvTranspose1d::new(high, vb), &["output padding [1, 0]"]);
}

#[test]
fn pools_refuse_windows_of_padding() {
    let outside = Window { padding: Padding::symmetric(3), ..Window::square(3, 1) };
    let config = PoolConfig { window: outside, ..PoolConfig::square(3, 1) };
    refused(|_| MaxPool2d::new(config), &["`MaxPool2d`", "nothing but padding"]);
    refused(|_| AvgPool2d::new(config.into()), &["`AvgPool2d`"]);
    refused(|_| LpPool2d::new(LpPoolConfig { p: 0.0, pool: config }), &["p is 0"]);
    refused(|_| MaxPool1d::new(PoolConfig::square(2, 2)), &["see `Window::line`"]);
    refused(|_| AdaptiveMaxPool2d::new([1, 0]), &["output size [1, 0] has a zero"]);
    refused(|_| Upsample::new(Target::Times([0, 1]), Resampling::Nearest), &["target [0, 1]"]);
    let config = BlurPoolConfig { stride: 0, ..BlurPoolConfig::default() };
    refused(|_| BlurPool2d::new(config), &["kernel size and stride [3, 0]"]);
}

#[test]
fn norms_and_gates_refuse_their_numbers() {
    refused(|vb| GroupNorm::new(GroupNormConfig::new(3, 4), vb), &["4 channels", "3 groups"]);
    let config = LayerNormConfig { eps: -1.0, ..LayerNormConfig::new(4) };
    refused(|vb| LayerNorm::new(config, vb), &["eps is -1, expected positive and finite"]);
    refused(
        |vb| SqueezeExcite::new(SqueezeExciteConfig::new(8, 0), vb),
        &["`net.0.conv_reduce`", "output channels [0]"],
    );
    refused(|vb| Linear::new(LinearConfig::new(0, 2), vb), &["features (out, in) [2, 0]"]);
    let config = PReluConfig { slopes: 0, ..PReluConfig::default() };
    refused(|vb| PRelu::new(config, vb), &["slopes [0] has a zero"]);
}
