//! What weights were trained with, beside their names: they fit a network with other norms or paddings and tell nonsense there.
//!
//! Above: `keymap`, `naming`. Below: `taper_graph`. Not here: names and shapes (`crate::mismatch`).
//! Source: torchvision 0.26 `models/{mobilenetv3,efficientnet,mnasnet}.py`, where they make their norms; defaults of
//! torch.nn.BatchNorm2d.

use taper_graph::{Graph, Node, Op, Padding};

use crate::{Error, Result};

/// Batch norms, which are the same throughout a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Norms {
    pub(super) eps: f64,
    /// Of training; the network's own if none is told. It changes no result, and may be another one.
    pub(super) momentum: Option<f64>,
}

/// Networks of a project that have the same norms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// With fused inverted residuals.
    Fused,
    /// With so many blocks or more.
    Blocks(usize),
    Any,
}

/// How maps are padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paddings {
    /// By `(k − 1) / 2` on all sides.
    Symmetric,
    /// At the end first, by what the size needs.
    TensorFlow,
}

/// What a key map knows of the training; nothing, for names that say nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Trained {
    pub(super) norms: Option<Norms>,
    pub(super) paddings: Option<Paddings>,
}

impl Norms {
    /// What torch.nn.BatchNorm2d has if nothing is said.
    pub(super) const PYTORCH: Self = Self { eps: 1e-5, momentum: Some(0.1) };

    /// The same network with these norms.
    pub(super) fn of(self, graph: &Graph) -> Result<Graph> {
        let changed = graph.map_ops(|node| match node.op() {
            Op::BatchNorm { momentum, .. } => {
                Op::BatchNorm { eps: self.eps, momentum: self.momentum.or(*momentum) }
            }
            op => op.clone(),
        });
        Ok(changed?)
    }
}

impl Trained {
    /// Refuses a network that is not the one that was trained.
    ///
    /// # Errors
    /// [`Error::Norms`], [`Error::Paddings`].
    pub(super) fn check(self, graph: &Graph) -> Result<()> {
        graph.nodes().iter().try_for_each(|node| {
            self.check_norm(node)?;
            self.check_padding(node)
        })
    }

    fn check_norm(self, node: &Node) -> Result<()> {
        match (node.op(), self.norms) {
            // As near as a number in a file or in decimal can be.
            (Op::BatchNorm { eps, .. }, Some(norms))
                if (eps - norms.eps).abs() > 1e-6 * norms.eps =>
            {
                let (node, got, expected) = (node.name().to_owned(), *eps, norms.eps);
                Err(Error::Norms { node, got, expected })
            }
            _ => Ok(()),
        }
    }

    /// With a stride of 1 both paddings are the same for odd kernels.
    fn check_padding(self, node: &Node) -> Result<()> {
        let Op::Conv(conv) = node.op() else { return Ok(()) };
        let window = conv.window;
        if window.stride == [1, 1] || window.kernel == [1, 1] {
            return Ok(());
        }
        let is_tf = window.padding == Padding::Same;
        let (got, expected) = match self.paddings {
            Some(Paddings::Symmetric) if is_tf => ("TensorFlow's", "(k - 1) / 2 on all sides"),
            Some(Paddings::TensorFlow) if !is_tf => ("explicit", "TensorFlow's"),
            Some(Paddings::Symmetric | Paddings::TensorFlow) | None => return Ok(()),
        };
        Err(Error::Paddings { node: node.name().to_owned(), got, expected })
    }
}
