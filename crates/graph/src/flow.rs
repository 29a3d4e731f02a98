//! How channels pass through an operation: what pruning walks.
//!
//! Above: passes over a graph. Below: `op`, `shape`. Not here: which parameter axis belongs to which channel (`param`).
//! Every operation is named: a new one must say its rule, and `taper-engine` holds the rules to numbers (`tests/flow.rs`).

use crate::{Extent, Op};

/// How output channels depend on one input's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Channel `i` comes from channel `i`.
    Same,
    /// Every channel of a group comes from every channel of that group.
    Mixes {
        /// How many groups.
        groups: usize,
    },
    /// Channel `i + by` comes from channel `i`, where there is one.
    Shifted {
        /// Places further along; negative for slices.
        by: isize,
    },
    /// Channel `i · groups + g` comes from channel `g · c / groups + i`.
    Shuffled {
        /// How many groups.
        groups: usize,
    },
    /// Channels `i · block .. (i + 1) · block` come from channel `i`.
    Repeated {
        /// Outputs an input channel has.
        block: usize,
    },
    /// Whole heads: head `h` of the output comes from head `h · kv_heads / heads` of k and v, and head `h` of q.
    Heads {
        /// Heads of q and of the output.
        heads: usize,
        /// Heads of k and v.
        kv_heads: usize,
    },
    /// Channel `i` comes from channel `i`, and from the mean and the spread of all channels of its group: silencing a channel is not
    /// the same as removing it.
    Normalizes {
        /// How many groups.
        groups: usize,
    },
    /// Not at all: only the input's size is read.
    Nothing,
    /// Anything: leave these channels alone.
    Opaque,
}

impl Op {
    /// How the output's channels depend on those of input number `input`, the node's inputs being of these extents.
    /// [`Flow::Opaque`] for an input that the operation does not have.
    ///
    /// # Examples
    /// ```
    /// use taper_graph::{Extent, Flow, Op};
    /// let maps = [Extent::Map { h: 7, w: 7, c: 8 }, Extent::Map { h: 7, w: 7, c: 4 }];
    /// assert_eq!(Op::Concat.flow(1, &maps), Flow::Shifted { by: 8 });
    /// assert_eq!(Op::Flatten.flow(0, &maps[..1]), Flow::Repeated { block: 49 });
    /// ```
    #[must_use]
    pub fn flow(&self, input: usize, inputs: &[Extent]) -> Flow {
        let Some(xs) = inputs.get(input) else { return Flow::Opaque };
        if !self.reads_values(input) {
            return Flow::Nothing;
        }
        match self {
            // Of one channel too: a dense convolution of a gray image has filters that can be removed one by one.
            Self::Conv(conv) | Self::ConvTranspose { conv, .. } if conv.groups == 1 => {
                Flow::Mixes { groups: 1 }
            }
            Self::Conv(conv) if conv.groups == xs.channels() => repeated(conv.out / conv.groups),
            Self::Conv(conv) => Flow::Mixes { groups: conv.groups },
            Self::ConvTranspose { conv, .. } if conv.is_depthwise(xs.channels()) => Flow::Same,
            // One axis of the weight stands for the outputs of every group.
            Self::ConvTranspose { .. } => Flow::Opaque,
            Self::Linear { .. } => Flow::Mixes { groups: 1 },
            Self::BatchNorm { .. }
            | Self::ChannelScale
            | Self::Activation(_)
            | Self::Pool { .. }
            | Self::LpPool { .. }
            | Self::BlurPool { .. }
            | Self::AdaptivePool { .. }
            | Self::GlobalPool { .. }
            | Self::Add
            | Self::Mul
            | Self::Scale { .. }
            | Self::Pad { .. }
            | Self::Resize { .. }
            | Self::Dropout { .. }
            | Self::DropPath { .. } => Flow::Same,
            Self::Concat => {
                let before: usize = inputs[..input].iter().map(Extent::channels).sum();
                Flow::Shifted { by: before.cast_signed() }
            }
            Self::Slice { start, .. } => Flow::Shifted { by: -start.cast_signed() },
            Self::Shuffle { groups } => Flow::Shuffled { groups: *groups },
            Self::Flatten => repeated(xs.size().iter().product()),
            Self::Attention { heads, kv_heads, .. } => {
                Flow::Heads { heads: *heads, kv_heads: *kv_heads }
            }
            Self::GroupNorm { groups, .. } => Flow::Normalizes { groups: *groups },
            Self::LayerNorm { .. } => Flow::Normalizes { groups: 1 },
            Self::Input { .. } => Flow::Opaque,
        }
    }
}

fn repeated(block: usize) -> Flow {
    if block == 1 { Flow::Same } else { Flow::Repeated { block } }
}
