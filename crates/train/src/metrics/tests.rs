//! Every metric against a count by hand or by another way, its state, and what it refuses.

use proptest::prelude::*;
use taper_data::{Array, Target, Targets};

use super::review::MISTAKES;
use super::*;

fn output<'a>(values: &'a [f32], shape: &'a [usize]) -> Output<'a> {
    Output { name: "y", values, shape }
}

fn add(metric: &mut dyn Metric, values: &[f32], shape: &[usize], targets: &Targets) -> Result<()> {
    let indices: Vec<usize> = (0..shape[0]).collect();
    metric.update(&Predictions::new(vec![output(values, shape)], targets, &indices)?)
}

fn value(
    metric: &mut dyn Metric,
    values: &[f32],
    shape: &[usize],
    targets: &Targets,
) -> Option<f64> {
    metric.reset();
    add(metric, values, shape, targets).unwrap();
    metric.compute()
}

fn f32s(values: &[f32], shape: &[usize]) -> Array<f32> {
    Array::new(values.to_vec(), shape.to_vec()).unwrap()
}

#[test]
fn top5_of_four_classes_is_everything() {
    let targets = vec![0].into();
    let of = |k| value(&mut Accuracy::top(k), &[0.0, 1.0, 2.0, 3.0], &[1, 4], &targets);
    assert_eq!([of(1), of(3), of(4), of(5)], [0.0, 0.0, 1.0, 1.0].map(Some));
}

#[test]
fn a_label_that_is_not_known_counts_in_no_metric() {
    let nan = f32::NAN;
    let shape = &[4, 2];
    let logits = &[2.0, -1.0, -0.5, 3.0, 1.0, 0.5, -2.0, -0.1];
    let targets = Targets::Labels(f32s(&[1.0, nan, 0.0, 1.0, nan, 0.0, 1.0, 1.0], shape));
    let share = value(&mut MultiLabelAccuracy::new(), logits, shape, &targets);
    assert_eq!(share, Some(3.0 / 6.0));
    // First label: right 1, predicted 1, holding 2. Second: right 1, predicted 2, holding 2.
    let f1 = value(&mut MultiLabelF1::new(), logits, shape, &targets).unwrap();
    assert!((f1 - (2.0 / 3.0 + 0.5) / 2.0).abs() < 1e-12, "{f1}");
    for mut area in [RankingArea::roc(), RankingArea::average_precision()] {
        let with_unknown = value(&mut area, logits, shape, &targets).unwrap();
        // Each label alone, of the pictures for which it is known.
        let first = Targets::Labels(f32s(&[1.0, 0.0, 1.0], &[3, 1]));
        let second = Targets::Labels(f32s(&[1.0, 0.0, 1.0], &[3, 1]));
        let first = value(&mut area, &[2.0, -0.5, -2.0], &[3, 1], &first).unwrap();
        let second = value(&mut area, &[3.0, 0.5, -0.1], &[3, 1], &second).unwrap();
        assert!((with_unknown - f64::midpoint(first, second)).abs() < 1e-12);
        let mut other = area.clone();
        area.reset();
        add(&mut area, logits, shape, &targets).unwrap();
        other.load_state(&area.state());
        assert_eq!(other.compute(), area.compute());
    }
}

#[test]
fn the_surest_mistakes_are_kept_in_order() {
    let mut review = Review::new();
    for i in 0..50u8 {
        let index = [usize::from(i)];
        let logits = [f32::from(i % 25), 0.0];
        let targets = vec![1].into();
        let batch = Predictions::new(vec![output(&logits, &[1, 2])], &targets, &index).unwrap();
        review.update(&batch).unwrap();
    }
    let mistakes = review.mistakes();
    assert_eq!(mistakes.len(), MISTAKES);
    assert_eq!([mistakes[0].index, mistakes[1].index, mistakes[2].index], [24, 49, 23]);
    assert!(mistakes.is_sorted_by(|a, b| a.probability >= b.probability));
    assert_eq!(review.confusion().count(1, 0) + review.confusion().count(1, 1), 50);
    review.reset();
    assert_eq!(review, Review::new());
}

