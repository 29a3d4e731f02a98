//! A new head that begins with what the old one says of the new classes' pictures, instead of at random.
//!
//! Above: `recipes`. Below: `model`, `engine::Session`. Not here: where features come from (`features`), training what comes of it (`recipes`).
//! A network of a thousand classes often knows the new ones, or something like them: what it takes their pictures for is in its answers, as in LEEP
//! (Nguyen et al. 2020, <https://arxiv.org/abs/2002.12462>), which measures by them how well a network will transfer.

use taper_engine::{Session, SessionOptions};
use taper_model::{Model, Task, mix_classifier};

use crate::error::{Error, Result};

/// What the mixed logits are multiplied by: little enough for a head that is trained next to leave them where they are wrong. Of 0.3, 0.5 and 1
/// (docs/transfer.md's pictures, a linear classifier by `AdamW`), the larger ones are worth up to 0.02 more where the network knows the classes and cost up to
/// 0.03 where it does not.
const SCALE: f64 = 0.3;

/// Features that the old head sees at once.
const ROWS: usize = 256;

/// A head whose classes' weights are mixed of those of an old one: each old class has the share that the old head's probabilities have on average over the
/// new class's pictures, less the average over all new classes, which would move no probability; and
/// all of it times 0.3, for what is trained next is to go on from there. A class without pictures has no weights.
///
/// # Shapes
/// - `head`: as [`detach_head`](crate::detach_head) makes it, of features of length `c`   - `features`: `(n, c)`
/// - `belongs`: `(n, classes)`, how much each picture is of each class, 0 to 1
///
/// # Errors
/// [`Error::Members`] if `belongs` is not `(n, classes)`; as [`mix_classifier`], and what the engine says.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, GraphBuilder, PoolKind};
/// use taper_model::{Model, Preprocess};
/// use taper_transfer::mixed_head;
/// let mut b = GraphBuilder::new(2)?;
/// let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
/// b.output("pre_logits", xs)?;
/// let logits = b.linear("classifier", xs, 3, Bias::With)?;
/// b.output("logits", logits)?;
/// let mut old = Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?;
/// let mut tensors = old.tensors().to_vec();
/// tensors[0].data = vec![9.0, 0.0, 0.0, 9.0, 0.0, 0.0]; // a class for each feature, and one for none
/// old = old.with_tensors(tensors)?;
/// let new = mixed_head(&old, &["left".into(), "right".into()], &[1.0, 0.0, 0.0, 1.0], &[1.0, 0.0, 0.0, 1.0])?;
/// let weights = &new.tensor("classifier.weight").unwrap().data;
/// assert!(weights[0] > 1.0 && weights[1] < -1.0 && weights[3] > 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mixed_head(
    head: &Model,
    classes: &[String],
    features: &[f32],
    belongs: &[f32],
) -> Result<Model> {
    let k = classes.len().max(1);
    let n = belongs.len() / k;
    let c = features.len() / n.max(1);
    if n * k != belongs.len() || n * c != features.len() || n == 0 || c == 0 {
        let (features, belongs) = (features.len(), belongs.len());
        return Err(Error::Members { features, belongs, classes: classes.len() });
    }
    let options = SessionOptions { threads: 1, outputs: vec!["logits".to_owned()] };
    let mut session = Session::new(head, &options)?;
    let (mut sums, mut counts) = (Vec::new(), vec![0.0f64; k]);
    for (features, belongs) in features.chunks(ROWS * c).zip(belongs.chunks(ROWS * k)) {
        let rows = belongs.len() / k;
        let logits = session.run(features, [rows, 1, 1])?;
        let old = (logits.len() / rows).max(1);
        sums.resize(old * k, 0.0);
        for (logits, belongs) in logits.chunks_exact(old).zip(belongs.chunks_exact(k)) {
            let said = Task::Classification.probabilities(logits);
            for (class, &belongs) in belongs.iter().enumerate().filter(|(_, it)| **it > 0.0) {
                let belongs = f64::from(belongs);
                counts[class] += belongs;
                let sums = &mut sums[class * old..(class + 1) * old];
                sums.iter_mut().zip(&said).for_each(|(sum, said)| *sum += belongs * said);
            }
        }
    }
    Ok(mix_classifier(head, classes, &shares(&sums, &counts))?)
}

