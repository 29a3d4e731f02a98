//! `--augment`: a word of `taper_recipes::Augment`, or `list` for all there are.
//!
//! Above: `finetune`. Below: `taper_recipes`. Not here: what the words mean.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use taper_recipes::{Augment, Error};

use crate::output::Output;

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) enum AugmentFlag {
    List,
    Is(Augment),
}

const LIST: &str = "list";

impl FromStr for AugmentFlag {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        if word == LIST { Ok(Self::List) } else { word.parse().map(Self::Is) }
    }
}

impl fmt::Display for AugmentFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str(LIST),
            Self::Is(augment) => augment.fmt(f),
        }
    }
}

/// Prints every augmentation with its default numbers, a line each.
pub(crate) fn list(output: &Output) -> Result<()> {
    let help = Augment::help();
    let width = help.iter().map(|line| line.spelling.chars().count()).max().unwrap_or(0);
    for line in &help {
        output.say(format!("{:width$}  {}", line.spelling, line.about));
    }
    output.json(&help)
}
