//! Fine-tune, evaluate, predict, prune, measure and explain: what the `taper` binary does, as functions with typed options and reports.
//!
//! A recipe takes options that are checked before any work begins, tells an [`Observer`] what happens, stops at the next
//! step when asked, and returns a report. It prints nothing and knows no command line: its errors name its options' fields.

mod bare_weights;
mod bench;
mod calibration;
mod compare;
mod confidence;
mod conjugate;
mod cost;
mod data;
mod demo;
mod doctor;
mod download;
mod embed;
mod error;
mod evaluate;
mod event_file;
mod explain;
mod extend;
mod features;
mod find_lr;
mod fine_tune;
mod groups;
mod inputs;
mod look;
mod minutes;
mod observer;
mod options;
mod predict;
pub mod prune;
mod ranks;
mod recalibrate;
mod relay;
mod report;
mod run;
mod run_report;
mod setup;
mod shell;
mod similar;
mod source;
pub mod sparsify;
mod splits;
mod task;
mod tune;
mod tune_from;
mod unlabelled;
mod warm_head;
mod zoo;

pub use bare_weights::weights_of;
pub use bench::bench;
pub use calibration::{CalibrationOptions, calibrate};
pub use compare::{CompareOptions, CompareReport, ComparedRun, Difference, compare_runs};
pub use confidence::Calibrated;
pub use cost::{
    Assertion, CostNetwork, CostOptions, CostReport, CostSummary, LayerCost, LiveTensorCost,
    Measure, MemoryCost, Metric, MomentCost, NetworkLink, RanksCost, RanksCostOptions, RanksRow,
    RunCost, Saving, ScopeRow, SweepReport, SweepRow, TimeCost, TrainingMemoryCost, UnitRow,
    calibration_for, compare_costs, comparison_page, cost, cost_of, cost_page, largest_batch,
    parse_bytes, parse_link, parse_ranks, parse_sweep, ranks_cost, run_cost, savings, sweep_costs,
    write_costs_csv, write_ranks_csv,
};
pub use demo::Demo;
pub use doctor::{
    ApplyReport, ClassCount, ConfusedClasses, Copies, DoctorReport, LabelSuspect, OddShape, Shape,
    Unlike, apply_fixes, doctor,
};
pub use embed::{EmbedReport, embed};
pub use error::{Error, Result};
pub use evaluate::{OthersReport, evaluate, evaluate_on};
pub use explain::{AxisSize, ExplainOptions, Explanation, ReceptiveField, explain};
pub use find_lr::{LrReport, TriedLr, find_lr, find_lr_on};
pub use fine_tune::{
    ResumeOptions, fine_tune, fine_tune_on, fine_tune_on_ranks, resume, resume_on, resume_on_ranks,
};
pub use look::{look, look_observed};
pub use minutes::{FittedRun, fit_minutes};
pub use observer::{Epoch, Event, MemoryPlan, Observer, RunPlan, Silent, Step};
pub use options::{
    Augment, AugmentHelp, AugmentStep, BenchMode, BenchOptions, CacheKind, ClassWeights,
    DemoOptions, DoctorOptions, EmbedOptions, EvaluateOptions, FineTuneOptions, HeadInit, Labels,
    LookOptions, LossKind, MAX_THREADS, MatmulPrecision, Norms, Numbers, OptimizerKind,
    OptionValue, PredictOptions, Preset, Pretrained, Reduce, ReduceDtype, Role, Sampling, Scaling,
    ScheduleKind, SimilarOptions, TableColumns, TargetWord, Tta,
};
pub use predict::{predict, predict_observed};
pub use ranks::{group, must_be_alone};
pub use recalibrate::{gather_evidence, recalibrate};
pub use report::{
    BenchReport, CacheReport, CalibrationReport, ClassProbability, Confusion, EvaluateReport,
    FineTuneReport, Look, LookLayer, LookReport, Mistake, PredictedNumber, Prediction, RanksReport,
    Review, Skipped, ZooModel,
};
pub use run_report::{RunReport, RunReportOptions, report_run};
pub use shell::shell_quoted;
pub use similar::{Neighbor, SimilarReport, similar};
pub use splits::{
    MeanScore, SplitResult, Splits, SplitsCalibration, SplitsReport, fine_tune_splits, has_splits,
    resume_splits,
};
pub use taper_cost::what_if::Sweep;
pub use taper_cost::{Bytes, Macs, Seconds};
pub use taper_data::TargetKind;
pub use taper_distributed::{Error as RanksError, Group, GroupOptions};
pub use taper_graph::{Bias, Conv, Op, PadMode, Padding, PoolKind, Window};
pub use taper_model::Task;
pub use taper_train::{ChannelMeans, Evidence, LrEnd};
pub use taper_transfer::Freeze;
pub use task::NamedScore;
pub use tune_from::{TuneFrom, fine_tune_from, resume_from};
pub use zoo::{ModelsOptions, find_models, models};
