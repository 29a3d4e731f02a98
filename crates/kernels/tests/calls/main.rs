//! Public functions called with arguments that do not fit: wrong lengths, other shapes, sizes that are zero or beyond all memory,
//! weights packed for something else.
//!
//! Above: `cargo test`. Below: `draw`, `operations`, `packed`, `shapes`. Not here: right results over the whole legal space (`twins`).
//! Every call either panics with a message of its own or gives what the scalar twin gives. A call that reads or writes where it may not
//! ends the process, or is found by the sanitizer (`cargo xtask sanitize`).

mod draw;
mod operations;
mod packed;
mod shapes;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use taper_kernels::{Cpu, Device, Isa, Reference};

use draw::Draw;

/// What a call wrote, by argument.
type Written = Vec<Vec<f64>>;

thread_local! {
    /// Whether a panic of this thread is one that is waited for.
    static AWAITED: Cell<bool> = const { Cell::new(false) };
}

/// What a call gives, or the message of its panic. Panics inside do not print.
fn attempt<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let helper = std::thread::current().name().is_some_and(|n| n.starts_with("taper-"));
            if !helper && !AWAITED.get() {
                loud(panic);
            }
        }));
    });
    AWAITED.set(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    AWAITED.set(false);
    result.map_err(|panic| {
        let literal = panic.downcast_ref::<&str>().map(|&message| message.to_owned());
        panic.downcast_ref::<String>().cloned().or(literal).unwrap_or_default()
    })
}

/// Messages of slices and integers: an argument got past the checks.
fn is_late(message: &str) -> bool {
    let late = ["out of bounds", "out of range", "attempt to", "do not match", "divide by zero"];
    message.is_empty() || late.iter().any(|words| message.contains(words))
}

/// All devices of this machine, kept over all calls: a refused call leaves a device as good as it was.
fn fast() -> Vec<(String, Cpu)> {
    let mut devices = Vec::new();
    for isa in Isa::here() {
        for threads in [1, 3] {
            let cpu = Cpu::with_isa(threads, isa);
            devices.extend(cpu.map(|cpu| (format!("{isa:?} with {threads} threads"), cpu)));
        }
    }
    devices
}

fn is_close(fast: &[Vec<f64>], truth: &[Vec<f64>]) -> bool {
    let close = |(fast, truth): (&Vec<f64>, &Vec<f64>)| {
        let scale = truth.iter().fold(0.1f64, |m, v| m.max(v.abs()));
        let same =
            |(f, t): (&f64, &f64)| (f - t).abs() <= 2e-5 * scale || (f.is_nan() && t.is_nan());
        fast.len() == truth.len() && fast.iter().zip(truth).all(same)
    };
    fast.len() == truth.len() && fast.iter().zip(truth).all(close)
}

/// How many calls a test makes: few where an interpreter runs them.
const fn calls(many: u64) -> u64 {
    if cfg!(miri) { many / 100 } else { many }
}

#[test]
fn two_thousand_random_calls_panic_with_a_message_or_are_right() {
    let (mut devices, mut counts) = (fast(), [0u32; 2]);
    for seed in 0..calls(4_000) {
        let mut draw = Draw::new(seed);
        let name = operations::name(&mut draw.clone());
        let mut run = |device: &mut dyn Device<f32>| {
            draw = Draw::new(seed);
            attempt(|| operations::call(device, &mut draw))
        };
        let truth = run(&mut Reference);
        let outcomes: Vec<_> = devices.iter_mut().map(|(_, device)| run(device)).collect();
        let (illegal, boundless) = (draw.is_illegal(), draw.is_boundless());
        counts[usize::from(illegal)] += 1;
        for ((device, _), fast) in devices.iter().zip(&outcomes) {
            let problem = match (fast, &truth) {
                (Err(message), _) | (_, Err(message)) if is_late(message) => {
                    format!("late: {message}")
                }
                (Err(_), Err(_)) if illegal => continue,
                (Ok(_), _) | (_, Ok(_)) if illegal => "not refused".to_owned(),
                // Scratch for a window nobody has memory for is refused by the device that needs it.
                (Err(message), Ok(_)) if boundless && message.contains("a buffer of") => continue,
                (Ok(fast), Ok(truth)) if is_close(fast, truth) => continue,
                (fast, truth) => format!("{fast:?} but the twin says {truth:?}"),
            };
            panic!("call {seed}, {name} on {device}: {problem}\n{}", draw.said());
        }
    }
    let enough = cfg!(miri) || counts.iter().all(|&count| count >= 1_000);
    assert!(enough, "{counts:?} legal and illegal calls");
    eprintln!("{} legal and {} illegal calls", counts[0], counts[1]);
}
