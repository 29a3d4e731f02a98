//! Options that are one word of a few.
//!
//! Above: `options`, the binary's flags. Below: `error`. Not here: what the words do (`setup`, `evaluate`, `bench`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use taper_data::transform::Views;

use crate::error::{Error, Result};

/// Declares an enum that is spelled the same on the command line and in `config.json`.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every choice by the word it has on the command line.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => $word,)+ })
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(word: &str) -> Result<Self> {
                match word {
                    $($word => Ok($name::$variant),)+
                    _ => Err(Error::Choice { got: word.to_owned(), expected: Self::WORDS.join(", ") }),
                }
            }
        }
    };
}

choice! {
    /// What training begins with.
    Pretrained {
        /// The model's weights, with a new head.
        Yes = "yes",
        /// Random weights.
        None = "none",
    }
}

choice! {
    /// What a new head of classes begins with.
    HeadInit {
        /// Random weights.
        Random = "random",
        /// Mixtures of the rows that the model's old head had for its classes, by what it takes the new classes' pictures for
        /// ([`mixed_head`](taper_transfer::mixed_head)).
        Pretrained = "pretrained",
    }
}

choice! {
    /// A set of defaults for a whole run.
    Preset {
        /// Those of every option.
        Default = "default",
        /// The classifier alone, on features computed once: seconds, for a first look.
        Quick = "quick",
        /// More than three times as many epochs, at three times the rate, and a moving average of the weights.
        Best = "best",
        /// Random weights and all kinds of augmentation for many epochs: for pictures that ImageNet does not help with.
        Scratch = "scratch",
    }
}

choice! {
    /// The rule of a step.
    OptimizerKind {
        /// Stochastic gradient descent with momentum.
        Sgd = "sgd",
        /// Steps divided by the root of the mean square of gradients.
        Adam = "adam",
        /// Adam with decoupled weight decay.
        AdamW = "adamw",
        /// Adam with Nesterov's momentum.
        NAdam = "nadam",
        /// PyTorch's `RMSprop`.
        RmsProp = "rmsprop",
        /// TensorFlow's `RMSprop`, with which MobileNetV3 and EfficientNet were trained.
        RmsPropTf = "rmsprop-tf",
        /// Adam's direction as long as the parameter it changes, for large batches.
        Lamb = "lamb",
        /// The sign of a momentum.
        Lion = "lion",
        /// Nesterov's momentum of differences of gradients, adapted as in Adam.
        Adan = "adan",
        /// Orthogonal steps of matrices, `AdamW` for the rest.
        Muon = "muon",
    }
}

choice! {
    /// What is made small.
    LossKind {
        /// Cross-entropy of classes, binary cross-entropy of labels, the squared difference of numbers.
        Auto = "auto",
        /// Softmax cross-entropy.
        CrossEntropy = "cross-entropy",
        /// Cross-entropy that looks away from what is told surely already (Lin et al. 2017, <https://arxiv.org/abs/1708.02002>).
        Focal = "focal",
        /// Binary cross-entropy of each label.
        Bce = "bce",
        /// The squared difference.
        Mse = "mse",
        /// Squared up to a difference of one standard deviation of the targets, straight beyond.
        Huber = "huber",
        /// The same as PyTorch's `SmoothL1Loss`.
        SmoothL1 = "smooth-l1",
    }
}

choice! {
    /// How much the classes of an unbalanced set count.
    ClassWeights {
        /// Every picture counts alike.
        None = "none",
        /// Every class counts alike: a picture of a rare class counts more.
        Balanced = "balanced",
    }
}

choice! {
    /// Which pictures an epoch shows.
    Sampling {
        /// Balanced where the largest class has at least [`UNEQUAL`](crate::FineTuneOptions::UNEQUAL) times as many pictures as the smallest (of
        /// features that are computed once, by `class_weights`), and else each once.
        Auto = "auto",
        /// Each once.
        Shuffle = "shuffle",
        /// As many as there are, drawn with replacement so that all classes are shown alike.
        Balanced = "balanced",
    }
}

choice! {
    /// What becomes of batch norms.
    Norms {
        /// They are trained with the rest, and use a batch's own statistics.
        Train = "train",
        /// They keep scales, shifts and statistics, and use these.
        Freeze = "freeze",
        /// They get the statistics of the training pictures before the first step and are frozen then (Li et al. 2016,
        /// <https://arxiv.org/abs/1603.04779>).
        Recalibrate = "recalibrate",
    }
}

