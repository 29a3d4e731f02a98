//! Where the words go: a full disk, a reader who leaves, and numbers of threads that no machine has; for every command.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::pictures;
use crate::taper::{Ran, arg, command, small_model, taper};

/// Every command with help and with JSON, each with much to say or a little.
fn requests(dir: &Path) -> Vec<Vec<String>> {
    let data = arg(&pictures::folder(dir, 2, 5));
    let model = arg(&small_model(dir));
    let picture = format!("{data}/red/000.png");
    let out = |name: &str| arg(&dir.join(name));
    let train = [
        "finetune",
        "--data",
        &data,
        "--model",
        &model,
        "--epochs",
        "1",
        "--batch-size",
        "4",
        "--out",
    ];
    let mut requests: Vec<Vec<String>> = [
        &["--help"][..],
        &["--version"],
        &["models"],
        &["models", "--json"],
        &["predict", "--model", &model, &picture, &picture],
        &["predict", "--model", &model, "--json", &picture, &picture],
        &["predict", "--model", &model, "--data", &data],
        &["eval", "--model", &model, "--data", &data, "--labels", "order"],
        &["eval", "--model", &model, "--data", &data, "--labels", "order", "--json"],
        &["bench", "--model", &model, "--seconds", "0"],
        &["bench", "--model", &model, "--seconds", "0", "--json"],
        &["explain", "pool", "--kind", "max", "--channels", "3", "--kernel", "2", "--input", "8"],
        &["look", "--model", &model, "--out", &out("look"), &picture],
        &["look", "--model", &model, "--out", &out("look"), "--json", &picture],
    ]
    .map(|request| request.iter().map(ToString::to_string).collect())
    .to_vec();
    for (i, last) in [&[][..], &["--json"]].into_iter().enumerate() {
        let run = out(&format!("run-{i}"));
        requests.push(
            train.iter().chain(&[run.as_str()]).chain(last).map(ToString::to_string).collect(),
        );
    }
    for name in ["finetune", "eval", "predict", "look", "bench", "explain", "models"] {
        requests.push(vec![name.to_owned(), "--help".to_owned()]);
    }
    requests
}

fn ended(mut command: Command) -> Ran {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_of_every_command() {
    let dir = tempfile::tempdir().unwrap();
    for request in requests(dir.path()) {
        let mut command = command(&request);
        command.stdout(File::options().write(true).open("/dev/full").unwrap());
        let ran = ended(command);
        assert!(
            ran.stderr.contains("error: cannot write the output: "),
            "{request:?}: {}",
            ran.stderr
        );
        ran.refuses(1, &["No space left"]);
    }
    // What was trained until then can be gone on with.
    let run = arg(&dir.path().join("run-0"));
    taper(&["finetune", "--resume", &run]).succeeds();
}

#[cfg(unix)]
#[test]
fn a_reader_who_leaves_ends_every_command_without_a_word() {
    use std::os::unix::process::ExitStatusExt;
    let dir = tempfile::tempdir().unwrap();
    for request in requests(dir.path()) {
        // A pipe that nobody reads.
        let mut command = command(&request);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        drop(command); // and its end of the pipe
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = child.wait().unwrap();
        let (error, panicked) = (stderr.contains("error"), stderr.contains("panicked"));
        assert!(!error && !panicked, "{request:?}: {stderr}");
        assert_eq!(
            status.signal(),
            Some(13),
            "{request:?} ends by SIGPIPE, as other programs do: {status}"
        );
    }
    let run = arg(&dir.path().join("run-0"));
    taper(&["finetune", "--resume", &run]).succeeds();
}

#[cfg(unix)]
#[test]
fn the_first_lines_can_be_had_alone() {
    let mut child =
        command(&["models"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("params"));
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn threads_that_no_machine_has_are_refused_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    for mut request in requests(dir.path()) {
        if request.iter().any(|word| word == "--help" || word == "--version") {
            continue;
        }
        for number in ["100000", "1025", "18446744073709551616", "-1"] {
            request.push(format!("--threads={number}"));
            let ran = taper(&request).exits(2);
            assert!(ran.stderr.contains("from 0, for all there are, to 1024"), "{}", ran.stderr);
            request.pop();
        }
    }
    assert!(!dir.path().join("run-0").exists() && !dir.path().join("look").exists());
}
