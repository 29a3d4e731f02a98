//! One random call of one operation of a device.
//!
//! Above: `main`. Below: `draw`, `shapes`. Not here: what only the fast device has (`packed`).

use taper_kernels::{Activation, ConvGradient, Device, Epilogue, Moments, NormGradient, Pooling};

use super::Written;
use super::draw::{Draw, Tensor, product, told_by_slices, wide};
use super::shapes;

type Operation = fn(&mut dyn Device<f32>, &mut Draw) -> Option<Written>;

const OPERATIONS: [(&str, Operation); 25] = [
    ("conv_forward", conv_forward),
    ("conv_backward", conv_backward),
    ("conv_transpose", conv_transpose),
    ("conv_transpose_backward", conv_transpose_backward),
    ("add", add),
    ("copy", copy),
    ("pass", pass),
    ("mul", mul),
    ("mul_backward", mul_backward),
    ("pool_forward", pool_forward),
    ("pool_backward", pool_backward),
    ("windows_forward", windows_forward),
    ("windows_backward", windows_backward),
    ("flatten", flatten),
    ("flatten_backward", flatten_backward),
    ("resample", resample),
    ("resample_backward", resample_backward),
    ("move_channels", move_channels),
    ("move_channels_backward", move_channels_backward),
    ("group_norm", group_norm),
    ("group_norm_backward", group_norm_backward),
    ("prelu", prelu),
    ("prelu_backward", prelu_backward),
    ("attention", attention),
    ("attention_backward", attention_backward),
];

/// The operation that a draw begins with.
pub(crate) fn name(draw: &mut Draw) -> &'static str {
    draw.pick(&OPERATIONS).0
}

/// A random call; nothing is called, and nothing written, where there is no such shape.
pub(crate) fn call(device: &mut dyn Device<f32>, draw: &mut Draw) -> Written {
    let (_, operation) = draw.pick(&OPERATIONS);
    operation(device, draw).unwrap_or_default()
}

fn conv_forward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let (s, [c, oc]) = shapes::conv(draw)?;
    let (xs, weight) =
        (draw.tensor("input", Some(s.input_len()), c), draw.values("weight", Some(s.weight_len())));
    let mut y = draw.values("output", Some(s.output_len()));
    let bias = draw.some_values("bias", Some(oc));
    let residual = draw.some_values("residual", Some(s.output_len()));
    let mut moments = draw
        .one_in(3)
        .then(|| [draw.values("means", Some(oc)), draw.values("variances", Some(oc))]);
    let activation = draw.pick(&[Activation::Identity, Activation::Relu, Activation::HardSwish]);
    let epilogue = Epilogue { bias: bias.as_deref(), residual: residual.as_deref(), activation };
    draw.refuse_if(moments.is_some() && !epilogue.is_empty());
    let to = moments.as_mut().map(|[mean, var]| Moments { mean, var });
    device.conv_forward(&s, xs.source(), &weight, epilogue, &mut y, to);
    let mut written = vec![wide(&y)];
    written.extend(moments.iter().flatten().map(|values| wide(values)));
    Some(written)
}

fn conv_backward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let (s, [c, oc]) = shapes::conv(draw)?;
    let dz = draw.values("gradient", Some(s.output_len()));
    let norm = draw.one_in(3).then(|| {
        let y = draw.values("output of the norm", Some(s.output_len()));
        (y, ["a", "b", "c"].map(|what| draw.values(what, Some(oc))))
    });
    let norm = norm.as_ref().map(|(y, [a, b, c])| NormGradient { y, a, b, c });
    let weight = draw.values("weight", Some(s.weight_len()));
    let mut d_weight = draw.some_values("weight gradient", Some(s.weight_len()));
    let mut d_bias = draw.some_values("bias gradient", Some(oc));
    let mut dx = draw.some_target("input gradient", Some(s.input_len()), c);
    // Without the weight's gradient nobody reads the input, and any will do.
    let xs = match &d_weight {
        Some(_) => draw.tensor("input", Some(s.input_len()), c),
        None => draw.unread(),
    };
    let gradient = ConvGradient { dz: &dz, norm };
    let sink = dx.as_mut().map(|dx| dx.sink());
    device.conv_backward(
        &s,
        gradient,
        xs.source(),
        &weight,
        d_weight.as_deref_mut(),
        d_bias.as_deref_mut(),
        sink,
    );
    let mut written: Written = [d_weight, d_bias].iter().flatten().map(|d| wide(d)).collect();
    written.extend(dx.into_iter().flat_map(|dx| dx.written()));
    Some(written)
}

