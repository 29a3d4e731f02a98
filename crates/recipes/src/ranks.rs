//! Several ranks that fine-tune one network: how they are found, what they must agree on, and who writes.
//!
//! Above: `fine_tune`, `tune`, `tune_from`, the binary. Below: `taper_distributed::Group`, `taper_train::DataParallel`. Not here: how ranks
//! are started (`mpirun`, `srun`), steps in shards (`taper_train`).
//! Launchers tell their processes apart by variables; these are read to learn whether there are several, and MPI says the rest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use taper_distributed::{Digest, Group, GroupOptions, ReduceOptions, Reduction, Shards};
use taper_train::{DataParallel, LocalSgd, RunFolder, Synchronization};

use crate::error::{Error, Result};
use crate::options::{FineTuneOptions, OptionValue, Reduce, ReduceDtype};
use crate::report::RanksReport;
use crate::run;

/// By launcher, the variable that tells how many processes it has started.
const SIZES: [(&str, &str); 3] = [
    ("OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun"),
    ("PMI_SIZE", "MPICH's mpirun"),
    ("SLURM_STEP_NUM_TASKS", "srun"),
];

/// What every launcher of `PMIx` gives its processes, also one that does not say how many there are.
const PMIX: (&str, &str) = ("PMIX_RANK", "a launcher of PMIx");

/// What has started this process, perhaps as one of several.
#[derive(Debug, Clone, Copy)]
struct Launched {
    launcher: &'static str,
    /// The variable that tells it.
    variable: &'static str,
    /// How many processes there are, if it is told.
    ranks: Option<usize>,
}

/// The rank of this process in the job that `mpirun` or `srun` has started, or one rank alone. `variable` looks a variable of the
/// environment up.
///
/// # Errors
/// [`Error::Launch`] if there are several and this program is built without MPI, or MPI does not see them; [`Error::Ranks`] if they
/// do not come together.
///
/// # Examples
/// ```
/// let options = taper_recipes::GroupOptions::default();
/// let group = taper_recipes::group(&|_| None, options)?; // nobody has started several
/// assert!(group.is_alone());
/// # Ok::<(), taper_recipes::Error>(())
/// ```
pub fn group(variable: &dyn Fn(&str) -> Option<String>, options: GroupOptions) -> Result<Group> {
    let Some(launched) = launched(variable) else { return Ok(Group::alone_with(options)) };
    of_launcher(launched, options)
}

/// Refuses to be one of several processes of a launcher: for work that is not shared out, which each of them would do again and write to
/// the same place.
///
/// # Errors
/// [`Error::Launch`] if there are several.
pub fn must_be_alone(variable: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    launched(variable).map_or(Ok(()), |launched| {
        let what = "of all work only fine-tuning is shared out (`finetune`): start one, or unset";
        let variable = launched.variable;
        Err(launched.refused(format!("{what} `{variable}` if each has work of its own")))
    })
}

/// What has started this process, unless it is the only one.
fn launched(variable: &dyn Fn(&str) -> Option<String>) -> Option<Launched> {
    let sizes = SIZES.iter().filter_map(|&(name, launcher)| {
        let ranks = variable(name)?.trim().parse::<usize>().ok()?;
        Some(Launched { launcher, variable: name, ranks: Some(ranks) })
    });
    let sizes: Vec<Launched> = sizes.collect();
    let (name, launcher) = PMIX;
    match sizes.iter().find(|launched| launched.ranks > Some(1)) {
        Some(&launched) => Some(launched),
        None if sizes.is_empty() && variable(name).is_some() => {
            Some(Launched { launcher, variable: name, ranks: None })
        }
        None => None,
    }
}

impl Launched {
    fn refused(self, reason: impl Into<String>) -> Error {
        let Launched { launcher, ranks, .. } = self;
        Error::Launch { launcher, ranks, reason: reason.into() }
    }
}

#[cfg(feature = "mpi")]
fn of_launcher(launched: Launched, options: GroupOptions) -> Result<Group> {
    let group = Group::mpi(options)?;
    match (group.size(), launched.ranks) {
        (1, Some(_)) => Err(launched.refused(
            "MPI sees one of them alone; start them with the launcher of the MPI that this program is built with (of Slurm: \
             `srun --mpi=pmix`)",
        )),
        _ => Ok(group),
    }
}

#[cfg(not(feature = "mpi"))]
fn of_launcher(launched: Launched, _: GroupOptions) -> Result<Group> {
    Err(launched.refused(
        "this program is built without MPI, so that each would train alone; build it with `--features mpi`, or start one without \
         a launcher",
    ))
}

/// The same request with as many shards as there are ranks, unless it says how many.
pub(crate) fn with_shards(options: &FineTuneOptions, group: &Group) -> FineTuneOptions {
    let shards = if options.shards == 0 { group.size() } else { options.shards };
    FineTuneOptions { shards, ..options.clone() }
}

