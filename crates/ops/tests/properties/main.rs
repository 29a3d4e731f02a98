//! Every operation against finite differences in `f64`, and in `f32` against itself in `f64`, over random legal configurations.

mod around;
mod check;
mod conv;
mod norm;
mod pool;
mod refusals;
