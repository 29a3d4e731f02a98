//! The sliding window of convolutions and pools, and the one formula for its output size.
//!
//! Above: `op`, `shape`, executors. Below: `window::formula`. Not here: adaptive pools, whose windows follow from their output (`op`).
//! Pairs are always `(h, w)`; sides are always top, left, bottom, right.
//! Source: torch.nn.Conv2d and MaxPool2d, PyTorch 2.x; `Same` is TensorFlow's.

mod formula;

use serde::{Deserialize, Serialize};

pub(crate) use formula::Rule;
pub use formula::SizeFormula;

/// What lies outside the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PadMode {
    /// Zeros (for a max pool: minus infinity).
    #[default]
    Zeros,
    /// The map mirrored at its border, the border itself not repeated.
    Reflect,
    /// The border repeated.
    Replicate,
    /// The map repeated.
    Circular,
}

impl PadMode {
    /// Its name as JSON writes it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::Reflect => "reflect",
            Self::Replicate => "replicate",
            Self::Circular => "circular",
        }
    }
}

/// How far a window may reach over the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Padding {
    /// TensorFlow's: output is `ceil(size / stride)`; depends on the size of the map, and an odd pixel goes to the end.
    Same,
    /// None.
    Valid,
    /// Given for each side.
    Explicit {
        /// Rows above.
        top: usize,
        /// Columns before.
        left: usize,
        /// Rows below.
        bottom: usize,
        /// Columns after.
        right: usize,
    },
}

impl Padding {
    /// The same number on all four sides, as PyTorch's `padding=p`.
    #[must_use]
    pub fn symmetric(p: usize) -> Self {
        Self::Explicit { top: p, left: p, bottom: p, right: p }
    }
}

/// Kernel size, stride, dilation and padding.
///
/// # Examples
/// ```
/// use taper_graph::{Padding, Window};
/// let stem = Window::square(3, 2); // padding 1 on every side
/// assert_eq!(stem.output_size([224, 224]), Some([112, 112]));
/// let tf = Window { padding: Padding::Same, ..stem };
/// assert_eq!(tf.pads([224, 224]), [0, 0, 1, 1]); // the odd pixel goes to the end
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Taps along `(h, w)`.
    pub kernel: [usize; 2],
    /// Step along `(h, w)`.
    pub stride: [usize; 2],
    /// Distance of neighboring taps along `(h, w)`; 1 is dense.
    pub dilation: [usize; 2],
    /// Reach over the border.
    pub padding: Padding,
    /// What lies there.
    pub mode: PadMode,
}

impl Window {
    /// A square window with padding `(kernel_size − 1) / 2`, which for odd kernels and stride 1 keeps the size of the map.
    #[must_use]
    pub fn square(kernel_size: usize, stride: usize) -> Self {
        Self {
            kernel: [kernel_size; 2],
            stride: [stride; 2],
            dilation: [1; 2],
            padding: Padding::symmetric(kernel_size.saturating_sub(1) / 2),
            mode: PadMode::Zeros,
        }
    }

    /// A window along the width alone, for 1-D maps, which have height 1; otherwise as [`Window::square`].
    #[must_use]
    pub fn line(kernel_size: usize, stride: usize) -> Self {
        let reach = kernel_size.saturating_sub(1) / 2;
        let padding = Padding::Explicit { top: 0, left: reach, bottom: 0, right: reach };
        let (kernel, stride) = ([1, kernel_size], [1, stride]);
        Self { kernel, stride, dilation: [1; 2], padding, mode: PadMode::Zeros }
    }

    /// One tap, stride 1, no padding.
    #[must_use]
    pub fn point() -> Self {
        Self::square(1, 1)
    }

    /// Whether this is one tap at every position.
    #[must_use]
    pub fn is_point(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.pads([1, 1]) == [0; 4]
    }

    /// Size of the output for a map of size `(h, w)`: `floor((size + pads − reach) / stride) + 1`, where
    /// `reach = dilation · (kernel − 1) + 1`. `None` when the window does not fit, or a number overflows.
    #[must_use]
    pub fn output_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        outputs(self.formulas(size))
    }

    /// As [`Window::output_size`] with the division rounded up, as pools with `ceil_mode` do; a window that would begin in
    /// the padding after the map is dropped.
    #[must_use]
    pub fn output_size_ceil(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        outputs(self.ruled(size, Rule::Ceil))
    }

    /// The formulas of [`Window::output_size`] along h and w.
    #[must_use]
    pub fn formulas(&self, size: [usize; 2]) -> [SizeFormula; 2] {
        self.ruled(size, Rule::Floor)
    }

    pub(crate) fn ruled(&self, size: [usize; 2], rule: Rule) -> [SizeFormula; 2] {
        let pads = self.pads(size);
        [0, 1].map(|axis| SizeFormula {
            axis,
            size: size[axis],
            before: pads[axis],
            after: pads[axis + 2],
            kernel: self.kernel[axis],
            stride: self.stride[axis],
            dilation: self.dilation[axis],
            rule,
        })
    }

    /// Padding `[top, left, bottom, right]` for a map of size `(h, w)`, which only [`Padding::Same`] looks at.
    #[must_use]
    pub fn pads(&self, size: [usize; 2]) -> [usize; 4] {
        match self.padding {
            Padding::Valid => [0; 4],
            Padding::Explicit { top, left, bottom, right } => [top, left, bottom, right],
            Padding::Same => {
                let [total_h, total_w] = [0, 1].map(|axis| self.same(axis, size[axis]));
                [total_h / 2, total_w / 2, total_h - total_h / 2, total_w - total_w / 2]
            }
        }
    }

    /// Total `Same` padding along an axis: `max((ceil(size / stride) − 1) · stride + reach − size, 0)`.
    fn same(&self, axis: usize, size: usize) -> usize {
        let steps = size.div_ceil(self.stride[axis].max(1));
        self.span(axis, steps).saturating_sub(size)
    }

    /// Pixels under `n` neighboring windows along an axis, padding included: `(n − 1) · stride + reach`. Stops at the largest number.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(taper_graph::Window::square(3, 2).span(0, 4), 9);
    /// ```
    #[must_use]
    pub fn span(&self, axis: usize, n: usize) -> usize {
        let before = n.saturating_sub(1).saturating_mul(self.stride[axis]);
        before.saturating_add(self.reach(axis).unwrap_or(usize::MAX))
    }

    /// Pixels a window spans along an axis; `None` for no taps or on overflow.
    fn reach(&self, axis: usize) -> Option<usize> {
        self.kernel[axis].checked_sub(1)?.checked_mul(self.dilation[axis])?.checked_add(1)
    }
}

/// Both sizes, if both are there.
fn outputs([h, w]: [SizeFormula; 2]) -> Option<[usize; 2]> {
    Some([h.output()?, w.output()?])
}