/// The mean of each class, less that of all classes with pictures.
fn shares(sums: &[f64], counts: &[f64]) -> Vec<f32> {
    let old = (sums.len() / counts.len().max(1)).max(1);
    let known = counts.iter().filter(|count| **count > 0.0).count().max(1);
    let mut means: Vec<f64> = sums.to_vec();
    for (row, count) in means.chunks_mut(old).zip(counts) {
        row.iter_mut().for_each(|sum| *sum /= count.max(f64::MIN_POSITIVE));
    }
    #[expect(clippy::cast_precision_loss, reason = "classes stay far below 2^53")]
    let of_all = |place: usize| means.iter().skip(place).step_by(old).sum::<f64>() / known as f64;
    let of_all: Vec<f64> = (0..old).map(of_all).collect();
    let mut out = Vec::with_capacity(means.len());
    for (row, &count) in means.chunks(old).zip(counts) {
        let less = |(mean, all): (&f64, &f64)| if count > 0.0 { SCALE * (mean - all) } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, reason = "parameters are of this precision")]
        out.extend(row.iter().zip(&of_all).map(|it| less(it) as f32));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::tests::test_net;
    use crate::{detach_head, replace_head};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// More vectors than are seen at once.
    fn features(n: usize) -> Vec<f32> {
        (0..n * 12).map(|i| (i as f32 * 0.37).sin()).collect()
    }

    #[test]
    fn logits_are_the_old_ones_by_what_the_old_head_takes_the_pictures_for() {
        let old = detach_head(&test_net()).unwrap();
        let n = ROWS + 7;
        let features = features(n);
        let belongs: Vec<f32> =
            (0..n).flat_map(|i| if i % 3 == 0 { [1.0, 0.0] } else { [0.25, 0.75] }).collect();
        let new = mixed_head(&old, &names(&["x", "y"]), &features, &belongs).unwrap();
        let logits = |model: &Model| {
            let mut session = Session::new(model, &SessionOptions::default()).unwrap();
            session.run(&features, [n, 1, 1]).unwrap().to_vec()
        };
        let (was, is) = (logits(&old), logits(&new));
        // One by one, as the definition has it.
        let said: Vec<Vec<f64>> =
            was.chunks(3).map(|it| Task::Classification.probabilities(it)).collect();
        let mean = |class: usize, place: usize| {
            let weights = belongs.chunks(2).map(|it| f64::from(it[class]));
            let total: f64 = weights.clone().sum();
            weights.zip(&said).map(|(weight, said)| weight * said[place]).sum::<f64>() / total
        };
        for (was, is) in was.chunks(3).zip(is.chunks(2)) {
            for class in 0..2 {
                let expected: f64 = (0..3)
                    .map(|place| {
                        let all = (mean(0, place) + mean(1, place)) / 2.0;
                        SCALE * (mean(class, place) - all) * f64::from(was[place])
                    })
                    .sum();
                assert!((f64::from(is[class]) - expected).abs() < 1e-5, "{expected} {is:?}");
            }
        }
        assert_eq!(new.classes(), names(&["x", "y"]));
    }

    #[test]
    fn a_class_without_pictures_has_no_weights_and_what_does_not_fit_is_refused() {
        let old = detach_head(&test_net()).unwrap();
        let classes = names(&["x", "none", "y"]);
        let belongs = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        let new = mixed_head(&old, &classes, &features(2), &belongs).unwrap();
        let weights = &new.tensor("classifier.weight").unwrap().data;
        assert!(weights[12..24].iter().all(|it| *it == 0.0));
        assert!(weights[..12].iter().zip(&weights[24..]).all(|(x, y)| (x + y).abs() < 1e-6));
        assert!(weights[..12].iter().any(|it| *it != 0.0));
        for (features, belongs) in [
            (features(2), &belongs[..5]),
            (features(2)[1..].to_vec(), &belongs[..]),
            (Vec::new(), &[][..]),
        ] {
            let refused = mixed_head(&old, &classes, &features, belongs).unwrap_err();
            assert!(matches!(refused, Error::Members { classes: 3, .. }), "{refused}");
        }
        let other = replace_head(&test_net(), &names(&["a", "b"]), 0).unwrap();
        let other = detach_head(&other).unwrap();
        assert!(mixed_head(&other, &classes, &features(2), &belongs).is_ok());
    }
}