choice! {
    /// What the targets of a table are.
    TargetWord {
        /// One class a picture.
        Class = "class",
        /// Any number of labels a picture.
        Labels = "labels",
        /// Probabilities of classes.
        Probabilities = "probabilities",
        /// Numbers.
        Numbers = "numbers",
    }
}

choice! {
    /// How the learning rate falls after the warm-up.
    ScheduleKind {
        /// Half a cosine, to its least at the last step.
        Cosine = "cosine",
        /// Half a cosine again and again.
        CosineRestarts = "cosine-restarts",
        /// Up along half a cosine, and down to a 250,000th along another.
        OneCycle = "one-cycle",
        /// To a tenth after each third of the steps.
        Step = "step",
        /// To a tenth after each of some epochs.
        MultiStep = "multi-step",
        /// A little with every step.
        Exponential = "exponential",
        /// A power of what is left.
        Polynomial = "polynomial",
        /// To a tenth when epochs get no better.
        Plateau = "plateau",
        /// Not at all.
        Constant = "constant",
    }
}

choice! {
    /// How gradients are summed over ranks.
    Reduce {
        /// In a fixed binary tree: the same bits on any number of ranks. Shards and ranks are powers of two.
        Exact = "exact",
        /// As the engine likes: the same bits on all ranks, but not on another number of them.
        Fast = "fast",
    }
}

choice! {
    /// What travels when gradients are summed over ranks.
    ReduceDtype {
        /// The values themselves.
        F32 = "f32",
        /// Half as many bytes: values are rounded, and what that takes away is added to the next step's. The number of ranks is fixed.
        Bf16 = "bf16",
    }
}

choice! {
    /// What convolutions and linear layers multiply while a network is trained. Weights, activations, gradients and sums are `f32` in any case.
    MatmulPrecision {
        /// The values themselves.
        F32 = "f32",
        /// Values rounded to bfloat16, where the machine has a unit for them: x86-64 with AMX-BF16, under Linux.
        Bf16 = "bf16",
    }
}

impl MatmulPrecision {
    /// Refuses what this machine has no means for.
    pub(super) fn check(self) -> Result<()> {
        if self.of_engine().is_here() {
            return Ok(());
        }
        let expected = "f32 here: bf16 takes x86-64 with AMX-BF16, under Linux";
        Err(Error::option("matmul_precision", &self, expected))
    }

    /// The same, as the engine calls it.
    pub(crate) fn of_engine(self) -> taper_engine::MatmulPrecision {
        match self {
            Self::F32 => taper_engine::MatmulPrecision::F32,
            Self::Bf16 => taper_engine::MatmulPrecision::Bf16,
        }
    }
}

choice! {
    /// What stays the same when there are more ranks.
    Scaling {
        /// The pictures of each rank: a step's batch grows with the ranks.
        Weak = "weak",
        /// The pictures of a step: each rank has fewer.
        Strong = "strong",
    }
}

choice! {
    /// How the classes of a folder are matched with a model's.
    Labels {
        /// By name; every class of the folder must be one of the model's.
        Name = "name",
        /// By position: the folder's first class in sorted order is the model's first.
        Order = "order",
    }
}

choice! {
    /// Which views of a picture are looked at; their probabilities are averaged.
    Tta {
        /// The middle.
        None = "none",
        /// The middle, plain and mirrored.
        Flip = "flip",
        /// Corners and middle.
        Five = "five",
        /// Corners and middle, plain and mirrored.
        Ten = "ten",
    }
}

impl Tta {
    /// The same for transforms.
    pub(crate) fn views(self) -> Views {
        match self {
            Self::None => Views::Middle,
            Self::Flip => Views::Flip,
            Self::Five => Views::Five,
            Self::Ten => Views::Ten,
        }
    }
}

choice! {
    /// What is measured.
    BenchMode {
        /// A batch through the compiled network.
        Infer = "infer",
        /// A step that trains everything: forward, backward, SGD with momentum.
        Train = "train",
    }
}

choice! {
    /// Where decoded pictures are kept, so that each is decoded once.
    CacheKind {
        /// In memory.
        Ram = "ram",
        /// In files.
        Disk = "disk",
        /// Nowhere: they are decoded in every epoch.
        None = "none",
    }
}
