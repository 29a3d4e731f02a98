//! Runs the binary and looks at what it says.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// What a run of the binary left.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The last line of standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{error}: {line:?}\n{}", self.stderr))
    }

    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        self.exits(0)
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Refused with `code` and a last message that has every one of `words`; never a panic.
    #[track_caller]
    pub(crate) fn refuses(self, code: i32, words: &[&str]) -> Self {
        let ran = self.exits(code);
        let message = ran.stderr.lines().rev().find(|line| line.starts_with("error: "));
        let message = message.unwrap_or_else(|| panic!("no error in {:?}", ran.stderr));
        for word in words {
            assert!(message.contains(word), "no `{word}` in: {message}");
        }
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        ran
    }
}

/// The binary with `args`.
pub(crate) fn command(args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taper"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn taper(args: &[impl AsRef<OsStr>]) -> Ran {
    ran(command(args))
}

/// Runs a command to its end.
pub(crate) fn ran(mut command: Command) -> Ran {
    left(command.output().unwrap())
}

/// Waits for the end of what was started.
pub(crate) fn finish(child: Child) -> Ran {
    left(child.wait_with_output().unwrap())
}

fn left(Output { status, stdout, stderr }: Output) -> Ran {
    Ran {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// Starts the binary and leaves it running.
pub(crate) fn start(args: &[impl AsRef<OsStr>]) -> Child {
    command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A model file with random weights, small enough to be trained in a test.
pub(crate) fn small_model(dir: &Path) -> PathBuf {
    let path = dir.join("small.safetensors");
    small(1000).save(&path).unwrap();
    path
}

/// MobileNetV2 at a tenth of its width, for pictures of 32x32 pixels.
pub(crate) fn small(classes: usize) -> taper_model::Model {
    use taper_zoo::mobilenet_v2::{Scaling, mobilenet_v2};
    let graph = mobilenet_v2(Scaling::width(0.1), classes).unwrap();
    let preprocess =
        taper_model::Preprocess { input_size: [32, 32], ..taper_model::Preprocess::imagenet() };
    let names = (0..classes).map(|class| format!("class {class}")).collect();
    taper_model::Model::random(graph, 7, preprocess, names).unwrap()
}

/// `path` as an argument.
pub(crate) fn arg(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
