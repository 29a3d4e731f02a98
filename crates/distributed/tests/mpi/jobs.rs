//! Jobs under `mpirun` and what must come of them.
//!
//! Above: `main`. Below: `ranks`, `mpirun`. Not here: what a rank does (`ranks`).
//! Without `mpirun` every test fails: whoever builds with MPI has it.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::ranks::RANK;

/// In which a job that has gone wrong must be over.
const LIMIT: Duration = Duration::from_secs(30);

/// Names and tests.
pub(crate) const TESTS: &[(&str, fn())] = &[
    ("every_operation_does_what_it_says_on_1_2_3_4_and_8_ranks", operations),
    ("exact_sums_have_the_same_bits_on_1_2_4_and_8_ranks", same_bits),
    ("a_rank_that_is_slow_is_not_taken_for_dead", slow),
    ("a_rank_that_is_killed_ends_the_job", killed),
    ("a_rank_that_is_stopped_ends_the_job_by_name", stopped),
    ("two_neighbors_that_are_stopped_end_the_job", two_stopped),
    ("rank_0_that_is_stopped_is_told_by_another", first_stopped),
    ("a_rank_that_is_stopped_while_it_is_sent_to_ends_the_job", stopped_in_a_sum),
    ("a_message_of_any_rank_ends_all_and_rank_0_tells_it", aborted),
    ("a_rank_that_leaves_is_named", left),
    ("a_rank_that_leaves_a_fast_sum_is_named", left_fast),
    ("a_rank_that_gives_a_fast_sum_another_length_is_named", other_lengths),
    ("ranks_with_other_options_are_named", disagree),
    ("a_tensor_that_differs_on_a_rank_is_named", diverged),
];

/// Starts `program` on so many ranks; gives what came, and how long it took.
fn job(ranks: usize, program: &str) -> (Output, Duration) {
    let launcher = std::env::var("MPIRUN").unwrap_or_else(|_| "mpirun".to_owned());
    let mut command = Command::new(&launcher);
    let version = Command::new(&launcher).arg("--version").output();
    let absent = |error| format!("`{launcher}`, which comes with MPI, does not start: {error}");
    let version = version.map_err(absent).unwrap();
    if String::from_utf8_lossy(&version.stdout).contains("Open MPI") {
        command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]);
    }
    let start = Instant::now();
    command.args(["-np", &ranks.to_string()]).arg(std::env::current_exe().unwrap());
    let output = command.args([RANK, program]).output().unwrap();
    (output, start.elapsed())
}

/// What a job that went well has printed.
fn good(ranks: usize, program: &str) -> String {
    let (output, _) = job(ranks, program);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} on {ranks}: {text}\n{errors}");
    text
}

/// What a job that went wrong has printed on both streams.
fn bad(ranks: usize, program: &str) -> String {
    let (output, took) = job(ranks, program);
    let both = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&both).into_owned();
    assert!(!output.status.success(), "{program} on {ranks} ended well: {text}");
    assert!(took < LIMIT, "{program} on {ranks} took {took:?}: {text}");
    text
}

fn expect(text: &str, sentence: &str) {
    assert_eq!(text.matches(sentence).count(), 1, "once `{sentence}` in: {text}");
}

fn operations() {
    for ranks in [1, 2, 3, 4, 8] {
        let text = good(ranks, "operations");
        (0..ranks).for_each(|rank| expect(&text, &format!("rank {rank} of {ranks} is content\n")));
    }
}

fn same_bits() {
    let alone = good(1, "sums");
    assert_eq!(alone.lines().count(), 3, "{alone}");
    for ranks in [2, 4, 8] {
        assert_eq!(good(ranks, "sums"), alone, "{ranks}");
    }
}

fn slow() {
    expect(&good(2, "slow"), "rank 0 of 2 is content\n");
}

fn killed() {
    // The launcher sees it first, and says so in its own words.
    let text = bad(4, "killed").to_lowercase();
    assert!(
        text.contains("signal 9") || text.contains("exit code: 9") || text.contains("rank 2 "),
        "{text}"
    );
}

fn stopped() {
    expect(&bad(4, "stopped"), "rank 0 says: rank 1 has not answered for 2 s;");
}

fn two_stopped() {
    expect(&bad(4, "two-stopped"), "rank 0 says: rank 2 has not answered for 2 s;");
}

fn first_stopped() {
    expect(&bad(3, "first-stopped"), "rank 1 says: rank 0 has not answered for 2 s;");
}

fn stopped_in_a_sum() {
    expect(&bad(2, "stopped-in-a-sum"), "rank 0 says: rank 1 has not answered for 2 s;");
}

fn aborted() {
    expect(&bad(4, "aborted"), "rank 0 says: rank 3 ended the job: the disk is full");
}

fn left() {
    expect(&bad(4, "left"), "rank 0 says: rank 2 left while others went on");
}

fn left_fast() {
    expect(&bad(4, "left-in-a-fast-sum"), "rank 0 says: rank 2 left while others went on");
}

fn other_lengths() {
    expect(
        &bad(4, "other-lengths"),
        "rank 0 says: rank 1 sent 404 bytes where 400 were expected (an all-reduce)",
    );
}

fn disagree() {
    expect(
        &bad(2, "disagree"),
        "rank 0 says: ranks differ in `threads`: rank 0 has `0`, rank 1 has `1`",
    );
}

fn diverged() {
    expect(
        &bad(4, "diverged"),
        "rank 0 says: `b` is not the same on all ranks: rank 2 has other bits than rank 0",
    );
}
