//! What no constructor accepts, and how it says so.

use candle_core::{DType, Device, Module, ModuleT, Tensor};
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

/// What a layer says of an input of this shape in each order: `forward`'s, `forward_nhwc`'s.
fn said<L: ModuleT + ModuleNhwc>(
    build: impl FnOnce(VarBuilder<'_>) -> Result<L>,
    [nchw, nhwc]: [&[usize]; 2],
) -> [String; 2] {
    let vars = VarMap::new();
    let layer = build(var_builder(&vars, 0, DType::F32, &Device::Cpu)).unwrap();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let first = layer.forward_t(&zeros(nchw), true).unwrap_err();
    let last = layer.forward_nhwc(&zeros(nhwc), true).unwrap_err();
    [first, last].map(|error| error.to_string())
}

fn assert_said(said: &[String; 2], parts: [&str; 2]) {
    for (text, part) in said.iter().zip(parts) {
        assert!(text.contains(part), "`{text}` does not say `{part}`");
    }
}

#[test]
fn an_input_of_other_channels_is_at_fault_in_the_callers_order() {
    let shapes: [&[usize]; 2] = [&[1, 4, 8, 6], &[1, 8, 6, 4]];
    let input = [
        "the input has shape [1, 4, 8, 6], expected (n, 3, h, w) for the ",
        "the input has shape [1, 8, 6, 4], expected (n, h, w, 3) for the ",
    ];
    let conv = ConvConfig::new(3, 2, Window::square(3, 1));
    assert_said(&said(|vb| Conv2d::new(conv, vb), shapes), input);
    let depthwise = ConvConfig::depthwise(3, Window::square(3, 1));
    assert_said(&said(|vb| Conv2d::new(depthwise, vb), shapes), input);
    let transposed = ConvTransposeConfig::new(3, 2, Window::square(3, 1));
    assert_said(&said(|vb| ConvTranspose2d::new(transposed, vb), shapes), input);
    assert_said(&said(|vb| BatchNorm::new(BatchNormConfig::new(3), vb), shapes), input);
    let frozen = BatchNormConfig { statistics: Statistics::Frozen, ..BatchNormConfig::new(3) };
    assert_said(&said(|vb| BatchNorm::new(frozen, vb), shapes), input);
    assert_said(&said(|vb| LayerNorm::new(LayerNormConfig::new(3), vb), shapes), input);
    let slopes = PReluConfig { slopes: 3, ..PReluConfig::default() };
    assert_said(&said(|vb| PRelu::new(slopes, vb), shapes), input);
    let block = NormAct::new(Activation::Relu);
    assert_said(&said(|vb| ConvNormAct::new(conv, block, vb), shapes), input);
}

#[test]
fn an_input_of_other_axes_is_at_fault_in_the_callers_order() {
    let pool = |_: VarBuilder<'_>| MaxPool2d::new(PoolConfig::square(2, 2));
    let parts = [
        "the input has shape [4, 8, 6], expected (n, c, h, w)",
        "the input has shape [4, 8, 6], expected (n, h, w, c)",
    ];
    assert_said(&said(pool, [&[4, 8, 6], &[4, 8, 6]]), parts);
    let line = ConvConfig::new(3, 2, Window::line(3, 1));
    let parts = [
        "`conv1d`: the input has shape [2, 4, 7], expected (n, 3, l) for the weight [2, 3, 3]",
        "`conv1d`: the input has shape [2, 7, 4], expected (n, l, 3) for the weight [2, 3, 3]",
    ];
    assert_said(&said(|vb| Conv1d::new(line, vb), [&[2, 4, 7], &[2, 7, 4]]), parts);
    let parts = ["[2, 4], expected (n, c, l)", "[2, 4], expected (n, l, c)"];
    assert_said(&said(|vb| Conv1d::new(line, vb), [&[2, 4], &[2, 4]]), parts);
    let inside = Sequential::default().add(MaxPool2d::new(PoolConfig::square(2, 2)).unwrap());
    let parts = ["expected (n, c, h, w)", "expected (n, h, w, c)"];
    assert_said(&said(|_| Ok(inside), [&[4, 8], &[4, 8]]), parts);
}

#[test]
fn an_input_of_another_type_is_at_fault_and_not_the_weight() {
    let vars = VarMap::new();
    let vb = var_builder(&vars, 0, DType::F32, &Device::Cpu);
    let conv = Conv2d::new(ConvConfig::new(3, 2, Window::square(3, 1)), vb).unwrap();
    let xs = Tensor::zeros((1, 3, 5, 5), DType::F64, &Device::Cpu).unwrap();
    let text = conv.forward(&xs).unwrap_err().to_string();
    assert!(text.contains("the input is f64, expected f32; convert with `to_dtype`"), "{text}");
}

#[test]
fn a_device_is_refused_with_the_cure() {
    let device = || "Cuda { gpu_id: 0 }".to_owned();
    let operation = taper_ops::Error::Device { op: "conv2d", device: device() };
    let input =
        Error::Input { got_dtype: "f32", got: vec![1, 3, 8, 8], device: device(), channels: 3 };
    let storage = Error::Storage { name: "fc.weight".to_owned(), dtype: "f32", device: device() };
    for text in [operation.to_string(), input.to_string(), storage.to_string()] {
        assert!(text.contains("on Cuda") && text.contains("`to_device(&Device::Cpu)`"), "{text}");
    }
}
