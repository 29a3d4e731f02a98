//! An operation on slices, and the one adapter that makes candle operations with gradients of all of them.
//!
//! Above: every operation of this crate. Below: `element`, candle's custom ops. Not here: checks of shapes, done before `apply`.
//! All gradients of an operation come out of one call, since a convolution's share their work; so the backward pass reads the
//! storages of its tensors itself instead of calling a second custom op, which could have one output only.
//! An empty batch never reaches a kernel: its output is empty and the gradients of its other arguments are zeros.

use std::sync::Arc;

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Shape, Storage, Tensor,
};
use taper_kernels::{Sink, Source};

use crate::element::{Element, threads};
use crate::error::{Error, Result, within};

/// Up to three inputs, one output, in any element type.
pub(crate) trait Operation: Send + Sync + 'static {
    const NAME: &'static str;

    /// The function that was called, where several share an operation.
    fn name(&self) -> &'static str {
        Self::NAME
    }

    /// Overwrites `y`.
    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]);

    /// Overwrites the gradient of every input that is wanted; they come as zeros.
    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        inputs: &[&[T]],
        gradient: &[T],
        wanted: InputGrads<'_, T>,
    );
}

/// Room for the gradients of the inputs; none for one without a tape.
pub(crate) type InputGrads<'a, T> = [Option<&'a mut [T]>; 3];

/// A shared operation, for one that remembers something of its forward pass.
impl<O: Operation> Operation for Arc<O> {
    const NAME: &'static str = O::NAME;

    fn name(&self) -> &'static str {
        O::name(self)
    }

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        O::forward(self, device, inputs, y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        inputs: &[&[T]],
        gradient: &[T],
        wanted: InputGrads<'_, T>,
    ) {
        O::backward(self, device, inputs, gradient, wanted);
    }
}

/// A gradient to overwrite.
pub(crate) fn sink<T>(out: &mut [T]) -> Sink<'_, T> {
    Sink { out, accumulate: false, mask: None, tally: None }
}

/// Writes what reading `xs` gives, rows of `c` channels.
pub(crate) fn read<T: Element>(device: &mut T::Device, c: usize, xs: Source<'_, T>, y: &mut [T]) {
    use taper_kernels::Device;
    let ones = vec![T::from_f64(1.0); c];
    device.mul(1, y.len() / c, c, xs, Source::plain(&ones), y);
}

/// Runs an operation on contiguous copies, where needed, of its inputs; the output has shape `shape`.
pub(crate) fn apply<O: Operation>(
    op: O,
    xs: &Tensor,
    others: [Option<&Tensor>; 2],
    shape: impl Into<Shape>,
) -> Result<Tensor> {
    let (name, dtype) = (op.name(), xs.dtype());
    check(name, "the input", xs)?;
    for parameter in others.into_iter().flatten() {
        check(name, "a parameter", parameter)?;
        if parameter.dtype() != dtype {
            let (got, expected) = (dtype.as_str(), parameter.dtype().as_str());
            return Err(Error::DType { op: name, argument: "the input", got, expected });
        }
    }
    let applied = Applied { op, shape: shape.into(), threads: threads() };
    let run = || {
        let xs = xs.contiguous()?;
        match others {
            [None, _] => xs.apply_op1(applied),
            [Some(a), None] => xs.apply_op2(&a.contiguous()?, applied),
            [Some(a), Some(b)] => xs.apply_op3(&a.contiguous()?, &b.contiguous()?, applied),
        }
    };
    run().map_err(within(name))
}

/// Refuses what no device here runs.
fn check(op: &'static str, argument: &'static str, tensor: &Tensor) -> Result<()> {
    if !tensor.device().is_cpu() {
        return Err(Error::Device { op, device: format!("{:?}", tensor.device().location()) });
    }
    if !matches!(tensor.dtype(), DType::F32 | DType::F64) {
        let got = tensor.dtype().as_str();
        return Err(Error::DType { op, argument, got, expected: "f32 or f64" });
    }
    Ok(())
}

/// An operation with all that its passes need.
struct Applied<O> {
    op: O,
    shape: Shape,
    threads: usize,
}