#[test]
fn a_nan_is_wrong_and_spoils_the_loss() {
    let of = |metric: &mut dyn Metric| value(metric, &[f32::NAN, 1.0], &[1, 2], &vec![1].into());
    assert!(of(&mut LogLoss::new()).unwrap().is_nan());
    assert_eq!([of(&mut Accuracy::top(1)), of(&mut Accuracy::top(5))], [Some(0.0), Some(0.0)]);
}

#[test]
fn of_no_samples_a_metric_is_0() {
    let metrics: [&dyn Metric; 6] = [
        &Accuracy::top(1),
        &LogLoss::new(),
        &MeanAbsoluteError::new(),
        &MultiLabelAccuracy::new(),
        &MultiLabelF1::new(),
        &MeanIou::new(),
    ];
    for metric in metrics {
        assert_eq!(metric.compute(), Some(0.0), "{}", metric.name());
    }
}

#[test]
fn probabilities_count_as_their_likeliest_class() {
    let soft = Targets::Probabilities(f32s(&[0.1, 0.7, 0.2, 0.5, 0.0, 0.5], &[2, 3]));
    let logits = [0.0, 3.0, 1.0, 0.0, 0.0, 1.0];
    assert_eq!(value(&mut Accuracy::top(1), &logits, &[2, 3], &soft), Some(0.5));
}

/// Two samples of one row of three pixels and two classes; classes 0 1 1 and 1 1 0, told as 0 1 0 and 1 0 0.
fn maps() -> (Vec<f32>, Targets) {
    let told = [0, 1, 0, 1, 0, 0];
    let logits = told.iter().flat_map(|&class| if class == 0 { [2.0, -1.0] } else { [0.0, 0.5] });
    let classes = Array::new(vec![0, 1, 1, 1, 1, 0], vec![2, 1, 3]).unwrap();
    (logits.collect(), Targets::ClassMaps(classes))
}

#[test]
fn maps_are_counted_by_position() {
    let (logits, targets) = maps();
    let of = |metric: &mut dyn Metric| value(metric, &logits, &[2, 1, 3, 2], &targets);
    assert_eq!(of(&mut Accuracy::top(1)), Some(4.0 / 6.0));
    // Class 0: 2 right, 4 told, 2 true. Class 1: 2 right, 2 told, 4 true.
    assert_eq!(of(&mut MeanIou::new()), Some((2.0 / 4.0 + 2.0 / 4.0) / 2.0));
    // Without class 1: 2 right of 2; class 0 is there, nothing else is.
    assert_eq!(of(&mut Accuracy::top(1).with_ignore_index(1)), Some(1.0));
    assert_eq!(of(&mut MeanIou::new().with_ignore_index(1)), Some(1.0));
    let mut review = Review::new();
    add(&mut review, &logits, &[2, 1, 3, 2], &targets).unwrap();
    let indices: Vec<usize> = review.mistakes().iter().map(|mistake| mistake.index).collect();
    assert_eq!(indices, [0, 1]); // a pixel of each sample
}

#[test]
fn labels_are_told_from_logits_above_0() {
    let targets = Targets::Labels(f32s(&[1.0, 0.0, 0.0, 1.0, 1.0, 0.0], &[2, 3]));
    let logits = [0.1, 2.0, -1.0, -0.5, 3.0, f32::NAN];
    let of = |metric: &mut dyn Metric| value(metric, &logits, &[2, 3], &targets);
    assert_eq!(of(&mut MultiLabelAccuracy::new()), Some(4.0 / 6.0));
    // Label 0: 1 right, 1 told, 2 true. Label 1: 1 right, 2 told, 1 true. Label 2: nothing.
    assert!(
        (of(&mut MultiLabelF1::new()).unwrap() - (2.0 / 3.0 + 2.0 / 3.0 + 0.0) / 3.0).abs() < 1e-15
    );
}

