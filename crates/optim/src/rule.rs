//! The contract of an update rule: what one step does to one parameter, and what the rule may know for it.
//!
//! Above: `optimizer`, and every file of `rules`. Below: `taper_kernels::Real`. Not here: groups, threads and saved state (`optimizer`).
//! A rule sees slices of equal length, of any part of a parameter: its values, its gradient, and one vector per entry of [`Rule::slots`].
//! What depends on the whole parameter comes in passes: sums that one pass gives are told to the next.

use taper_kernels::{Loops, Real, vectorized};

use crate::Result;

/// What a parameter is for, as far as rules care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// A weight of a convolution or of a linear layer, or anything of which nothing is said.
    #[default]
    Weight,
    /// A weight of the layer that gives the outputs.
    Head,
    /// A scale, shift or bias.
    Other,
}

/// What a rule may know of a parameter besides its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamInfo<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape; of a convolution `(out, in / groups, height, width)`.
    pub shape: &'a [usize],
    /// What it is for.
    pub role: Role,
}

/// The numbers of one step of one parameter.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Learning rate, the group's factor included.
    pub lr: f64,
    /// The group's weight decay.
    pub weight_decay: f64,
    /// Which step of this parameter this is, counted from 1; steps without a gradient do not count.
    pub step: u64,
    /// The parameter.
    pub param: ParamInfo<'a>,
    /// Euclidean norm of the gradients of all parameters together; 0 unless [`Rule::needs_grad_norm`].
    pub grad_norm: f64,
    /// The parameter's [`Rule::numbers`], after [`Rule::advance`].
    pub numbers: &'a [f64],
    /// Which pass over the parameter this is, counted from 0.
    pub pass: usize,
    /// What the pass before gave, summed over the whole parameter; zeros in the first.
    pub sums: Sums,
}

impl<'a> Step<'a> {
    /// A step of a parameter of which nothing else is known: one pass, no numbers.
    ///
    /// # Examples
    /// ```
    /// use taper_optim::{Cells, Rule, Sgd, Slices, Step};
    /// let (mut param, grad) = ([1.0f32, 2.0], [0.5, 0.5]);
    /// let cells = Slices { param: &mut param, grad: &grad, slots: &mut [] };
    /// Sgd::default().update(&Step::new("w", &[2]).at(0.1, 0.0, 1), Cells::F32(cells));
    /// assert_eq!(param, [0.95, 1.95]);
    /// ```
    pub fn new(name: &'a str, shape: &'a [usize]) -> Self {
        let param = ParamInfo { name, shape, role: Role::default() };
        let (grad_norm, numbers, sums) = (0.0, &[][..], Sums::default());
        Step { lr: 0.0, weight_decay: 0.0, step: 1, param, grad_norm, numbers, pass: 0, sums }
    }

    /// The same with this learning rate and weight decay, as the step with this number, counted from 1.
    #[must_use]
    pub fn at(self, lr: f64, weight_decay: f64, step: u64) -> Self {
        Step { lr, weight_decay, step, ..self }
    }
}

/// Two numbers that a pass sums over a parameter.
pub type Sums = [f64; 2];

/// A part of a parameter, in its precision.
#[derive(Debug)]
pub enum Cells<'a> {
    /// Of `f32`.
    F32(Slices<'a, f32>),
    /// Of `f64`.
    F64(Slices<'a, f64>),
}

/// Values of a part of a parameter: slices of equal length.
#[derive(Debug)]
pub struct Slices<'a, T> {
    /// The parameter's.
    pub param: &'a mut [T],
    /// The gradient's.
    pub grad: &'a [T],
    /// Of each of [`Rule::slots`], in that order.
    pub slots: &'a mut [&'a mut [T]],
}

/// A vector that is kept for a parameter, of its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its name in saved state: that of PyTorch or timm.
    pub name: &'static str,
    /// What it holds before the first step.
    pub begins: Begins,
}

impl Slot {
    /// A vector that begins as zeros.
    pub const fn zeros(name: &'static str) -> Self {
        Self { name, begins: Begins::Zeros }
    }
}

/// What a slot holds before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// Zeros.
    Zeros,
    /// Ones.
    Ones,
    /// The parameter's values.
    Parameter,
}

/// How a parameter is gone over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    /// How often, 1 or more.
    pub count: usize,
    /// Whether each time as a whole, or in parts by several threads.
    pub whole: bool,
}

impl Passes {
    /// Once, in parts: every value by itself.
    pub const ONCE: Self = Self { count: 1, whole: false };
}

