//! A program that runs once, from start to end: its time, its memory, its last line.
//!
//! Above: `end_to_end`. Below: `/proc`. Not here: programs that stay and run again (`contestant`).

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::contestant::end_of;
use super::serve::peak_of;

/// How often memory is looked at and the end is looked for.
const GLANCE: Duration = Duration::from_millis(20);

/// What a job did.
#[derive(Debug, Clone)]
pub(super) struct Done {
    /// From start to end of the process.
    pub(super) seconds: f64,
    /// The most memory the process was seen to have held, without its children.
    pub(super) peak_bytes: u64,
    /// The last line of its standard output.
    pub(super) output: Value,
}

/// Runs `command` to its end; an error if it fails.
pub(super) fn run(name: &str, mut command: Command, folder: &Path) -> Result<Done> {
    let log = folder.join(format!("{}.log", name.replace([' ', '/'], "-")));
    let stderr = File::create(&log).with_context(|| format!("making {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{name} did not start"))?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak_bytes = 0;
    let status = loop {
        // The file is gone, or says nothing of memory, when the process has ended.
        let status = fs::read_to_string(&status_file).unwrap_or_default();
        peak_bytes = peak_of(&status).unwrap_or_default().max(peak_bytes);
        match child.try_wait().context("waiting for a job")? {
            Some(status) => break status,
            None => sleep(GLANCE),
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let mut stdout = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_string(&mut stdout).context("reading what a job output")?;
    }
    if !status.success() {
        bail!("{name} failed ({status}); {}", end_of(&log));
    }
    let last = stdout.lines().last().unwrap_or_default();
    let output = serde_json::from_str(last)
        .with_context(|| format!("{name} ended with `{last}`, which is no JSON"))?;
    Ok(Done { seconds, peak_bytes, output })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Done> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run("a job", command, folder.path())
    }

    #[test]
    fn the_last_line_is_what_a_job_says() {
        let done = shell(r#"echo words; sleep 0.1; echo '{"val_top1":0.5}'"#).unwrap();
        assert_eq!(done.output["val_top1"], 0.5);
        assert!(done.seconds > 0.09 && done.peak_bytes > 0, "{done:?}");
    }

    #[test]
    fn a_job_that_fails_or_says_nothing_is_an_error() {
        let error = shell("echo oh no >&2; exit 4").unwrap_err().to_string();
        assert!(error.contains("exit status: 4") && error.ends_with("oh no"), "{error}");
        assert!(shell("echo words").is_err());
    }
}