#[test]
fn numbers_of_a_map_meet_those_of_their_position() {
    // Two channels, one row of three: channels last against channels first.
    let values = [0.0, 10.0, 1.0, 11.0, 2.0, 12.0];
    let targets = Targets::Numbers(f32s(&[0.0, 1.0, 2.0, 10.0, 11.0, 15.0], &[1, 2, 1, 3]));
    assert_eq!(value(&mut MeanAbsoluteError::new(), &values, &[1, 1, 3, 2], &targets), Some(0.5));
    let vectors = Targets::Numbers(f32s(&[1.0, -1.0], &[2, 1]));
    assert_eq!(value(&mut MeanAbsoluteError::new(), &[0.0, 1.0], &[2, 1], &vectors), Some(1.5));
}

#[test]
fn a_loss_becomes_a_mean_over_samples() {
    let mse = taper_layers::loss::Mse::new();
    let mut metric = MeanLoss::new(&mse);
    let numbers = |values: &[f32]| Targets::Numbers(f32s(values, &[values.len(), 1]));
    add(&mut metric, &[1.0, 1.0], &[2, 1], &numbers(&[0.0, 2.0])).unwrap(); // 1
    add(&mut metric, &[4.0], &[1, 1], &numbers(&[0.0])).unwrap(); // 16
    assert_eq!(metric.compute(), Some(6.0));
    let cross_entropy = taper_layers::loss::CrossEntropy::new();
    let (logits, targets) = maps();
    let of_maps = value(&mut MeanLoss::new(&cross_entropy), &logits, &[2, 1, 3, 2], &targets);
    let in_f64 = value(&mut LogLoss::new(), &logits, &[2, 1, 3, 2], &targets);
    let off = (of_maps.unwrap() - in_f64.unwrap()).abs();
    assert!(off < 1e-6, "{of_maps:?} {in_f64:?}");
}

#[test]
fn one_of_several_outputs_is_chosen_by_name() {
    let target = |class, number| {
        Target::named([("class", Target::from(class)), ("size", Target::numbers(vec![number]))])
    };
    let targets = Targets::collate([target(1, 2.0), target(0, 5.0)]).unwrap();
    let outputs = vec![
        Output { name: "class", values: &[0.0, 1.0, 0.0, 1.0], shape: &[2, 2] },
        Output { name: "size", values: &[2.5, 5.5], shape: &[2, 1] },
    ];
    let batch = Predictions::new(outputs, &targets, &[0, 1]).unwrap();
    let (mut top1, mut mae) = (
        OutputMetric::new("class", Accuracy::top(1)),
        OutputMetric::new("size", MeanAbsoluteError::new()),
    );
    top1.update(&batch).unwrap();
    mae.update(&batch).unwrap();
    assert_eq!((top1.name().as_str(), top1.compute()), ("class_top1", Some(0.5)));
    assert_eq!((mae.name().as_str(), mae.compute()), ("size_mae", Some(0.5)));
    let refused = Accuracy::top(1).update(&batch);
    assert!(matches!(refused, Err(Error::SeveralOutputs { names }) if names == ["class", "size"]));
    let refused = OutputMetric::new("mask", Accuracy::top(1)).update(&batch);
    assert!(matches!(refused, Err(Error::NoOutput { .. })));
    let refused = OutputMetric::new("class", Accuracy::top(1)).with_target("kind").update(&batch);
    assert!(matches!(refused, Err(Error::NoTarget { .. })));
}