fn conv_transpose(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let (s, [c, _]) = shapes::conv(draw)?;
    let xs = draw.values("input", Some(s.output_len()));
    let weight = draw.values("weight", Some(s.weight_len()));
    let bias = draw.some_values("bias", Some(c));
    let mut y = draw.values("output", Some(s.input_len()));
    device.conv_transpose(&s, &xs, &weight, bias.as_deref(), &mut y);
    Some(vec![wide(&y)])
}

fn conv_transpose_backward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let (s, [c, oc]) = shapes::conv(draw)?;
    let gradient = draw.values("gradient", Some(s.input_len()));
    let xs = draw.values("input", Some(s.output_len()));
    let weight = draw.values("weight", Some(s.weight_len()));
    let mut d_weight = draw.some_values("weight gradient", Some(s.weight_len()));
    let mut d_bias = draw.some_values("bias gradient", Some(c));
    let mut dx = draw.some_target("input gradient", Some(s.output_len()), oc);
    let sink = dx.as_mut().map(|dx| dx.sink());
    device.conv_transpose_backward(
        &s,
        &gradient,
        &xs,
        &weight,
        d_weight.as_deref_mut(),
        d_bias.as_deref_mut(),
        sink,
    );
    let mut written: Written = [d_weight, d_bias].iter().flatten().map(|d| wide(d)).collect();
    written.extend(dx.into_iter().flat_map(|dx| dx.written()));
    Some(written)
}

fn add(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let [rows, c] = draw.sizes(20);
    draw.refuse_if(c == 0);
    let len = told_by_slices(rows, c);
    let (a, b) = (draw.tensor("a", len, c), draw.tensor("b", len, c));
    let mut out = draw.values("output", len);
    let activation = draw.pick(&[Activation::Identity, Activation::Relu6, Activation::Tanh]);
    device.add(c, a.source(), b.source(), activation, &mut out);
    Some(vec![wide(&out)])
}

fn copy(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let [rows, c] = draw.sizes(20);
    draw.refuse_if(c == 0);
    let len = told_by_slices(rows, c);
    let xs = draw.tensor("input", len, c);
    let mut out = draw.values("output", len);
    device.copy(c, xs.source(), &mut out);
    Some(vec![wide(&out)])
}

fn pass(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let [rows, c] = draw.sizes(20);
    draw.refuse_if(c == 0);
    let len = told_by_slices(rows, c);
    let gradient = draw.values("gradient", len);
    let mut to = draw.target("output", len, c);
    device.pass(c, &gradient, to.sink());
    Some(to.written())
}

fn mul(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let [n, positions, c] = draw.sizes(12);
    draw.refuse_if(c == 0);
    let len = product(&[n, positions, c]);
    let (xs, gate) = (draw.tensor("input", len, c), draw.tensor("gate", product(&[n, c]), c));
    let mut out = draw.values("output", len);
    device.mul(n, positions, c, xs.source(), gate.source(), &mut out);
    Some(vec![wide(&out)])
}

fn mul_backward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let [n, positions, c] = draw.sizes(12);
    draw.refuse_if(c == 0);
    let (len, gates) = (product(&[n, positions, c]), product(&[n, c]));
    let gradient = draw.values("gradient", len);
    let factors = [draw.tensor("input", len, c), draw.tensor("gate", gates, c)];
    let (mut dx, mut dgate) =
        (draw.some_target("input gradient", len, c), draw.some_target("gate gradient", gates, c));
    let sinks = [dx.as_mut().map(|to| to.sink()), dgate.as_mut().map(|to| to.sink())];
    let factors = factors.each_ref().map(Tensor::source);
    device.mul_backward(n, positions, c, &gradient, factors, sinks);
    Some([dx, dgate].into_iter().flatten().flat_map(|to| to.written()).collect())
}

