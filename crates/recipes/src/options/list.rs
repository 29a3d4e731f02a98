//! Options as a list of names and values, made where they are declared.
//!
//! Above: `options::fine_tune`. Below: nothing. Not here: which options there are.

use std::path::PathBuf;

use taper_transfer::Freeze;

use super::augment::Augment;
use super::choice::{
    CacheKind, ClassWeights, HeadInit, LossKind, MatmulPrecision, Norms, OptimizerKind, Preset,
    Pretrained, Reduce, ReduceDtype, Sampling, ScheduleKind, TargetWord,
};
use super::numbers::Numbers;

/// What an option decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What the result is.
    Recipe,
    /// Where things are and who works.
    Place,
}

/// One option of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionValue {
    /// The field's name.
    pub name: &'static str,
    /// Its value, as on the command line; `none` where there is none.
    pub value: String,
    /// What it decides.
    pub role: Role,
}

/// Declares options: the struct, its [`Default`] and the list of its fields, so that a new option is written in one place.
macro_rules! options {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty = $default:expr => $role:ident,)+
    }) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)+ }
            }
        }

        impl $name {
            /// Every option with its value, in the order of the fields.
            pub fn list(&self) -> Vec<$crate::options::OptionValue> {
                vec![$($crate::options::OptionValue {
                    name: stringify!($field),
                    value: $crate::options::list::Spelled::spelled(&self.$field),
                    role: Role::$role,
                },)+]
            }
        }
    };
}
pub(super) use options;

/// Spells a value as the command line does.
pub(super) trait Spelled {
    fn spelled(&self) -> String;
}

macro_rules! as_displayed {
    ($($type:ty),+) => {
        $(impl Spelled for $type {
            fn spelled(&self) -> String {
                self.to_string()
            }
        })+
    };
}
as_displayed!(
    usize,
    u32,
    u64,
    f64,
    bool,
    String,
    Freeze,
    Augment,
    CacheKind,
    ClassWeights,
    HeadInit,
    LossKind,
    MatmulPrecision,
    Norms,
    Sampling,
    TargetWord,
    Numbers,
    OptimizerKind,
    Preset,
    Pretrained,
    Reduce,
    ReduceDtype,
    ScheduleKind
);

impl Spelled for PathBuf {
    fn spelled(&self) -> String {
        self.display().to_string()
    }
}

impl<T: Spelled> Spelled for Option<T> {
    fn spelled(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Spelled::spelled)
    }
}