/// Shares steps out, if all ranks were asked for the same by the same program.
pub(crate) fn share(group: Arc<Group>, options: &FineTuneOptions) -> Result<DataParallel> {
    let shared = agree_on(&group, options).and_then(|()| {
        let reduce = reduce_options(options.reduce, options.reduce_dtype);
        Shards::new(options.shards, group.size(), reduce.reduction)?;
        Ok(reduce)
    });
    let reduce = ending_all(&group, shared)?;
    let sync = match (options.outer_step(), options.sync_bn) {
        (Some((outer_lr, outer_momentum)), _) => {
            let every = options.sync_every as u64;
            Synchronization::Weights(LocalSgd { every, outer_lr, outer_momentum })
        }
        (None, true) => Synchronization::GradientsAndNorms,
        (None, false) => Synchronization::Gradients,
    };
    let parallel = DataParallel::new(group, options.shards, reduce);
    let parallel = parallel.and_then(|parallel| parallel.synchronizing(sync));
    parallel.map_err(|source| Error::Train { source })
}

/// Program, options, and threads as they are resolved; where data and run lie may be told in other words, and is compared otherwise.
fn agree_on(group: &Group, options: &FineTuneOptions) -> Result<()> {
    if group.is_alone() {
        return Ok(());
    }
    let mut facts = vec![
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("program".to_owned(), program()),
    ];
    let elsewhere = ["data", "out", "threads"];
    let told = options.list().into_iter().filter(|option| !elsewhere.contains(&option.name));
    facts.extend(told.map(|OptionValue { name, value, .. }| (name.to_owned(), value)));
    let threads = match options.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    facts.push(("threads".to_owned(), threads.to_string()));
    Ok(group.agree(&facts)?)
}

/// The digest of the program that runs.
fn program() -> String {
    let bytes = std::env::current_exe().and_then(std::fs::read);
    bytes.map_or_else(|_| "unknown".to_owned(), |bytes| print_of(&bytes))
}

fn print_of(bytes: &[u8]) -> String {
    let mut digest = Digest::new();
    digest.write_sized(bytes);
    format!("{:016x}", digest.finish())
}

/// How gradients are summed.
pub(crate) fn reduce_options(reduce: Reduce, dtype: ReduceDtype) -> ReduceOptions {
    ReduceOptions {
        reduction: match reduce {
            Reduce::Exact => Reduction::Exact,
            Reduce::Fast => Reduction::Fast,
        },
        dtype: match dtype {
            ReduceDtype::F32 => taper_distributed::ReduceDtype::F32,
            ReduceDtype::Bf16 => taper_distributed::ReduceDtype::Bf16,
        },
    }
}

/// The folder for a new run, which the first rank chooses.
pub(crate) fn vacant(parallel: &DataParallel, out: Option<&Path>) -> Result<RunFolder> {
    let group = parallel.group();
    if group.is_alone() {
        return run::vacant(out);
    }
    let mine = match group.is_first() {
        true => run::vacant(out)?.path().as_os_str().as_encoded_bytes().to_vec(),
        false => Vec::new(),
    };
    let path = String::from_utf8_lossy(&group.broadcast(0, mine)?).into_owned();
    Ok(RunFolder::new(PathBuf::from(path)))
}

/// Refuses ranks that do not see the folder that the first one writes to.
pub(crate) fn see_one_folder(parallel: &DataParallel, folder: &RunFolder) -> Result<()> {
    let group = parallel.group();
    if group.is_alone() {
        return Ok(());
    }
    group.barrier()?; // the first rank has written by then
    let seen = std::fs::read(folder.config());
    let seen = seen.map_or_else(|_| "nothing there".to_owned(), |bytes| print_of(&bytes));
    Ok(group.agree(&[("the run's config.json".to_owned(), seen)])?)
}

/// Writes what all ranks computed and sent, and when, if the group has kept it.
pub(crate) fn write_trace(parallel: &DataParallel, file: Option<&Path>) -> Result<()> {
    let Some(path) = file else { return Ok(()) };
    let Some(trace) = parallel.group().trace()? else { return Ok(()) };
    taper_files::replace(path, |file| file.write_all(trace.as_bytes())).map_err(|source| {
        let path = path.to_path_buf();
        Error::File { action: "write", path, source }
    })
}

/// An error on one rank ends the others, which would wait for it.
pub(crate) fn ending_all<T>(group: &Group, result: Result<T>) -> Result<T> {
    if let Err(error) = &result
        && !error.ranks().is_some_and(taper_distributed::Error::is_common)
    {
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(source) = cause {
            words = format!("{words}: {source}");
            cause = source.source();
        }
        group.abort(&words);
    }
    result
}

/// What sharing has cost; nothing where nothing was shared.
pub(crate) fn report(parallel: &DataParallel) -> Option<RanksReport> {
    let (ranks, shards) = (parallel.group().size(), parallel.shards());
    let totals = parallel.totals();
    (shards > 1).then(|| RanksReport {
        ranks,
        shards,
        reduced_bytes: totals.reduced_bytes,
        sent_bytes: totals.sent_bytes,
        stall_seconds: totals.stalled.as_secs_f64(),
        communication_seconds: totals.communicating.as_secs_f64(),
        hidden_share: totals.hidden_share(),
    })
}

#[cfg(test)]
mod tests;