fn pool_forward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let [n, positions, c] = draw.sizes(12);
    draw.refuse_if(c == 0 || positions == 0);
    let xs = draw.tensor("input", product(&[n, positions, c]), c);
    let mut y = draw.values("output", product(&[n, c]));
    device.pool_forward(n, positions, c, xs.source(), &mut y);
    Some(vec![wide(&y)])
}

fn pool_backward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let [n, positions, c] = draw.sizes(12);
    draw.refuse_if(c == 0 || positions == 0);
    let gradient = draw.values("gradient", product(&[n, c]));
    let mut to = draw.target("input gradient", product(&[n, positions, c]), c);
    device.pool_backward(n, positions, c, &gradient, to.sink());
    Some(to.written())
}

const POOLINGS: [Pooling; 4] =
    [Pooling::Max, Pooling::Mean, Pooling::Lp { p: 2.0 }, Pooling::Lp { p: 3.5 }];

fn windows_forward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let (s, pooling) = (shapes::pool(draw)?, draw.pick(&POOLINGS));
    let xs = draw.plain("input", Some(s.input_len()));
    let mut y = draw.values("output", Some(s.output_len()));
    device.windows_forward(&s, pooling, xs.source(), &mut y);
    Some(vec![wide(&y)])
}

fn windows_backward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let (s, pooling) = (shapes::pool(draw)?, draw.pick(&POOLINGS));
    let gradient = draw.values("gradient", Some(s.output_len()));
    let xs = draw.plain("input", Some(s.input_len()));
    let mut to = draw.target("input gradient", Some(s.input_len()), s.channels());
    device.windows_backward(&s, pooling, &gradient, xs.source(), to.sink());
    Some(to.written())
}

fn flatten(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let [n, positions, c] = draw.sizes(12);
    draw.refuse_if(c == 0);
    let len = product(&[n, positions, c]);
    let (xs, mut y) = (draw.tensor("input", len, c), draw.values("output", len));
    device.flatten(n, positions, c, xs.source(), &mut y);
    Some(vec![wide(&y)])
}

fn flatten_backward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let [n, positions, c] = draw.sizes(12);
    draw.refuse_if(c == 0);
    let len = product(&[n, positions, c]);
    let (gradient, mut to) = (draw.values("gradient", len), draw.target("input gradient", len, c));
    device.flatten_backward(n, positions, c, &gradient, to.sink());
    Some(to.written())
}

fn resample(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let map = shapes::spatial(draw)?;
    let xs = draw.tensor("input", Some(map.input_len()), map.channels());
    let mut y = draw.values("output", Some(map.output_len()));
    device.resample(&map, xs.source(), &mut y);
    Some(vec![wide(&y)])
}

fn resample_backward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let map = shapes::spatial(draw)?;
    let gradient = draw.values("gradient", Some(map.output_len()));
    let mut to = draw.target("input gradient", Some(map.input_len()), map.channels());
    device.resample_backward(&map, &gradient, to.sink());
    Some(to.written())
}

fn move_channels(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let (map, [inputs, outputs]) = shapes::channels(draw)?;
    let rows = draw.size(12);
    let xs = draw.tensor("input", product(&[rows, inputs]), inputs);
    let mut y = draw.values("output", product(&[rows, outputs]));
    device.move_channels(rows, &map, xs.source(), &mut y);
    Some(vec![wide(&y)])
}

fn move_channels_backward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let (map, [inputs, outputs]) = shapes::channels(draw)?;
    let rows = draw.size(12);
    let gradient = draw.values("gradient", product(&[rows, outputs]));
    let mut to = draw.target("input gradient", product(&[rows, inputs]), inputs);
    device.move_channels_backward(rows, &map, &gradient, to.sink());
    Some(to.written())
}

