//! The training loop: step, epochs, metrics, checkpoints and events. Prints nothing, knows no zoo.
//!
//! Above: `recipes`. Below: `layers`, `optim`, `data`. Not here: which network, which data and which settings (`recipes`),
//! what a terminal shows (`cli`).
//! A run is a pure function of network, batches and settings: the same inputs give the same bits, also when the run was
//! stopped or killed and resumed in between.

mod average;
mod batches;
mod checkpoint;
mod error;
mod evaluate;
mod event;
mod evidence;
mod fit;
mod hook;
mod log;
mod lr_range;
mod metrics;
mod parallel;
mod run_folder;
mod step;
mod teacher;

pub use average::{Recalibrate, WeightAverage};
pub use batches::{Batches, Paired, Vectors};
pub use checkpoint::{Best, Checkpoint, Progress, Running};
pub use error::{Error, Result};
pub use evaluate::{evaluate, evaluate_views};
pub use event::{Event, Observer};
pub use evidence::{ChannelMeans, Evidence, evidence};
pub use fit::{Fit, Limits, Outcome, Settings, Start};
pub use hook::{L1Penalty, Masks, StepHook, Unfreeze, load_masks, save_masks};
pub use lr_range::{LrEnd, LrPoint, LrRange, LrRangeTest};
pub use metrics::{
    Accuracy, CalibrationBin, CalibrationError, ClassMean, Confusion, Evaluation, Goal, LogLoss,
    MeanAbsoluteError, MeanIou, MeanLoss, MeanOf, Metric, Mistake, MultiLabelAccuracy,
    MultiLabelF1, Output, OutputMetric, Predictions, RankingArea, Review, Scores, SquaredError,
    confidence_interval,
};
pub use parallel::{DataParallel, LocalSgd, Synchronization};
pub use run_folder::RunFolder;
pub use step::{Participants, StepReport, StepSettings, step};
pub use taper_data::{Batch, Rendition, Skipped, Target, Targets};
pub use teacher::Teacher;
