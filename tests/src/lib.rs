//! README and docs as doctests: the examples people copy run.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../docs/flow.md")]
pub struct Flow;