impl<O: Operation> Applied<O> {
    fn forward(
        &self,
        inputs: &[(&CpuStorage, &Layout)],
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let storage = match inputs[0].0 {
            CpuStorage::F64(_) => f64::storage(self.forward_in(inputs)?),
            _ => f32::storage(self.forward_in(inputs)?),
        };
        Ok((storage, self.shape.clone()))
    }

    fn forward_in<T: Element>(
        &self,
        inputs: &[(&CpuStorage, &Layout)],
    ) -> candle_core::Result<Vec<T>> {
        let slices: candle_core::Result<Vec<&[T]>> =
            inputs.iter().map(|(storage, layout)| slice(storage, layout)).collect();
        let (slices, mut y) = (slices?, vec![T::default(); self.shape.elem_count()]);
        if !y.is_empty() && !slices[0].is_empty() {
            T::on_device(self.threads, |device| self.op.forward(device, &slices, &mut y));
        }
        Ok(y)
    }

    fn backward(&self, args: &[&Tensor], gradient: &Tensor) -> candle_core::Result<Gradients> {
        match gradient.dtype() {
            DType::F64 => self.backward_in::<f64>(args, gradient),
            _ => self.backward_in::<f32>(args, gradient),
        }
    }

    fn backward_in<T: Element>(
        &self,
        args: &[&Tensor],
        gradient: &Tensor,
    ) -> candle_core::Result<Gradients> {
        let gradient = gradient.contiguous()?;
        let is_empty = gradient.elem_count() == 0 || args[0].elem_count() == 0;
        let mut gradients: [Option<Vec<T>>; 3] = std::array::from_fn(|i| {
            let arg = args.get(i).filter(|arg| arg.track_op())?;
            Some(vec![T::default(); arg.elem_count()])
        });
        if !is_empty {
            let guards: Vec<_> =
                args.iter().chain([&&gradient]).map(|tensor| tensor.storage_and_layout()).collect();
            let slices = guards.iter().map(|(storage, layout)| match &**storage {
                Storage::Cpu(storage) => slice(storage, layout),
                _ => candle_core::bail!("`{}` runs on the CPU", self.op.name()),
            });
            let slices = slices.collect::<candle_core::Result<Vec<&[T]>>>()?;
            let (inputs, gradient) = (&slices[..args.len()], slices[args.len()]);
            let wanted = gradients.each_mut().map(|room| room.as_deref_mut());
            T::on_device(self.threads, |device| {
                self.op.backward(device, inputs, gradient, wanted);
            });
        }
        let mut tensors = Gradients::default();
        for ((tensor, values), arg) in tensors.iter_mut().zip(gradients).zip(args) {
            *tensor = values.map(|values| T::tensor(values, arg.shape())).transpose()?;
        }
        Ok(tensors)
    }
}

type Gradients = [Option<Tensor>; 3];

/// The elements of a contiguous tensor.
fn slice<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::slice(storage)?[start..end]),
        None => candle_core::bail!("a tensor of shape {:?} is not contiguous", layout.shape()),
    }
}

impl<O: Operation> CustomOp1 for Applied<O> {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward(&[(s, l)])
    }

    fn bwd(
        &self,
        arg: &Tensor,
        _res: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let [d, ..] = self.backward(&[arg], gradient)?;
        Ok(d)
    }
}

impl<O: Operation> CustomOp2 for Applied<O> {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward(&[(s1, l1), (s2, l2)])
    }

    fn bwd(
        &self,
        arg1: &Tensor,
        arg2: &Tensor,
        _res: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let [d1, d2, _] = self.backward(&[arg1, arg2], gradient)?;
        Ok((d1, d2))
    }
}

impl<O: Operation> CustomOp3 for Applied<O> {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward(&[(s1, l1), (s2, l2), (s3, l3)])
    }

    fn bwd(
        &self,
        arg1: &Tensor,
        arg2: &Tensor,
        arg3: &Tensor,
        _res: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [d1, d2, d3] = self.backward(&[arg1, arg2, arg3], gradient)?;
        Ok((d1, d2, d3))
    }
}
