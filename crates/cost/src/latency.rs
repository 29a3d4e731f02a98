//! How long a network takes, predicted from measurements of other networks on the same machine.
//!
//! Above: `taper-recipes`. Below: `latency::{calibration, inference, roof, training}`. Not here: measuring (`taper-engine`).
//! A unit of the plan is work of a kind and size, which takes as long in any network. [`Calibration`] holds such units with
//! the times they took; a [`LatencyModel`] fits each kind: so many seconds a call, a multiply-accumulate, a byte, corrected by how far the
//! measured units nearest in size were off. Beside every prediction stands the roofline: the least that the machine could take.

mod calibration;
mod fit;
mod inference;
mod roof;
mod training;

pub use calibration::{
    BandSample, Calibration, FORMAT, Machine, Mode, ModeSamples, StepSample, UnitSample,
};
pub use inference::{GradientTimes, LatencyModel, Prediction, UnitPrediction, around, band_shape};
pub use roof::Roof;
