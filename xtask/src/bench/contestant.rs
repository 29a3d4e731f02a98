//! A process that runs one thing as often as it is asked to.
//!
//! Above: `race`, `golden`. Below: the line protocol; its other ends are `serve` and `xtask/bench/contestant.py`. Not here: turns.
//! The contestant says one line of JSON when it is ready, then answers each line of standard input with one line of JSON.
//! Lines that are no JSON object are somebody's chatter. Standard error goes to a log, whose end is shown when it dies.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

/// Lines of a log that are shown.
const TAIL: usize = 12;

/// A running contestant. Dropping it ends its process.
#[derive(Debug)]
pub(crate) struct Contestant {
    name: String,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
    ready: Value,
}

impl Contestant {
    /// Starts it, and waits until it is ready.
    pub(crate) fn start(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{}.log", name.replace([' ', '/'], "-")));
        let stderr = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().with_context(|| format!("{name} did not start"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.context("a child without pipes")?;
        let stdout = BufReader::new(stdout);
        let name = name.to_owned();
        let mut contestant = Self { name, child, stdin, stdout, log, ready: Value::Null };
        contestant.ready = contestant.answer()?;
        Ok(contestant)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What it said when it was ready.
    pub(crate) fn ready(&self) -> &Value {
        &self.ready
    }

    /// Runs `warmups` times without a clock, then `times` times; milliseconds of each.
    pub(super) fn run(&mut self, warmups: usize, times: usize) -> Result<Vec<f64>> {
        let answer = self.ask(&format!("run {warmups} {times}"))?;
        let ms: Option<Vec<f64>> =
            answer["ms"].as_array().and_then(|ms| ms.iter().map(Value::as_f64).collect());
        match ms {
            Some(ms) if ms.len() == times => Ok(ms),
            _ => bail!("{} answered `run` with {answer}", self.name),
        }
    }

    /// The most memory its process has held, in bytes.
    pub(super) fn peak_bytes(&mut self) -> Result<u64> {
        let answer = self.ask("peak")?;
        answer["peak_bytes"]
            .as_u64()
            .with_context(|| format!("{} answered `peak` with {answer}", self.name))
    }

    /// Its answer to a line.
    pub(crate) fn ask(&mut self, question: &str) -> Result<Value> {
        // A write to a dead process fails; what it said before it died is in the log.
        if writeln!(self.stdin, "{question}").and_then(|()| self.stdin.flush()).is_err() {
            return Err(self.obituary());
        }
        self.answer()
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.stdout.read_line(&mut line).context("reading an answer")? == 0 {
                return Err(self.obituary());
            }
            if let Ok(answer @ Value::Object(_)) = serde_json::from_str(&line) {
                return Ok(answer);
            }
        }
    }

    fn obituary(&mut self) -> anyhow::Error {
        let status = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        anyhow!("{} ended early ({status}); {}", self.name, end_of(&self.log))
    }
}

/// The last lines of a log, in words.
pub(super) fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    format!("{} ends with:\n{tail}", log.display())
}

impl Drop for Contestant {
    fn drop(&mut self) {
        // It may be gone already; either way it is not waited for below.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_contestant_answers_line_by_line_and_chatter_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"echo hello; echo '{"ready":true,"parameters":7}'
            read line; echo '{"ms":[1.5,2.5]}'; read line; echo '{"peak_bytes":4096}'"#;
        let mut contestant = Contestant::start("a b", shell(script), folder.path()).unwrap();
        assert_eq!(contestant.ready()["parameters"], 7);
        assert_eq!(contestant.run(0, 2).unwrap(), [1.5, 2.5]);
        assert_eq!(contestant.peak_bytes().unwrap(), 4096);
    }

    #[test]
    fn a_contestant_that_dies_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let error = Contestant::start("x", shell("echo oh no >&2; exit 3"), folder.path());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("oh no"), "{error}");
    }

    #[test]
    fn a_wrong_number_of_timings_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"echo '{"ready":true}'; read line; echo '{"ms":[1.5]}'"#;
        let mut contestant = Contestant::start("x", shell(script), folder.path()).unwrap();
        assert!(contestant.run(0, 2).is_err());
    }
}
