//! The size of a windowed operation's output along one axis: a formula that is computed, and shown with its numbers.
//!
//! Above: `window`, `shape`, errors, `taper-recipes`. Below: nothing. Not here: which operation has which window (`op`).
//! Numbers are signed and wide on the way, so that a window that does not fit shows how much is missing.
//! Source: `torch.nn.Conv2d`, `ConvTranspose2d` and `MaxPool2d`, PyTorch 2.x.

use std::fmt;

/// Output size along one axis with the numbers it comes from. Displays as `floor((224 + 1 + 1 − 1·(3 − 1) − 1) / 2) + 1 = 112`.
///
/// # Examples
/// ```
/// use taper_graph::Window;
/// let [h, _] = Window::square(3, 2).formulas([7, 8]);
/// assert_eq!(h.symbols(), "floor((h + top + bottom − dilation·(kernel − 1) − 1) / stride) + 1");
/// assert_eq!(h.to_string(), "floor((7 + 1 + 1 − 1·(3 − 1) − 1) / 2) + 1 = 4");
/// assert_eq!(h.output(), Some(4));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeFormula {
    pub(super) axis: usize,
    pub(super) size: usize,
    pub(super) before: usize,
    pub(super) after: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) rule: Rule,
}

/// What becomes of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Windows that fit.
    Floor,
    /// One more if something is left and it begins before the padding at the end.
    Ceil,
    /// The size whose convolution has this size.
    Transposed { output_padding: [usize; 2] },
}

impl SizeFormula {
    /// The size; `None` if there is no position, or a number overflows.
    #[must_use]
    pub fn output(&self) -> Option<usize> {
        if self.size == 0 || self.stride == 0 || self.kernel == 0 {
            return None;
        }
        usize::try_from(self.value()?).ok().filter(|&out| out > 0)
    }

    /// `h` or `w`.
    #[must_use]
    pub fn axis(&self) -> &'static str {
        ["h", "w"][self.axis]
    }

    /// The formula in words of the window: `floor((w + left + right − dilation·(kernel − 1) − 1) / stride) + 1`.
    #[must_use]
    pub fn symbols(&self) -> String {
        let (size, [before, after]) =
            (self.axis(), [["top", "bottom"], ["left", "right"]][self.axis]);
        self.written([size, before, after, "dilation", "kernel", "stride"], "output_padding")
    }

    fn value(&self) -> Option<i128> {
        let counted = self.counted()?;
        Some(counted - i128::from(self.drops(counted)))
    }

    /// The formula's value before a window in the padding is dropped.
    fn counted(&self) -> Option<i128> {
        let [size, before, after, kernel, stride, dilation] =
            [self.size, self.before, self.after, self.kernel, self.stride, self.dilation]
                .map(|number| number as i128);
        let span = dilation.checked_mul(kernel - 1)?;
        let room = size + before + after - span - 1;
        match self.rule {
            _ if stride == 0 => None,
            Rule::Floor => Some(room.div_euclid(stride) + 1),
            Rule::Ceil => Some((room + stride - 1).div_euclid(stride) + 1),
            Rule::Transposed { output_padding } => {
                let steps = (size - 1).checked_mul(stride)?.checked_add(span)?;
                Some(steps - before - after + output_padding[self.axis] as i128 + 1)
            }
        }
    }

    /// Whether the last of the counted windows would begin in the padding after the map.
    fn drops(&self, counted: i128) -> bool {
        let inside = (self.size as i128) + (self.before as i128);
        self.rule == Rule::Ceil && (counted - 1) * (self.stride as i128) >= inside
    }

    fn written(&self, words: [&str; 6], output_padding: &str) -> String {
        let [size, before, after, dilation, kernel, stride] = words;
        let room = format!("{size} + {before} + {after} − {dilation}·({kernel} − 1) − 1");
        match self.rule {
            Rule::Floor => format!("floor(({room}) / {stride}) + 1"),
            Rule::Ceil => format!("ceil(({room}) / {stride}) + 1"),
            Rule::Transposed { .. } => format!(
                "({size} − 1)·{stride} − {before} − {after} + {dilation}·({kernel} − 1) + {output_padding} + 1"
            ),
        }
    }
}

impl fmt::Display for SizeFormula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [self.size, self.before, self.after, self.dilation, self.kernel, self.stride];
        let words = numbers.map(|number| number.to_string());
        let output_padding = match self.rule {
            Rule::Transposed { output_padding } => output_padding[self.axis],
            Rule::Floor | Rule::Ceil => 0,
        };
        let words = words.each_ref().map(String::as_str);
        f.write_str(&self.written(words, &output_padding.to_string()))?;
        let Some(counted) = self.counted() else { return f.write_str(", which overflows") };
        let signed = |number: i128| number.to_string().replace('-', "−");
        write!(f, " = {}", signed(counted))?;
        if self.drops(counted) {
            let kept = signed(counted - 1);
            return write!(f, ", less one that would begin in the padding = {kept}");
        }
        Ok(())
    }
}
