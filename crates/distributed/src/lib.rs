//! Data parallelism over ranks: reductions with the same bits on any number of them, overlapped with compute.
//!
//! A *rank* is one of several processes (or, in tests, threads) that run the same program on parts of the same batches. A
//! [`Group`] is one rank's end of all of them. It owns one thread, which owns the [`Communicator`]: calls are jobs, served in
//! order, so that gradients travel while the reverse pass goes on ([`Group::reduce`] returns a [`Pending`] at once).
//!
//! A step is cut into *shards*, a power of two of them ([`Shards`]); each has its own gradient. A rank sums those it owns with a
//! [`Tree`], and ranks go on with the same tree ([`Reduction::Exact`]), so that the sum has the same bits on 1, 2, 4 or 8 ranks.
//! [`Buckets`] cut the parameters into pieces that are sent as soon as they are whole.
//!
//! [`Buckets::forecast`] says beforehand what a network will make of a step.
//!
//! Engines: [`Group::alone`] (one rank, no thread, no copy), [`Group::threads`] (ranks in one process, for tests and
//! documentation), and with the feature `mpi` `Group::mpi` (processes that `mpirun` or `srun` has started), which needs an MPI
//! library and libclang to be built: Open MPI 4.1 and MPICH 4.0 are tested, and a program runs under the one it was built with.
//! Another one is a type that implements [`Communicator`] and is started with [`Group::start`].
//!
//! A job ends together: a rank that dies, stops answering, differs, or calls [`Group::abort`] is an [`Error`] with its name on all
//! others.
//!
//! ```
//! use taper_distributed::{Group, ReduceOptions};
//!
//! let ranks = Group::threads(2)?.into_iter().map(|group| {
//!     std::thread::spawn(move || {
//!         let mine = vec![1.0, 10.0 * group.rank() as f32];
//!         let pending = group.reduce(0, mine, ReduceOptions::default());
//!         // ... the reverse pass goes on here ...
//!         pending.wait()
//!     })
//! });
//! for rank in ranks.collect::<Vec<_>>() {
//!     assert_eq!(rank.join().unwrap()?, [2.0, 10.0]);
//! }
//! # Ok::<(), taper_distributed::Error>(())
//! ```

mod agreement;
mod bf16;
mod buckets;
mod bytes;
mod communicator;
mod control;
mod digest;
mod error;
mod forecast;
mod group;
#[cfg(feature = "mpi")]
mod mpi;
mod reduce;
mod shards;
mod threads;
mod trace;
mod tree;

pub use buckets::{BUCKET_BYTES, Buckets, Sending};
pub use communicator::Communicator;
pub use control::Control;
pub use digest::{Digest, digest_f32};
pub use error::{Error, Result};
pub use forecast::{Forecast, Link};
pub use group::{Group, GroupOptions, Pending, TIME_LIMIT};
pub use reduce::{ReduceDtype, ReduceOptions, Reduction};
pub use shards::Shards;
pub use threads::{Threads, threads};
pub use trace::{Totals, Track};
pub use tree::Tree;
