//! How a command ends that failed: the message in the words of the command line, and the exit code.
//!
//! Above: `main`, `ranks`. Below: `taper_recipes::Error`, `ranks`. Not here: what went wrong (`taper_recipes`).
//! Libraries name the fields of their options; that a field is a flag is known here, and to the page of a run, which says how to repeat it.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use taper_recipes::Error;

use crate::ranks::OfRank;
use crate::{output, signals};

/// A word that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the output")]
pub(crate) struct Unwritten(#[source] pub(crate) io::Error);

/// A flag that cannot be given together with `--resume`.
#[derive(Debug, thiserror::Error)]
#[error("--{flag} cannot be changed with --resume: the run remembers it")]
pub(crate) struct Remembered {
    /// Without its hyphens.
    pub(crate) flag: String,
}

/// A folder that is taken, of a command whose `--resume` names no folder.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{}` already holds a run: choose another --out, or go on with the same flags and --resume", path.display()
)]
pub(crate) struct Taken {
    /// The folder.
    pub(crate) path: PathBuf,
}

/// Says what went wrong and how the program ends: 2 if the request was wrong, 130 if it was stopped, 1 if the work failed.
pub(crate) fn end(error: &anyhow::Error) -> ExitCode {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        return usage_or_help(usage);
    }
    if let Some(Unwritten(source)) = error.downcast_ref::<Unwritten>()
        && source.kind() == io::ErrorKind::BrokenPipe
    {
        return reader_left();
    }
    drop(output::complain(&format!("error: {}", words(error))));
    code(error)
}

/// How the program ends whose error has been told.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    let of_rank = error.downcast_ref::<OfRank>().map(|rank| &rank.source);
    match of_rank.or_else(|| error.downcast_ref::<Error>()) {
        Some(Error::Stopped) => ExitCode::from(signals::STOPPED),
        Some(error) if error.is_request() => ExitCode::from(2),
        None if error.is::<Remembered>() || error.is::<Taken>() => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

/// Help and the version, which go to standard output, and mistakes on the command line, which do not.
fn usage_or_help(usage: &clap::Error) -> ExitCode {
    let printed = usage.print().and_then(|()| io::Write::flush(&mut io::stdout()));
    match (usage.kind(), printed) {
        (_, Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => reader_left(),
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, Err(error)) => {
            end(&Unwritten(error).into())
        }
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}

/// Ends as other programs do whose reader has left, without a word: by the signal, where there are signals.
fn reader_left() -> ExitCode {
    #[cfg(unix)]
    drop(signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGPIPE));
    ExitCode::FAILURE
}

/// The message and its causes, with flags in the place of fields.
fn words(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Error>() {
        Some(Error::Option { field, got, expected }) => {
            format!("{} is {got}, it must be {expected}", flag(field))
        }
        Some(Error::OutExists { path }) => {
            let path = path.display();
            format!(
                "`{path}` already holds a run: choose another --out, or go on with --resume {path}"
            )
        }
        Some(Error::UnknownClasses { unknown, known }) => format!(
            "the model does not know {unknown}; it knows {known}; `--labels order` goes by position instead of by name"
        ),
        Some(Error::UnknownWeights { .. }) => {
            format!("{error:#}, or --arch NETWORK; `taper models` lists networks and weights")
        }
        _ => format!("{error:#}"),
    }
}

/// The flag of an option's field.
fn flag(field: &str) -> String {
    match field {
        "layers" => "--layer".to_owned(),
        field => format!("--{}", field.replace('_', "-")),
    }
}

#[cfg(test)]
mod tests {
    use taper_recipes::{FineTuneOptions, LookOptions};

    use super::*;

    #[test]
    fn a_field_is_told_as_its_flag() {
        let error = FineTuneOptions { batch_size: 0, ..FineTuneOptions::default() }.check();
        assert_eq!(words(&error.unwrap_err().into()), "--batch-size is 0, it must be 1 or more");
        let look = LookOptions { channels: 0, ..LookOptions::new("a", vec!["b".into()], "c") };
        assert_eq!(
            words(&look.check().unwrap_err().into()),
            "--channels is 0, it must be 1 or more"
        );
    }

    #[test]
    fn causes_are_told_too() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let told = words(&Unwritten(full).into());
        assert!(told.starts_with("cannot write the output: "), "{told}");
    }
}
