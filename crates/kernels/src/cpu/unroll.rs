//! Loops written out by the compiler's macro, for what must stay in registers.
//!
//! Above: `cpu::{gemm, depthwise}`. Below: nothing. Not here: loops over memory.

/// The body once for every number under `$n`, which is at most `max`, as the constant `$i`.
macro_rules! each {
    ($i:ident < $n:expr, $body:expr) => {
        each!(@ $i $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    ($i:ident < 4 max $n:expr, $body:expr) => {
        each!(@ $i $n, $body, 0 1 2 3)
    };
    ($i:ident < 5 max $n:expr, $body:expr) => {
        each!(@ $i $n, $body, 0 1 2 3 4)
    };
    ($i:ident < 7 max $n:expr, $body:expr) => {
        each!(@ $i $n, $body, 0 1 2 3 4 5 6)
    };
    ($i:ident < 17 max $n:expr, $body:expr) => {
        each!(@ $i $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    };
    (@ $i:ident $n:expr, $body:expr, $($k:literal)*) => {
        // A constant condition, so that what is left out is not even compiled.
        $(if const { $n > $k } {
            const $i: usize = $k;
            $body
        })*
    };
}
pub(crate) use each;
