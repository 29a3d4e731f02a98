//! What one rank of a job does, by the name of the job.
//!
//! Above: `jobs`, through `mpirun`. Below: `taper_distributed`. Not here: what must come of it (`jobs`).

use std::process::{Command, ExitCode};
use std::time::Duration;

use taper_distributed::{
    Error, Group, GroupOptions, ReduceDtype, ReduceOptions, Reduction, Result, Tree, digest_f32,
};

/// The first argument of a process that is a rank.
pub(crate) const RANK: &str = "rank-of-a-job";

const EXACT: ReduceOptions = ReduceOptions { reduction: Reduction::Exact, dtype: ReduceDtype::F32 };
const FAST: ReduceOptions = ReduceOptions { reduction: Reduction::Fast, dtype: ReduceDtype::F32 };
const BF16: ReduceOptions = ReduceOptions { reduction: Reduction::Exact, dtype: ReduceDtype::Bf16 };

/// Runs it, and says what went wrong as the binary does: by one rank.
pub(crate) fn run(name: &str) -> ExitCode {
    let mut options = GroupOptions::default();
    if ["slow", "stopped", "left"].iter().any(|word| name.contains(word)) {
        options.time_limit = Duration::from_secs(2);
    }
    let group = Group::mpi(options).unwrap();
    let (rank, result) = (group.rank(), program(&group, name));
    let Err(error) = result else { return ExitCode::SUCCESS };
    let say = || println!("rank {rank} says: {error}");
    if error.spokesman() == rank {
        say();
    }
    if !group.leave() && error.spokesman() != rank {
        say();
    }
    ExitCode::FAILURE
}

fn program(group: &Group, name: &str) -> Result<()> {
    match name {
        "operations" => operations(group),
        "sums" => sums(group),
        "slow" => {
            if group.rank() == 1 {
                std::thread::sleep(Duration::from_secs(5));
            }
            group.barrier()?;
            println!("rank {} of {} is content", group.rank(), group.size());
            Ok(())
        }
        "killed" => after(group, &[2], || signal("KILL")),
        "stopped" => after(group, &[1], || signal("STOP")),
        "two-stopped" => after(group, &[1, 2], || signal("STOP")),
        "first-stopped" => after(group, &[0], || signal("STOP")),
        "stopped-in-a-sum" => {
            let long = vec![1.0; 4 << 20];
            let pending = group.reduce(0, long, EXACT);
            if group.rank() == 1 {
                signal("STOP");
            }
            pending.wait()?;
            (0..).try_for_each(|_| group.reduce(0, vec![1.0; 4 << 20], EXACT).wait().map(drop))
        }
        "aborted" => after(group, &[3], || group.abort("the disk is full")),
        "left" => match group.rank() {
            2 => Ok(()),
            _ => group.barrier(),
        },
        "left-in-a-fast-sum" => match group.rank() {
            2 => Ok(()),
            _ => group.reduce(0, vec![1.0; 5003], FAST).wait().map(drop),
        },
        "other-lengths" => group.reduce(0, vec![1.0; 100 + group.rank()], FAST).wait().map(drop),
        "disagree" => group.agree(&[
            ("seed".to_owned(), "7".to_owned()),
            ("threads".to_owned(), group.rank().to_string()),
        ]),
        "diverged" => {
            let changed = if group.rank() == 2 { f32::from_bits(1) } else { 0.0 };
            let tensors = [("a", [1.0, 2.0]), ("b", [3.0, changed]), ("c", [changed, 4.0])];
            let digests: Vec<(String, u64)> =
                tensors.map(|(name, values)| (name.to_owned(), digest_f32(&values))).into();
            group.compare(&digests)
        }
        _ => Err(Error::Engine { engine: "test", message: format!("there is no job `{name}`") }),
    }
}

/// All meet; then some do `what` and meet nobody any more, while the others wait for them.
fn after(group: &Group, ranks: &[usize], what: impl FnOnce()) -> Result<()> {
    group.barrier()?;
    if ranks.contains(&group.rank()) {
        what();
        loop {
            group.check()?;
            std::thread::yield_now();
        }
    }
    group.barrier()
}

/// Sends a signal to this process.
fn signal(name: &str) {
    let process = std::process::id().to_string();
    Command::new("kill").args([&format!("-{name}"), &process]).status().unwrap();
}

fn operations(group: &Group) -> Result<()> {
    let (rank, size) = (group.rank(), group.size());
    let byte = |at: usize| u8::try_from(at).unwrap();
    let gathered = group.all_gather(vec![byte(rank); 1000 * rank])?;
    let expected: Vec<Vec<u8>> = (0..size).map(|rank| vec![byte(rank); 1000 * rank]).collect();
    assert_eq!(gathered, expected);
    for root in 0..size {
        // Longer than what MPI sends without being asked for it.
        let given = vec![byte(rank); 300_000 * root];
        assert_eq!(group.broadcast(root, given)?, vec![byte(root); 300_000 * root]);
    }
    let on_last = group.gather(size - 1, vec![byte(rank); 1000 * rank])?;
    assert_eq!(on_last, if rank == size - 1 { expected } else { Vec::new() });
    group.barrier()?;
    group.compare(&[("a".to_owned(), 1)])?;
    group.agree(&[("seed".to_owned(), "7".to_owned())])?;
    for length in [0, 1, 5, 5003, 600_000] {
        let exact = (1..=size).sum::<usize>() as f32;
        for options in [FAST, BF16].into_iter().chain(size.is_power_of_two().then_some(EXACT)) {
            // Two on their way at once.
            let twice =
                [length, length + 1].map(|n| group.reduce(n, vec![(rank + 1) as f32; n], options));
            for (pending, n) in twice.into_iter().zip([length, length + 1]) {
                assert_eq!(pending.wait()?, vec![exact; n], "{options:?}");
            }
        }
    }
    println!("rank {rank} of {size} is content");
    Ok(())
}

/// Eight shards, whose sums depend on their order, on any number of ranks.
fn sums(group: &Group) -> Result<()> {
    for length in [3, 5003, 200_000] {
        let value =
            |shard: usize, at: usize| ((shard * 7919 + at * 104_729) % 10_007) as f32 * 0.37 - 1e3;
        let mut tree = Tree::new();
        let per = 8 / group.size();
        for shard in group.rank() * per..(group.rank() + 1) * per {
            tree.push((0..length).map(|at| value(shard, at)).collect());
        }
        let sum = group.reduce(0, tree.finish().unwrap_or_default(), EXACT).wait()?;
        group.compare(&[("sum".to_owned(), digest_f32(&sum))])?;
        if group.is_first() {
            println!("{length} values: {:016x}", digest_f32(&sum));
        }
    }
    Ok(())
}
