//! `cargo xtask mpi --shaped`: what ranks wait for each other over slow links, against what `taper cost --ranks` predicts.
//!
//! Above: `mpi`. Below: `shell`, `ip` and `tc` of iproute2, Open MPI. Not here: what is predicted (`taper_recipes::ranks_cost`).
//! Two network namespaces, joined by a pair of virtual devices of the asked rate, stand for two machines: Open MPI reaches the second
//! through an agent in the place of `ssh`, and its ranks have no other way to each other than TCP over that link. Root alone may do that.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::shell;

/// As `tc` and as `taper cost` write them. The bucket of tokens is larger than what the kernel hands over at once.
const RATES: [(&str, &str); 2] = [("1gbit", "1Gb"), ("100mbit", "100Mb")];

/// Namespaces with their addresses.
const ENDS: [(&str, &str); 2] = [("taper-a", "10.77.0.1"), ("taper-b", "10.77.0.2")];

const NET: &str = "10.77.0.0/24";

/// Pictures of a rank's step.
const BATCH: usize = 16;

/// Calibrations, and runs over each link. What is waited for is what is left of the sums when the reverse pass ends: the difference of two long
/// times, of which the machine's pace within a minute moves one, so that medians over rounds are compared.
const ROUNDS: usize = 5;

/// Measures, and prints a line for each rate.
pub(super) fn shaped() -> Result<()> {
    let user = run(Command::new("id").arg("-u"))?;
    ensure!(
        user.trim() == "0",
        "network namespaces need root: run it as root, in a container or a machine of your own"
    );
    shell::cargo(&["build", "--package", "taper-cli", "--features", "mpi"], &[])?;
    let taper = shell::root().join("target/debug/taper");
    let mut stalls = RATES.map(|_| Vec::new());
    for round in 1..=ROUNDS {
        let dir = tempfile::tempdir()?;
        let machine = dir.path().join("machine.json");
        run(taper_command(&taper, "cost --calibrate --threads 1 --out").arg(&machine))?;
        for ((rate, name), stalls) in RATES.into_iter().zip(&mut stalls) {
            let _link = Link::new(rate)?;
            let measured = measure(&taper, &dir.path().join(name))?;
            let model = dir.path().join(name).join("model.safetensors");
            let mut cost = taper_command(&taper, "cost --threads 1 --ranks 2 --json");
            cost.args(["--batch", &BATCH.to_string(), "--network", name]).arg("--on").arg(&machine);
            let predicted: Value = serde_json::from_str(&run(cost.arg("--model").arg(model))?)?;
            let predicted =
                predicted["ranks"]["rows"][0]["stall_ms"].as_f64().context("no stall")?;
            let Stall { later, both } = measured;
            eprintln!(
                "round {round} of {ROUNDS}, {name}: predicted {predicted:.1} ms, waited {both:.1}, the later rank {later:.1}"
            );
            stalls.push([predicted, both, later]);
        }
    }
    println!(
        "network  predicted stall, ms  of both ranks, ms  predicted over it  of the later rank, ms  predicted over it"
    );
    for ((_, name), stalls) in RATES.into_iter().zip(&stalls) {
        let of = |i: usize| median(stalls.iter().map(|stall| stall[i]).collect());
        let (predicted, both, later) = (of(0)?, of(1)?, of(2)?);
        println!(
            "{name:>7}  {predicted:>19.1}  {both:>17.1}  {:>17.2}  {later:>21.1}  {:>17.2}",
            predicted / both,
            predicted / later
        );
    }
    Ok(())
}

/// Milliseconds that a rank waits in a step: medians over all steps.
struct Stall {
    /// Of the rank that waits less in a step, which is the one that came later. Ranks that are equally fast, as they are predicted, wait more: what
    /// the other sent before was on its way already.
    later: f64,
    /// Of both ranks. Where they share cores, one also waits until the other has had its turn.
    both: f64,
}

