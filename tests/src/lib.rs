//! What the tests share, comparing numbers and reading the fixtures that PyTorch wrote; and README and docs as doctests, so that
//! the examples people copy run.
//!
//! Above: `golden`, `house`, `programs`, `flow`. Below: `safetensors`, `graph`. Not here: the tests.

pub mod close;
pub mod fixture;
pub mod formula;
pub mod operation;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../docs/flow.md")]
pub struct Flow;

#[cfg(doctest)]
#[doc = include_str!("../../docs/convolution.md")]
pub struct Convolution;

#[cfg(doctest)]
#[doc = include_str!("../../docs/pooling.md")]
pub struct Pooling;

#[cfg(doctest)]
#[doc = include_str!("../../docs/efficient-architectures.md")]
pub struct EfficientArchitectures;

#[cfg(doctest)]
#[doc = include_str!("../../docs/cost.md")]
pub struct Cost;

#[cfg(doctest)]
#[doc = include_str!("../../docs/pruning.md")]
pub struct Pruning;

#[cfg(doctest)]
#[doc = include_str!("../../docs/training.md")]
pub struct Training;

#[cfg(doctest)]
#[doc = include_str!("../../docs/transfer.md")]
pub struct Transfer;

#[cfg(doctest)]
#[doc = include_str!("../../docs/data-doctor.md")]
pub struct DataDoctor;

#[cfg(doctest)]
#[doc = include_str!("../../docs/augmentation.md")]
pub struct Augmentation;

#[cfg(doctest)]
#[doc = include_str!("../../docs/data.md")]
pub struct Pictures;

#[cfg(doctest)]
#[doc = include_str!("../../docs/distributed.md")]
pub struct Distributed;

#[cfg(doctest)]
#[doc = include_str!("../../docs/fashion-mnist.md")]
pub struct FashionMnist;
