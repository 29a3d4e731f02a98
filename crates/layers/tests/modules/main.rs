//! What holds of every layer, one table of layers and one test a property.

mod cases;
mod properties;
mod refusals;
