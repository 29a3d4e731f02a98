//! Classifies pictures: a model file and this crate are all it takes.
//!
//! Usage: `cargo run --release -p taper-classifier --example classify -- model.safetensors picture.jpg …`
//! Not here: serving threads (`docs/programs/serve.rs`), models by name (`taper predict`).
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks")]

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use taper_classifier::{Classifier, ClassifierOptions};

/// Classes that are printed.
const TOP: usize = 5;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [model, pictures @ ..] = args.as_slice() else {
        eprintln!("usage: classify MODEL.safetensors PICTURE.jpg…");
        return ExitCode::from(2);
    };
    match classify(Path::new(model), pictures) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("error: {error}");
            let mut cause = error.source();
            while let Some(deeper) = cause {
                eprint!(": {deeper}");
                cause = deeper.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

/// Prints what the pictures most probably show.
fn classify(model: &Path, pictures: &[OsString]) -> Result<(), Box<dyn Error>> {
    let classifier = Classifier::load(model, &ClassifierOptions::default())?;
    for picture in pictures.iter().map(Path::new) {
        println!("{}", picture.display());
        for found in classifier.classify(picture, TOP)? {
            println!("{:5.1} %  {}", 100.0 * found.probability, found.class);
        }
    }
    Ok(())
}
