//! Which paths kernels took, as a test sees it; nothing in any other build.
//!
//! Above: `cpu::choice`'s tests; every kernel with alternatives reports here. Below: nothing. Not here: which path should be taken
//! (`cpu::choice`).
//! Reported is where work is done, not where it is decided: a decision and its report could be wrong together.

/// A piece of work that has alternatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Path {
    /// A depthwise row: columns of the window and stride of blocks of outputs; zeros for one output at a time.
    Row(usize, usize),
    /// Input read in place.
    InPlace,
    /// Input copied, a norm or an activation applied.
    Copied,
    /// Input copied and multiplied by a gate.
    Scaled,
    /// Weights multiplied by a gate.
    WeightsScaled,
    /// A product of bands, with so many groups.
    Bands(usize),
    /// A part with fewer rows, or fewer panels, than there are.
    SomeRows,
    SomePanels,
    /// A gradient of the input, by what writes it.
    DepthwiseInput,
    Product,
    Flipped,
    Scattered,
    /// A gradient of the weight, by what it multiplies.
    DepthwiseWeight,
    WeightInPlace,
    WeightCopied,
    WeightBands,
}

#[cfg(test)]
thread_local! {
    static TAKEN: std::cell::RefCell<Option<std::collections::BTreeSet<Path>>> =
        const { std::cell::RefCell::new(None) };
}

/// Reports a path taken.
#[inline(always)]
pub(super) fn took(path: Path) {
    #[cfg(test)]
    TAKEN.with_borrow_mut(|taken| {
        if let Some(taken) = taken {
            taken.insert(path);
        }
    });
    #[cfg(not(test))]
    let _ = path;
}

/// Whether this thread records: then it does all parts of a team's work itself.
#[cfg(test)]
pub(super) fn is_on() -> bool {
    TAKEN.with_borrow(Option::is_some)
}

/// The paths that `run` takes.
#[cfg(test)]
pub(super) fn paths_of(run: impl FnOnce()) -> std::collections::BTreeSet<Path> {
    TAKEN.with_borrow_mut(|taken| *taken = Some(std::collections::BTreeSet::new()));
    run();
    TAKEN.with_borrow_mut(Option::take).unwrap_or_default()
}
