//! Golden files: each says in its metadata which committed script made it. Other weights lie in crates that bring them.
//!
//! Above: `tidy`. Below: `serde_json`. Not here: comparing with them (`tests/golden`).
//! A `.safetensors` file begins with the length of its JSON header as a little-endian u64.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Problem, Rule};

/// Longest header that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// What the metadata of a fixture must have: the command that makes it again, and the day it was made.
const KEYS: [&str; 2] = ["command", "date"];

/// Where weights that are no fixture may lie: in the crates that bring them.
const WEIGHTS: &str = "crates/weights-";

/// Checks the `.safetensors` file at `name`, from `root`.
pub(super) fn check(root: &Path, name: &str) -> Result<Vec<Problem>> {
    let problem = |message: String| Problem {
        path: PathBuf::from(name),
        line: 0,
        message,
        rule: Rule::Fixtures,
    };
    if !name.contains("/fixtures/") {
        let is_brought = name.starts_with(WEIGHTS);
        let stray = "it is neither a fixture nor the weights of a crate that brings weights: a run that was left here?";
        return Ok((!is_brought).then(|| problem(stray.to_owned())).into_iter().collect());
    }
    let header = header(&root.join(name)).with_context(|| format!("reading `{name}`"))?;
    let metadata = &header["__metadata__"];
    let missing = KEYS.iter().filter(|key| metadata[**key].as_str().is_none());
    let mut problems: Vec<Problem> =
        missing.map(|key| problem(format!("the metadata has no `{key}`"))).collect();
    if let Some(command) = metadata["command"].as_str() {
        match generator(command) {
            Some(script) if root.join(script).is_file() => {}
            Some(script) => {
                problems
                    .push(problem(format!("its generator `{script}` is not in the repository")));
            }
            None => {
                problems.push(problem(format!("`{command}` names no script of tests/generators")));
            }
        }
    }
    Ok(problems)
}

/// The script in a command such as `python tests/generators/conv.py --seed 1`.
fn generator(command: &str) -> Option<&str> {
    command.split_whitespace().find(|word| word.starts_with("tests/generators/"))
}

fn header(path: &Path) -> Result<serde_json::Value> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let mut text = Vec::new();
    file.take(u64::from_le_bytes(length).min(LONGEST)).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, metadata: &str) {
        let header = format!("{{\"__metadata__\":{metadata}}}");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        std::fs::create_dir_all(folder.join("fixtures")).unwrap();
        std::fs::write(folder.join("fixtures/a.safetensors"), bytes).unwrap();
    }

    #[test]
    fn weights_lie_in_crates_that_bring_them_and_nowhere_else() {
        let of = |name| check(Path::new(""), name).unwrap().len();
        assert_eq!(of("crates/weights-mobilenet-v2/weights.safetensors"), 0);
        assert_eq!(of("crates/cli/runs/finetune-1/model.safetensors"), 1);
        assert_eq!(of("docs/model.safetensors"), 1);
    }

    #[test]
    fn a_fixture_needs_its_generator() {
        let folder = std::env::temp_dir().join(format!("taper-tidy-{}", std::process::id()));
        let name = "x/fixtures/a.safetensors";
        write(
            &folder.join("x"),
            r#"{"command":"python tests/generators/gone.py","date":"2026-01-01"}"#,
        );
        let found = check(&folder, name).unwrap();
        assert!(found[0].to_string().contains("gone.py"), "{found:?}");
        std::fs::create_dir_all(folder.join("tests/generators")).unwrap();
        std::fs::write(folder.join("tests/generators/gone.py"), "").unwrap();
        assert!(check(&folder, name).unwrap().is_empty());
        write(&folder.join("x"), "{}");
        assert_eq!(check(&folder, name).unwrap().len(), 2);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
