//! What an explanation says, against the crates that know.
//!
//! Above: `cargo test`. Below: `explain`. Not here: its words on a terminal (`tests/flow`).

use taper_graph::{Padding, Window};

use super::*;

fn told(op: Op, in_channels: usize, input: [usize; 2]) -> Explanation {
    explain(&ExplainOptions::new(op, in_channels, input)).unwrap()
}

fn refused(op: Op, in_channels: usize, input: [usize; 2]) -> String {
    let error = explain(&ExplainOptions::new(op, in_channels, input)).unwrap_err();
    assert!(error.is_request());
    error.to_string()
}

fn pool(kernel: usize, stride: usize, ceil: bool) -> Op {
    let window = Window { padding: Padding::Valid, ..Window::square(kernel, stride) };
    Op::Pool { kind: PoolKind::Max, window, ceil }
}

#[test]
fn the_work_is_the_product_that_is_written() {
    let grouped = Conv { groups: 2, ..Conv::dense(6, 3, 2) };
    let transposed = Op::ConvTranspose { conv: Conv::dense(6, 3, 2), output_padding: [1, 1] };
    for (op, words, count) in [
        (
            Op::Conv(grouped),
            "4·5 positions · 6 filters · 4 / 2 channels · 3·3 taps",
            4 * 5 * 6 * 2 * 9,
        ),
        (transposed, "8·9 positions · 6 filters · 4 channels · 3·3 taps", 8 * 9 * 6 * 4 * 9),
    ] {
        let told = told(op, 4, [8, 9]);
        assert_eq!((told.work.as_str(), told.macs), (words, count));
        assert_eq!(told.operations, 2 * count);
    }
    let pooled = told(pool(3, 2, false), 4, [9, 9]);
    assert_eq!((pooled.work.as_str(), pooled.macs), ("12·12 elements of windows · 4 channels", 0));
    assert_eq!(pooled.operations, 12 * 12 * 4);
    let adaptive = Op::AdaptivePool { kind: PoolKind::Avg, out: [3, 2], at_least: false };
    let adaptive = told(adaptive, 4, [5, 4]);
    assert_eq!(adaptive.operations, 7 * 4 * 4, "windows 0..2 1..4 3..5 and 0..2 2..4");
    assert_eq!(adaptive.sizes[0].numbers, "3; windows 0..2 1..4 3..5");
}

#[test]
fn a_batch_multiplies_work_and_maps_but_not_parameters() {
    let one = ExplainOptions::new(Op::Conv(Conv::pointwise(8)), 4, [6, 6]);
    let two = explain(&ExplainOptions { batch: 2, ..one.clone() }).unwrap();
    let one = explain(&one).unwrap();
    assert_eq!((two.macs, two.params), (2 * one.macs, one.params));
    assert_eq!(one.bytes, 4 * (6 * 6 * 4 + 8 * 4 + 8 + 6 * 6 * 8));
    assert_eq!(two.bytes, 4 * (2 * 6 * 6 * 4 + 8 * 4 + 8 + 2 * 6 * 6 * 8));
    assert_eq!((two.input, two.output), ([2, 6, 6, 4], [2, 6, 6, 8]));
    assert!(two.work.ends_with("· 2 images"), "{}", two.work);
}

#[test]
fn fields_grow_with_the_jump_of_the_layers_before() {
    // VGG's first stage: two 3x3 convolutions and a 2x2 pool see 6x6, then two more and a pool see 16x16.
    let conv = Op::Conv(Conv::dense(8, 3, 1));
    let mut field = ReceptiveField::PIXEL;
    for op in [&conv, &conv, &pool(2, 2, false), &conv, &conv, &pool(2, 2, false)] {
        field = explain(&ExplainOptions {
            before: field,
            ..ExplainOptions::new(op.clone(), 8, [32, 32])
        })
        .unwrap()
        .field;
    }
    assert_eq!(field, ReceptiveField { field: [16.0; 2], jump: [4.0; 2] });
    let global = told(Op::GlobalPool { kind: PoolKind::Avg, squeeze: false }, 4, [7, 5]);
    assert_eq!(global.field, ReceptiveField { field: [7.0, 5.0], jump: [7.0, 5.0] });
    let transposed = Op::ConvTranspose { conv: Conv::dense(4, 3, 2), output_padding: [0; 2] };
    assert_eq!(
        told(transposed, 4, [7, 5]).window,
        ReceptiveField { field: [2.0; 2], jump: [0.5; 2] }
    );
}

#[test]
fn kernels_are_those_of_the_engine_and_what_it_lacks_is_said() {
    let kernel = |op: Op| told(op, 4, [8, 8]).kernel;
    assert_eq!(kernel(Op::Conv(Conv::depthwise(4, 3, 1))).as_deref(), Some("depthwise"));
    assert_eq!(kernel(Op::Conv(Conv::pointwise(3))).as_deref(), Some("pointwise"));
    assert_eq!(kernel(Op::Conv(Conv::dense(3, 3, 1))).as_deref(), Some("dense"));
    assert_eq!(kernel(pool(2, 2, false)).as_deref(), Some("pool"));
    assert_eq!(kernel(Op::BlurPool { window: Window::square(3, 2) }).as_deref(), Some("positions"));
    let transposed = Op::ConvTranspose { conv: Conv::dense(4, 3, 2), output_padding: [0; 2] };
    assert_eq!(kernel(transposed).as_deref(), Some("transposed"));
    let mode = PadMode::Reflect;
    let reflected =
        Conv { window: Window { mode, ..Window::square(3, 1) }, ..Conv::dense(3, 3, 1) };
    assert!(told(Op::Conv(reflected), 4, [8, 8]).why.ends_with("copied with its padding"));
    let isa = Isa::best();
    let told = told(Op::Conv(Conv::pointwise(3)), 4, [8, 8]);
    assert_eq!((told.isa, told.lanes), (format!("{isa:?}"), isa.lanes()));
}

#[test]
fn what_cannot_be_is_refused_with_the_formula() {
    let message = refused(pool(5, 2, false), 4, [8, 4]);
    assert!(message.contains("floor((4 + 0 + 0 − 1·(5 − 1) − 1) / 2) + 1 = 0"), "{message}");
    let message = refused(Op::Conv(Conv { groups: 3, ..Conv::dense(6, 3, 1) }), 4, [8, 8]);
    assert!(message.contains("4 mod 3 = 1"), "{message}");
    assert!(refused(Op::Flatten, 4, [8, 8]).contains("fixed size"));
    assert!(refused(Op::ChannelScale, 4, [8, 8]).contains("not one of conv"));
    let none = ExplainOptions { batch: 0, ..ExplainOptions::new(pool(2, 2, false), 4, [8, 8]) };
    assert!(explain(&none).unwrap_err().to_string().contains("`batch`"));
}

#[test]
fn the_largest_layers_overflow_nothing() {
    let same = Window { padding: Padding::Same, ..Window::square(1 << 20, 1) };
    let pool = Op::Pool { kind: PoolKind::Avg, window: same, ceil: false };
    let options =
        ExplainOptions { batch: 1 << 20, ..ExplainOptions::new(pool, 1, [1 << 20, 1 << 11]) };
    assert_eq!(explain(&options).unwrap().operations, u64::MAX);
}