#[test]
fn what_does_not_fit_is_refused() {
    let classes = |classes: &[u32]| Targets::from(classes.to_vec());
    let mut top1 = Accuracy::top(1);
    let refused = |result: Result<()>| result.unwrap_err();
    let shape = |error: Error| assert!(matches!(error, Error::Shape { .. }), "{error:?}");
    shape(refused(add(&mut top1, &[0.0; 5], &[2, 3], &classes(&[0, 1]))));
    shape(refused(add(&mut top1, &[0.0; 6], &[2, 3], &classes(&[0, 1, 2]))));
    shape(refused(add(&mut top1, &[0.0; 12], &[2, 1, 2, 3], &classes(&[0, 1]))));
    let error = refused(add(&mut top1, &[0.0; 3], &[1, 3], &classes(&[3])));
    assert!(matches!(error, Error::Target { target: 3, classes: 3 }));
    let numbers = Targets::Numbers(f32s(&[0.0; 3], &[1, 3]));
    for metric in [&mut top1 as &mut dyn Metric, &mut MultiLabelF1::new(), &mut MeanIou::new()] {
        let error = refused(add(metric, &[0.0; 3], &[1, 3], &numbers));
        let text = error.to_string();
        assert!(
            matches!(error, Error::TargetKind { .. }) && text.contains("numbers [3]"),
            "{text}"
        );
        assert_eq!(metric.compute(), Some(0.0));
    }
    let mut f1 = MultiLabelF1::new();
    add(&mut f1, &[0.0; 3], &[1, 3], &Targets::Labels(f32s(&[0.0; 3], &[1, 3]))).unwrap();
    shape(refused(add(&mut f1, &[0.0; 2], &[1, 2], &Targets::Labels(f32s(&[0.0; 2], &[1, 2])))));
    let mut iou = MeanIou::new();
    add(&mut iou, &[0.0; 3], &[1, 3], &classes(&[0])).unwrap();
    shape(refused(add(&mut iou, &[0.0; 2], &[1, 2], &classes(&[0]))));
}

#[test]
fn scores_come_back_from_json_with_the_same_bits() {
    let values = [("loss", 0.1 + 0.2), ("miou", 1.0 / 3.0), ("odd", -0.0)];
    let values = values.map(|(name, value): (&str, f64)| (name.to_owned(), value)).to_vec();
    let scores = Scores { values, samples: 9 };
    let text = serde_json::to_string(&scores).unwrap();
    assert!(text.ends_with(",\"samples\":9}"), "{text}");
    assert_eq!(serde_json::from_str::<Scores>(&text).unwrap(), scores);
    let nan: Scores = serde_json::from_str("{\"loss\":null,\"samples\":1}").unwrap();
    assert!(nan.values[0].1.is_nan());
    assert!(serde_json::from_str::<Scores>("{\"loss\":1.0}").is_err());
    assert!(serde_json::from_str::<Scores>("{\"loss\":[],\"samples\":1}").is_err());
}

#[test]
fn the_better_scores_win_and_equal_ones_by_their_loss() {
    let scores = |main: f64, loss: f64| Scores {
        values: vec![("loss".to_owned(), loss), ("m".to_owned(), main)],
        samples: 1,
    };
    let beats = |[a, a_loss]: [f64; 2], [b, b_loss]: [f64; 2], goal| {
        scores(a, a_loss).beats(&scores(b, b_loss), "m", goal)
    };
    assert!(beats([0.5, 9.0], [0.4, 1.0], Goal::Maximize));
    assert!(!beats([0.5, 9.0], [0.4, 1.0], Goal::Minimize));
    assert!(beats([0.4, 9.0], [0.5, 1.0], Goal::Minimize));
    for goal in [Goal::Maximize, Goal::Minimize] {
        assert!(beats([0.5, 0.1], [0.5, 0.2], goal) && !beats([0.5, 0.2], [0.5, 0.1], goal));
        assert!(!beats([0.5, 0.1], [0.5, 0.1], goal));
        assert!(
            beats([0.5, 1.0], [f64::NAN, 1.0], goal) && !beats([f64::NAN, 1.0], [0.5, 1.0], goal)
        );
    }
}

