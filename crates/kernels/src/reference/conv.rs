//! Convolution by its definition: seven nested loops, forward, and both gradients.
//!
//! Above: `reference`. Below: `ConvShape`, `Source`. Not here: any choice of algorithm.
//! Source: torch.nn.functional.conv2d, checked through `engine` in tests/golden.

use crate::{ConvGradient, ConvShape, Epilogue, Moments, Real, Source};

/// Calls `f(output index, output channel, input index, input channel, weight index)` for every product of the convolution.
fn products(s: &ConvShape, mut f: impl FnMut(usize, usize, usize, usize, usize)) {
    let (ic_per, oc_per) = (s.c / s.groups, s.oc / s.groups);
    let [kh, kw] = s.kernel;
    for (n, oh, ow) in positions(s) {
        for oc in 0..s.oc {
            let out = ((n * s.oh + oh) * s.ow + ow) * s.oc + oc;
            for i in 0..ic_per {
                let ic = oc / oc_per * ic_per + i;
                for (u, v) in (0..kh).flat_map(|u| (0..kw).map(move |v| (u, v))) {
                    let ih = (oh * s.stride[0] + u * s.dilation[0]).checked_sub(s.top);
                    let iw = (ow * s.stride[1] + v * s.dilation[1]).checked_sub(s.left);
                    let (Some(ih), Some(iw)) = (ih, iw) else { continue };
                    if ih < s.h && iw < s.w {
                        let x = ((n * s.h + ih) * s.w + iw) * s.c + ic;
                        f(out, oc, x, ic, ((oc * ic_per + i) * kh + u) * kw + v);
                    }
                }
            }
        }
    }
}

fn positions(s: &ConvShape) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
    let (n, oh, ow) = (s.n, s.oh, s.ow);
    (0..n).flat_map(move |n| (0..oh).flat_map(move |h| (0..ow).map(move |w| (n, h, w))))
}

/// `y[n,oh,ow,o] = act(Σ_{i,u,v} x[n, oh·s + u·d − top, ow·s + v·d − left, i] · w[o,i,u,v] + bias[o] + residual)`.
pub(super) fn forward<T: Real>(
    s: &ConvShape,
    xs: Source<'_, T>,
    weight: &[T],
    epilogue: Epilogue<'_, T>,
    y: &mut [T],
) {
    y.fill(T::default());
    products(s, |out, _, x, ic, w| y[out] += xs.at(x, ic) * weight[w]);
    for (i, y) in y.iter_mut().enumerate() {
        let mut sum = *y;
        if let Some(bias) = epilogue.bias {
            sum += bias[i % s.oc];
        }
        if let Some(residual) = epilogue.residual {
            sum += residual[i];
        }
        *y = epilogue.activation.apply(sum);
    }
}

/// `dw[o,i,u,v] = Σ_{n,oh,ow} dy · x`.
pub(super) fn weight_gradient<T: Real>(
    s: &ConvShape,
    gradient: ConvGradient<'_, T>,
    xs: Source<'_, T>,
    d_weight: &mut [T],
) {
    d_weight.fill(T::default());
    products(s, |out, oc, x, ic, w| d_weight[w] += gradient.at(out, oc) * xs.at(x, ic));
}

/// `dx[n,ih,iw,i] = Σ_{o,u,v} dy · w`.
pub(super) fn input_gradient<T: Real>(
    s: &ConvShape,
    gradient: ConvGradient<'_, T>,
    weight: &[T],
) -> Vec<T> {
    let mut dx = vec![T::default(); s.input_len()];
    products(s, |out, oc, x, _, w| dx[x] += gradient.at(out, oc) * weight[w]);
    dx
}

/// Mean and biased variance in two passes.
pub(super) fn moments<T: Real>(
    c: usize,
    y: &[T],
    Moments { mean: to_mean, var: to_var }: Moments<'_, T>,
) {
    let count = (y.len() / c) as f64;
    for channel in 0..c {
        let values = || y.iter().skip(channel).step_by(c).map(|v| v.to_f64());
        let mean = values().sum::<f64>() / count;
        to_mean[channel] = T::from_f64(mean);
        to_var[channel] =
            T::from_f64(values().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count);
    }
}