fn measure(taper: &Path, out: &Path) -> Result<Stall> {
    let agent = out.with_extension("agent");
    let (far, _) = ENDS[1];
    // As `ssh HOST COMMAND`, into the other namespace.
    std::fs::write(
        &agent,
        format!(
            "#!/bin/sh\nshift\nexec ip netns exec {far} unshare -u sh -c \"hostname {far}; $*\"\n"
        ),
    )?;
    run(Command::new("chmod").arg("+x").arg(&agent))?;
    let [(near, a), (_, b)] = ENDS;
    let mut job = Command::new("ip");
    job.args([
        "netns",
        "exec",
        near,
        "mpirun",
        "--allow-run-as-root",
        "--bind-to",
        "none",
        "-np",
        "2",
    ]);
    job.args(["--host", &format!("{a}:1,{b}:1"), "--mca", "plm_rsh_agent"]).arg(&agent);
    job.args([
        "--mca",
        "btl",
        "tcp,self",
        "--mca",
        "btl_tcp_if_include",
        NET,
        "--mca",
        "oob_tcp_if_include",
        NET,
    ]);
    job.arg(taper).args("finetune --epochs 4 --head-epochs 0 --freeze none --threads 1".split(' '));
    job.args(["--batch-size", &(2 * BATCH).to_string()]).arg("--out").arg(out);
    let trace = out.with_extension("trace");
    run(job.arg("--trace").arg(&trace))?;
    let trace: Value = serde_json::from_str(&std::fs::read_to_string(trace)?)?;
    let events = trace["traceEvents"].as_array().context("no events")?;
    let [first, second] = [0, 1].map(|rank| waits(events, rank));
    ensure!(first.len() == second.len(), "ranks took {} and {} steps", first.len(), second.len());
    let later = first.iter().zip(&second).map(|(first, second)| first.min(*second));
    let later = median(later.collect())?;
    Ok(Stall { later, both: median([first, second].concat())? })
}

fn median(mut values: Vec<f64>) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("no step was taken")
}

/// Milliseconds that a rank has waited for sums, step by step: each ends with the optimizer.
fn waits(events: &[Value], rank: u64) -> Vec<f64> {
    let time = |event: &Value, name: &str| event[name].as_f64().unwrap_or(0.0);
    let named = |name: &'static str| {
        events.iter().filter(move |event| event["pid"] == rank && event["name"] == name)
    };
    let (mut steps, mut begin) = (Vec::new(), 0.0);
    for step in named("optimizer") {
        let end = time(step, "ts");
        let inside = named("wait").filter(|wait| (begin..end).contains(&time(wait, "ts")));
        steps.push(inside.map(|wait| time(wait, "dur") / 1e3).sum());
        begin = end;
    }
    steps
}

/// The two namespaces and what joins them; gone when it is dropped.
struct Link;

impl Link {
    fn new(rate: &str) -> Result<Link> {
        drop(Link); // of a run that was killed
        let [(near, _), (far, _)] = ENDS;
        let link = Link;
        for (end, _) in ENDS {
            ip(&["netns", "add", end])?;
        }
        ip(&[
            "link", "add", "taper0", "netns", near, "type", "veth", "peer", "name", "taper0",
            "netns", far,
        ])?;
        for (end, address) in ENDS {
            ip(&["-n", end, "addr", "add", &format!("{address}/24"), "dev", "taper0"])?;
            ip(&["-n", end, "link", "set", "taper0", "up"])?;
            ip(&["-n", end, "link", "set", "lo", "up"])?;
            let shape = [
                "tc", "qdisc", "add", "dev", "taper0", "root", "tbf", "rate", rate, "burst",
                "128kb", "latency", "100ms",
            ];
            ip(&[&["netns", "exec", end][..], &shape].concat())?;
        }
        Ok(link)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for (end, _) in ENDS {
            // One that is not there need not go.
            drop(Command::new("ip").args(["netns", "del", end]).output());
        }
    }
}

fn ip(args: &[&str]) -> Result<()> {
    run(Command::new("ip").args(args)).map(drop)
}

fn taper_command(taper: &Path, words: &str) -> Command {
    let mut command = Command::new(taper);
    command.args(words.split(' '));
    command
}

/// What a command printed, if it went well.
fn run(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command
        .output()
        .with_context(|| format!("{} does not start", command.get_program().display()))?;
    if !status.success() {
        bail!("{} failed: {}", command.get_program().display(), String::from_utf8_lossy(&stderr));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