/// Batches of rows of seven logits with a class.
fn batches() -> impl Strategy<Value = Vec<Vec<(Vec<i8>, u32)>>> {
    let row = (proptest::collection::vec(-3i8..3, 7), 0u32..7);
    proptest::collection::vec(proptest::collection::vec(row, 1..5), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::default())]
    #[test]
    fn ranks_are_places_in_the_sorted_row(batches in batches()) {
        let (mut top1, mut top5, mut review) = (Accuracy::top(1), Accuracy::top(5), Review::new());
        let (mut hits1, mut hits5, mut n) = (0, 0, 0);
        for batch in &batches {
            let mut logits = Vec::new();
            for (row, target) in batch {
                let row: Vec<f32> = row.iter().map(|&logit| f32::from(logit)).collect();
                let mut order: Vec<usize> = (0..7).collect();
                order.sort_by(|&a, &b| row[b].total_cmp(&row[a])); // stable
                let place = order.iter().position(|&class| class == *target as usize);
                hits1 += usize::from(place < Some(1));
                hits5 += usize::from(place < Some(5));
                n += 1;
                logits.extend(row);
            }
            let targets = batch.iter().map(|(_, target)| *target).collect::<Vec<u32>>().into();
            for metric in [&mut top1 as &mut dyn Metric, &mut top5, &mut review] {
                add(metric, &logits, &[batch.len(), 7], &targets).unwrap();
            }
        }
        let rate = |hits: usize| Some(hits as f64 / f64::from(n));
        prop_assert_eq!((top1.compute(), top5.compute()), (rate(hits1), rate(hits5)));
        let confusion = review.confusion();
        let counted: u64 = (0..49).map(|i| confusion.count(i / 7, i % 7)).sum();
        prop_assert_eq!(counted, n as u64);
        let diagonal: u64 = (0..7).map(|i| confusion.count(i, i)).sum();
        prop_assert_eq!(diagonal, hits1 as u64);
    }

    /// Whatever is collected goes on from its state with the same bits.
    #[test]
    fn a_metric_goes_on_from_its_state(batches in batches(), cut in 0usize..6) {
        let cut = cut % batches.len();
        let whole = || -> Vec<Box<dyn Metric>> {
            vec![
                Box::new(Accuracy::top(1)),
                Box::new(LogLoss::new()),
                Box::new(ClassMean::f1()),
                Box::new(CalibrationError::new()),
                Box::new(RankingArea::roc()),
                Box::new(MeanIou::new()),
                Box::new(MultiLabelAccuracy::new()),
                Box::new(MultiLabelF1::new()),
                Box::new(RankingArea::average_precision()),
                Box::new(MeanAbsoluteError::new()),
                Box::new(SquaredError::root_mean()),
                Box::new(SquaredError::r2()),
                Box::new(MeanOf::new("first", Goal::Maximize, |batch: &Predictions<'_>| {
                    Ok(batch.single()?.rows().map(|row| f64::from(row[0]) / 3.0).collect())
                })),
            ]
        };
        for (i, (mut never, mut first)) in whole().into_iter().zip(whole()).enumerate() {
            let mut second = whole().remove(i);
            for (b, batch) in batches.iter().enumerate() {
                let logits: Vec<f32> =
                    batch.iter().flat_map(|(row, _)| row).map(|&v| f32::from(v) / 7.0).collect();
                let shape = [batch.len(), 7];
                let classes: Vec<u32> = batch.iter().map(|(_, class)| *class).collect();
                let values: Vec<f32> = logits.iter().map(|v| (v * 5.0).sin().abs().round()).collect();
                let targets = match i {
                    0..=5 => classes.into(),
                    6..=8 => Targets::Labels(f32s(&values, &shape)),
                    _ => Targets::Numbers(f32s(&values, &shape)),
                };
                add(never.as_mut(), &logits, &shape, &targets).unwrap();
                if b == cut {
                    second.load_state(&first.state());
                }
                let part = if b < cut { &mut first } else { &mut second };
                add(part.as_mut(), &logits, &shape, &targets).unwrap();
            }
            prop_assert_eq!(never.state(), second.state());
            prop_assert_eq!(never.compute(), second.compute());
        }
    }
}

