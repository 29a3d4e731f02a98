//! What a network is made for.
//!
//! Above: `architecture`, the families. Below: `scaling`. Not here: the size of the image, which no network fixes.

use crate::mobilenet_v2::Scaling;

/// Classes, channels of the image, and how much wider and deeper than the architecture says.
///
/// # Examples
/// ```
/// use taper_zoo::mobilenet_v2::Scaling;
/// use taper_zoo::{Options, architecture};
/// let options = Options { in_channels: 1, scaling: Scaling::width(0.5), ..Options::classes(10) };
/// let graph = architecture("mobilenetv3_small_100")?.graph_with(&options)?;
/// assert_eq!((graph.input_channels(), graph.params()[0].shape[0]), (1, 8));
/// # Ok::<(), taper_zoo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Logits.
    pub classes: usize,
    /// Channels of the image: 3 for RGB.
    pub in_channels: usize,
    /// On top of the architecture's own.
    pub scaling: Scaling,
}

impl Options {
    /// The architecture as it is, for `classes`, on RGB.
    #[must_use]
    pub fn classes(classes: usize) -> Self {
        Self { classes, in_channels: 3, scaling: Scaling::ONE }
    }
}
