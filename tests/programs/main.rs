//! The programs of `docs/programs`, run on data sets small enough for a test.
//!
//! Above: nothing. Below: `docs/programs`. Not here: the data sets themselves; `docs/fashion-mnist.md` has the figures.

#[path = "../../docs/programs/fashion_mnist.rs"]
#[expect(dead_code, reason = "`main` reads the command line, which a test has none of")]
mod fashion_mnist;
mod serve;

use std::fs;
use std::path::Path;

/// An IDX file of unsigned bytes with `N` axes.
fn idx<const N: u8>(shape: &[u8], bytes: &[u8]) -> Vec<u8> {
    let lengths = shape.iter().flat_map(|&axis| [0, 0, 0, axis]);
    [0, 0, 8, N].into_iter().chain(lengths).chain(bytes.iter().copied()).collect()
}

/// `n` pictures: class 3 is a horizontal bar, class 7 a vertical one, in another place and gray each time.
fn write(dir: &Path, part: &str, n: u8) -> std::io::Result<()> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for i in 0..n {
        let (place, is_upright) = (4 + i % 17, i % 2 == 1);
        labels.push(if is_upright { 7 } else { 3 });
        for (row, col) in (0..28).flat_map(|row| (0..28).map(move |col| (row, col))) {
            let across = if is_upright { col } else { row };
            pixels.push(if (place..place + 3).contains(&across) { 150 + i } else { 0 });
        }
    }
    let file = |kind: &str| dir.join(format!("{part}-{kind}-ubyte"));
    fs::write(file("images-idx3"), idx::<3>(&[n, 28, 28], &pixels))?;
    fs::write(file("labels-idx1"), idx::<1>(&[n], &labels))
}

#[test]
fn lenet5_learns_two_shapes_and_the_same_bits_from_the_same_seed() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "train", 100).unwrap(); // two batches, the second with 36 pictures
    write(dir.path(), "t10k", 34).unwrap();
    let run = |seed| fashion_mnist::run(dir.path(), 40, seed).unwrap();
    let epochs = run(1);
    let (first, last) = (&epochs[0], &epochs[39]);
    assert!((1.5..2.6).contains(&first.loss), "ten classes: ln 10 is 2.3, not {}", first.loss);
    assert!(last.loss < 0.1 && last.top1 > 0.99, "{last:?}");
    let bits = |epochs: &[fashion_mnist::Epoch]| -> Vec<u64> {
        epochs.iter().map(|epoch| epoch.loss.to_bits()).collect()
    };
    assert_eq!(bits(&epochs), bits(&run(1)));
    assert_ne!(bits(&epochs), bits(&run(2)));
}