fn group_norm(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let (s, c) = shapes::norm(draw)?;
    let xs = draw.tensor("input", Some(s.len()), c);
    let [scale, shift] = ["scale", "shift"].map(|what| draw.values(what, Some(c)));
    let mut y = draw.values("output", Some(s.len()));
    let affine = taper_kernels::Affine { scale: &scale, shift: &shift };
    device.group_norm(&s, 0.1, xs.source(), affine, &mut y);
    Some(vec![wide(&y)])
}

fn group_norm_backward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let (s, c) = shapes::norm(draw)?;
    let (gradient, xs) =
        (draw.values("gradient", Some(s.len())), draw.tensor("input", Some(s.len()), c));
    let scale = draw.values("scale", Some(c));
    let mut d = ["scale gradient", "shift gradient"].map(|what| draw.some_values(what, Some(c)));
    let mut to = draw.some_target("input gradient", Some(s.len()), c);
    let sink = to.as_mut().map(|to| to.sink());
    let d_affine = d.each_mut().map(|d| d.as_deref_mut());
    device.group_norm_backward(&s, 0.1, &gradient, xs.source(), &scale, d_affine, sink);
    let mut written: Written = d.iter().flatten().map(|d| wide(d)).collect();
    written.extend(to.into_iter().flat_map(|to| to.written()));
    Some(written)
}

fn prelu(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let [rows, c] = draw.sizes(20);
    draw.refuse_if(c == 0);
    let len = product(&[rows, c]);
    let xs = draw.plain("input", len);
    let slope = slopes(draw, c);
    let mut y = draw.values("output", len);
    device.prelu(c, xs.source(), &slope, &mut y);
    Some(vec![wide(&y)])
}

fn prelu_backward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let [rows, c] = draw.sizes(20);
    draw.refuse_if(c == 0);
    let len = product(&[rows, c]);
    let (gradient, xs) = (draw.values("gradient", len), draw.plain("input", len));
    let slope = slopes(draw, c);
    let mut d_slope = draw.some_values("slope gradient", Some(slope.len()));
    let mut to = draw.some_target("input gradient", len, c);
    let sink = to.as_mut().map(|to| to.sink());
    device.prelu_backward(c, &gradient, xs.source(), &slope, d_slope.as_deref_mut(), sink);
    let mut written: Written = d_slope.iter().map(|d| wide(d)).collect();
    written.extend(to.into_iter().flat_map(|to| to.written()));
    Some(written)
}

/// One slope or one a channel; a wrong number of them may happen to be one or the other.
fn slopes(draw: &mut Draw, c: usize) -> Vec<f32> {
    let len = if draw.one_in(2) { 1 } else { c };
    let before = draw.is_illegal();
    let slope = draw.values("slopes", Some(len));
    if !before && [1, c].contains(&slope.len()) {
        draw.accept();
    }
    slope
}

fn attention(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let (s, lens, channels) = shapes::attention(draw);
    let [q, k, v] = [0, 1, 2].map(|i| draw.tensor("one of q, k, v", lens[i], channels[i]));
    let mut y = draw.values("output", lens[3]);
    device.attention(&s, [q.source(), k.source(), v.source()], &mut y);
    Some(vec![wide(&y)])
}

fn attention_backward(device: &mut dyn Device<f32>, draw: &mut Draw) -> Option<Written> {
    let (s, lens, channels) = shapes::attention(draw);
    let gradient = draw.values("gradient", lens[3]);
    let [q, k, v] = [0, 1, 2].map(|i| draw.tensor("one of q, k, v", lens[i], channels[i]));
    let mut to = [0, 1, 2].map(|i| draw.some_target("a gradient", lens[i], channels[i]));
    let sinks = to.each_mut().map(|to| to.as_mut().map(|to| to.sink()));
    device.attention_backward(&s, &gradient, [q.source(), k.source(), v.source()], sinks);
    Some(to.into_iter().flatten().flat_map(|to| to.written()).collect())
}