#[test]
fn classes_count_alike_in_their_means() {
    // Targets 0 0 0 1 2, taken for 0 0 1 1 0; nothing is taken for 3 and nothing is of it.
    let targets: Targets = vec![0, 0, 0, 1, 2].into();
    let predicted = [0, 0, 1, 1, 0];
    let logits: Vec<f32> = predicted
        .iter()
        .flat_map(|&class| (0..4).map(move |at| if at == class { 1.0 } else { 0.0 }))
        .collect();
    let of = |mut metric: ClassMean| value(&mut metric, &logits, &[5, 4], &targets).unwrap();
    let close =
        |got: f64, expected: f64| assert!((got - expected).abs() < 1e-12, "{got} {expected}");
    close(of(ClassMean::balanced_accuracy()), (2.0 / 3.0 + 1.0 + 0.0) / 3.0);
    close(of(ClassMean::precision()), (2.0 / 3.0 + 0.5 + 0.0) / 3.0);
    close(of(ClassMean::recall()), (2.0 / 3.0 + 1.0 + 0.0) / 3.0);
    close(of(ClassMean::f1()), (2.0 / 3.0 + 2.0 / 3.0 + 0.0) / 3.0);
}

#[test]
fn squared_errors_are_those_of_the_formula() {
    let targets = Targets::Numbers(f32s(&[1.0, 2.0, 3.0, 6.0], &[4, 1]));
    let outputs = [1.0, 4.0, 3.0, 5.0];
    let of = |mut metric: SquaredError| value(&mut metric, &outputs, &[4, 1], &targets).unwrap();
    assert!((of(SquaredError::root_mean()) - 1.25f64.sqrt()).abs() < 1e-12);
    assert!((of(SquaredError::r2()) - (1.0 - 5.0 / 14.0)).abs() < 1e-12); // mean 3, 4 + 1 + 0 + 9
    // Each number has a mean of its own; one that is the same everywhere explains nothing.
    let targets = Targets::Numbers(f32s(&[30.0, 0.1, 50.0, 0.1], &[2, 2]));
    let means = value(&mut SquaredError::r2(), &[40.0, 0.2, 40.0, 0.2], &[2, 2], &targets);
    assert!(means.unwrap().abs() < 1e-12, "{means:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    /// The area is the share of pairs that are in order, an equal pair being half of one; and precision is averaged at every hit.
    #[test]
    fn areas_follow_their_pairwise_twins(rows in proptest::collection::vec((0i8..6, proptest::bool::ANY), 2..40)) {
        let scores: Vec<f32> = rows.iter().map(|(score, _)| f32::from(*score)).collect();
        let holds: Vec<f32> = rows.iter().map(|(_, holds)| f32::from(u8::from(*holds))).collect();
        let shape = [rows.len(), 1];
        let targets = Targets::Labels(f32s(&holds, &shape));
        let (mut right, mut pairs) = (0.0, 0.0);
        for (a, a_holds) in &rows {
            for (b, b_holds) in &rows {
                if *a_holds && !b_holds {
                    pairs += 1.0;
                    right += if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 };
                }
            }
        }
        let areas = [RankingArea::roc(), RankingArea::average_precision()]
            .map(|mut area| value(&mut area, &scores, &shape, &targets));
        if pairs == 0.0 {
            prop_assert_eq!(areas, [None, None]);
            return Ok(());
        }
        let [area, precision_area] = areas.map(Option::unwrap);
        let expected = right / pairs;
        prop_assert!((area - expected).abs() < 1e-12, "{} {}", area, expected);

        let hits = rows.iter().filter(|(_, holds)| *holds);
        let precision = |threshold: i8| {
            let above = rows.iter().filter(|(score, _)| *score >= threshold);
            let of_them = above.clone().filter(|(_, holds)| *holds).count();
            of_them as f64 / above.count() as f64
        };
        let precisions: Vec<f64> = hits.map(|(score, _)| precision(*score)).collect();
        let expected = precisions.iter().sum::<f64>() / precisions.len() as f64;
        let area = precision_area;
        prop_assert!((area - expected).abs() < 1e-12, "{} {}", area, expected);
    }
}