/// How a parameter moves along its gradient.
///
/// # Examples
/// A rule of one's own: the sign of the gradient.
/// ```
/// use candle_core::{Device, Var};
/// use taper_optim::{Cells, Group, Optimizer, Rule, Step, Sums};
///
/// struct SignSgd;
///
/// impl Rule for SignSgd {
///     fn check(&self) -> taper_optim::Result<()> {
///         Ok(())
///     }
///     fn update(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums {
///         match cells {
///             Cells::F32(it) => it.param.iter_mut().zip(it.grad).for_each(|(p, g)| *p -= step.lr as f32 * g.signum()),
///             Cells::F64(it) => it.param.iter_mut().zip(it.grad).for_each(|(p, g)| *p -= step.lr * g.signum()),
///         }
///         [0.0; 2]
///     }
/// }
///
/// let w = Var::new(&[3.0f64, -2.0], &Device::Cpu)?;
/// let mut optimizer = Optimizer::from_groups(vec![Group::new("all", vec![("w".into(), w.clone())])], SignSgd)?;
/// optimizer.step_at(&w.sqr()?.sum_all()?.backward()?, 0.5)?;
/// assert_eq!(w.to_vec1::<f64>()?, [2.5, -1.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Rule: Sync {
    /// The vectors kept for a parameter. The default has none.
    fn slots(&self, param: &ParamInfo<'_>) -> Vec<Slot> {
        let _ = param;
        Vec::new()
    }

    /// Names of single numbers kept for a parameter, as saved state spells them; they begin at 1. The default has none.
    fn numbers(&self) -> &'static [&'static str] {
        &[]
    }

    /// Refuses settings outside their range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) with the field's name.
    fn check(&self) -> Result<()>;

    /// How a parameter is gone over. The default is [`Passes::ONCE`].
    fn passes(&self, param: &ParamInfo<'_>, weight_decay: f64) -> Passes {
        let _ = (param, weight_decay);
        Passes::ONCE
    }

    /// Whether [`Step::grad_norm`] is wanted. The default says no.
    fn needs_grad_norm(&self) -> bool {
        false
    }

    /// Changes the numbers of a parameter before the first pass of a step. The default leaves them.
    fn advance(&self, step: u64, numbers: &mut [f64]) {
        let _ = (step, numbers);
    }

    /// Makes a pass of a step over a part of a parameter, or over all of it. What is returned is summed over all parts, in their order.
    fn update(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums;
}

impl<R: Rule + ?Sized> Rule for Box<R> {
    fn slots(&self, param: &ParamInfo<'_>) -> Vec<Slot> {
        (**self).slots(param)
    }

    fn numbers(&self) -> &'static [&'static str] {
        (**self).numbers()
    }

    fn check(&self) -> Result<()> {
        (**self).check()
    }

    fn passes(&self, param: &ParamInfo<'_>, weight_decay: f64) -> Passes {
        (**self).passes(param, weight_decay)
    }

    fn needs_grad_norm(&self) -> bool {
        (**self).needs_grad_norm()
    }

    fn advance(&self, step: u64, numbers: &mut [f64]) {
        (**self).advance(step, numbers);
    }

    fn update(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums {
        (**self).update(step, cells)
    }
}

/// Rounds a setting to the precision of the parameters, as PyTorch does when it multiplies a tensor by a Python number.
pub(crate) fn round<T: Real>(value: f64) -> T {
    T::from_f64(value)
}

/// `1 − βᵗ`.
pub(crate) fn correction(beta: f64, step: u64) -> f64 {
    1.0 - beta.powf(as_f64(step))
}

#[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^53")]
pub(crate) fn as_f64(step: u64) -> f64 {
    step as f64
}

/// A rule whose formula is written once for both precisions.
pub(crate) trait Formula {
    /// `#[inline(always)]`, with all that it calls in its loops.
    fn apply<T: Real>(&self, step: &Step<'_>, slices: Slices<'_, T>) -> Sums;

    /// The formula in the precision of the cells, in vectors as long as the machine has.
    fn in_precision_of(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums
    where
        Self: Sized,
    {
        let mut sums = NO_SUMS;
        match cells {
            Cells::F32(slices) => vectorized(Applied(self, step, slices, &mut sums)),
            Cells::F64(slices) => vectorized(Applied(self, step, slices, &mut sums)),
        }
        sums
    }
}

/// A formula that is about to be applied.
struct Applied<'f, 's, 'a, 'm, F, T>(&'f F, &'f Step<'s>, Slices<'a, T>, &'m mut Sums);

impl<F: Formula, T: Real> Loops for Applied<'_, '_, '_, '_, F, T> {
    #[inline(always)]
    fn run(self) {
        let Self(formula, step, slices, sums) = self;
        *sums = formula.apply(step, slices);
    }
}

/// What a pass gives that sums nothing.
pub(crate) const NO_SUMS: Sums = [0.0; 2];
