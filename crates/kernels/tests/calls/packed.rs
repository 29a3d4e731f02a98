//! Weights packed for one convolution and used for another, and the other functions that the fast device alone has.
//!
//! Above: `main`. Below: `draw`. Not here: operations that every device has (`operations`).

use taper_kernels::{
    Activation, AlignedBuf, ConvShape, Cpu, Device, Epilogue, Isa, Reference, Source,
};

use super::draw::{Draw, wide};
use super::{Written, attempt, calls, is_close, is_late};

/// What a packed weight is for.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Filter {
    c: usize,
    oc: usize,
    kernel: [usize; 2],
    groups: usize,
}

impl Filter {
    /// Few enough that two drawn at random often agree.
    fn draw(draw: &mut Draw) -> Self {
        let (groups, kernel) = (draw.pick(&[1, 2, 16]), draw.pick(&[[1, 1], [3, 3], [2, 3]]));
        let (c, oc) = (draw.pick(&[16, 32]), draw.pick(&[16, 32, 80]));
        Self { c, oc, kernel, groups }
    }

    /// A convolution with this filter of `n` images of `size` rows and columns.
    fn shape(self, draw: &mut Draw, [n, size]: [usize; 2]) -> Option<ConvShape> {
        let Self { c, oc, kernel, groups } = self;
        let window = [draw.pick(&[1, 2]), draw.pick(&[1, 1, 2]), draw.below(2)];
        let [stride, dilation, pad] = window;
        let input = [n, size, size, c];
        ConvShape::new(input, oc, kernel, [stride; 2], [dilation; 2], [pad; 4], groups)
    }
}

/// Packs for one filter and convolves with another, on devices of one instruction set or two; the outcome and what it should be.
fn use_packed(cpu: &mut Cpu, draw: &mut Draw) -> Option<[Result<Written, String>; 2]> {
    let packed_on = if draw.one_in(3) { draw.pick(&Isa::here()) } else { cpu.isa() };
    let packed_filter = Filter::draw(draw);
    let filter = if draw.one_in(3) { Filter::draw(draw) } else { packed_filter };
    let sizes = [1 + draw.below(2), 3 + draw.below(4)];
    let (packed_for, shape) = (packed_filter.shape(draw, [1, 7])?, filter.shape(draw, sizes)?);
    draw.say("packed", (packed_on, packed_for));
    draw.say("used", (cpu.isa(), shape));
    let is_gated = draw.one_in(3);
    draw.refuse_if(packed_on != cpu.isa() || packed_filter != filter);
    draw.refuse_if(is_gated && !shape.is_pointwise());

    let weight = draw.values("weight", Some(packed_for.weight_len()));
    let mut y = draw.values("output", Some(shape.output_len()));
    let bias = draw.some_values("bias", Some(filter.oc));
    let activation = draw.pick(&[Activation::Identity, Activation::Relu]);
    let epilogue = Epilogue { bias: bias.as_deref(), residual: None, activation };
    let gate = is_gated.then(|| draw.values("gate", Some(sizes[0] * filter.c)));
    let mut xs = match gate {
        Some(_) => draw.plain("input", Some(shape.input_len())),
        None => draw.tensor("input", Some(shape.input_len()), filter.c),
    };
    let fast = attempt(|| {
        let mut y = y.clone();
        let packed = Cpu::with_isa(1, packed_on)?.pack(&packed_for, &weight);
        if let Some(gate) = &gate {
            cpu.conv_gated(&shape, &xs.data, gate, &packed, epilogue, &mut y);
        } else {
            cpu.conv_packed(&shape, xs.source(), &packed, epilogue, &mut y);
        }
        Some(vec![wide(&y)])
    });
    if draw.is_illegal() {
        return Some([fast.map(Option::unwrap_or_default), Err(String::new())]);
    }
    for (i, x) in xs.data.iter_mut().enumerate() {
        let image = i / (sizes[1] * sizes[1] * filter.c);
        *x *= gate.as_ref().map_or(1.0, |gate| gate[image * filter.c + i % filter.c]);
    }
    Reference.conv_forward(&shape, xs.source(), &weight, epilogue, &mut y, None);
    Some([fast.map(Option::unwrap_or_default), Ok(vec![wide(&y)])])
}

#[test]
fn a_weight_packed_for_something_else_is_refused() {
    for isa in Isa::here() {
        let Some(mut cpu) = Cpu::with_isa(2, isa) else { continue };
        let mut counts = [0u32; 2];
        for seed in 0..calls(1_000) {
            let mut draw = Draw::new(seed);
            let Some([fast, truth]) = use_packed(&mut cpu, &mut draw) else { continue };
            counts[usize::from(truth.is_err())] += 1;
            let problem = match (&fast, &truth) {
                (Err(message), _) if is_late(message) => format!("late: {message}"),
                (Err(_), Err(_)) => continue,
                (Ok(fast), Ok(truth)) if is_close(fast, truth) => continue,
                (fast, truth) => format!("{fast:?}, expected {truth:?}"),
            };
            panic!("call {seed} on {isa:?}: {problem}\n{}", draw.said());
        }
        assert!(cfg!(miri) || counts.iter().all(|&count| count > 200), "{counts:?}");
    }
}

/// The message names both sides.
#[test]
fn a_refused_weight_says_what_it_was_packed_for_and_what_it_is_used_for() {
    let shape = |c| ConvShape::new([1, 4, 4, c], 8, [3, 3], [1; 2], [1; 2], [1; 4], 1).unwrap();
    let mut cpu = Cpu::with_isa(1, Isa::Portable).unwrap();
    let packed = cpu.pack(&shape(2), &[0.0; 144]);
    let (xs, mut y) = ([0.0; 64], [0.0; 128]);
    let refused = attempt(|| {
        let xs = Source::plain(&xs);
        cpu.conv_packed(&shape(4), xs, &packed, Epilogue::default(), &mut y);
    });
    let message = refused.unwrap_err();
    for words in ["Portable", "c: 2", "c: 4", "oc: 8", "[3, 3]", "groups: 1"] {
        assert!(message.contains(words), "{words}: {message}");
    }
}

#[test]
fn threads_and_memory_that_nobody_has_are_refused() {
    for threads in [Cpu::MOST_THREADS + 1, usize::MAX] {
        assert!(attempt(|| Cpu::new(threads)).unwrap_err().contains(&threads.to_string()));
        assert!(attempt(|| Cpu::with_isa(threads, Isa::Portable)).is_err());
    }
    // Miri has no allocator that refuses.
    let lens = [usize::MAX, usize::MAX / 4, 1 << (usize::BITS - 5)];
    for len in &lens[..if cfg!(miri) { 2 } else { 3 }] {
        let len = *len;
        assert!(attempt(|| AlignedBuf::<f32>::zeroed(len)).unwrap_err().contains("a buffer of"));
        let mut buffer = AlignedBuf::<f64>::zeroed(3);
        assert!(attempt(|| buffer.reserve(len)).is_err());
    }
    let absent = [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512].map(|isa| {
        let here = Isa::here().contains(&isa);
        assert_eq!(Cpu::with_isa(1, isa).is_some(), here);
        assert_eq!(attempt(|| isa.multiply_adds(1)).is_ok(), here);
        !here
    });
    assert!(absent.contains(&true), "no machine has all of them");
}
