//! How good the best model is on the held-out pictures: which class is taken for which, how sure it is, labels one by one, numbers against
//! what they should be.
//!
//! Above: `run_report`. Below: `run_report::{answers, words}`, `taper_report`, `taper_train::CalibrationError`. Not here: pictures
//! (`run_report::pictures`).

use std::collections::BTreeMap;

use taper_report::{
    Block, Cell, Chart, Curve, Curves, Dimension, Fact, Look, Matrix, Reliability, ReliabilityBin,
    Scale, Section, Table, Unit,
};
use taper_train::CalibrationError;

use super::answers::Answer;
use crate::confidence::Calibrated;
use crate::cost::page::{charts, section};
use crate::report::Confusion;

/// The most classes whose confusion is shown whole.
const WHOLE: usize = 24;

/// Of more, so many that are mixed up most are shown.
const MIXED_UP: usize = 16;

/// Pairs of classes that are listed.
const PAIRS: usize = 20;

/// Rows of a table that are shown before it is folded.
const ROWS: usize = 30;

/// Rows that are folded; what is behind them is left out, so that a page stays one.
const FOLDED: usize = 500;

/// Numbers whose predictions are drawn.
const DRAWN: usize = 4;

/// The sections for the answers of a model with these classes, labels or numbers.
pub(crate) fn sections(
    names: &[String],
    answers: &[Answer],
    calibrated: Option<&Calibrated>,
) -> Vec<Section> {
    match answers.first() {
        Some(Answer::Class { .. }) => of_classes(names, answers, calibrated),
        Some(Answer::Labels { .. }) => of_labels(names, answers),
        Some(Answer::Numbers { .. }) => of_numbers(names, answers),
        None => Vec::new(),
    }
}

/// Counts of the answers that name one class.
pub(crate) fn confusion(names: &[String], answers: &[Answer]) -> Confusion {
    let index: BTreeMap<&str, usize> =
        names.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
    let n = names.len();
    let mut counts = vec![0; n * n];
    for answer in answers {
        if let Answer::Class { target, predicted, .. } = answer
            && let (Some(row), Some(column)) =
                (index.get(target.as_str()), index.get(predicted.as_str()))
        {
            counts[row * n + column] += 1;
        }
    }
    Confusion::new(names.to_vec(), counts)
}

fn of_classes(
    names: &[String],
    answers: &[Answer],
    calibrated: Option<&Calibrated>,
) -> Vec<Section> {
    let confusion = confusion(names, answers);
    let mut mixed = vec![matrix(&confusion)];
    if names.len() > WHOLE {
        mixed.push(pairs(&confusion));
    }
    let mut all = vec![
        section("Which class is taken for which", "of the held-out pictures", mixed),
        section("Class by class", "", by_class(&confusion)),
    ];
    all.extend(calibration(answers, calibrated));
    all
}

fn matrix(confusion: &Confusion) -> Block {
    let n = confusion.classes.len();
    let (shown, note) = if n <= WHOLE {
        let note = "Each row is what the pictures of one class were called; blue and bold is right, and the stronger the color the larger the \
                    share of the row.";
        ((0..n).collect(), note.to_owned())
    } else {
        let shown = most_mixed_up(confusion);
        let note = format!(
            "The {} of {n} classes that are mixed up most; what they were called besides is in the file of predictions.",
            shown.len()
        );
        (shown, note)
    };
    let row = |actual: &usize| shown.iter().map(|it| confusion.count(*actual, *it)).collect();
    let matrix = Matrix {
        row: "true".to_owned(),
        column: "predicted".to_owned(),
        names: shown.iter().map(|&class| confusion.classes[class].clone()).collect(),
        counts: shown.iter().map(row).collect(),
    };
    Block::Matrix { title: String::new(), note, matrix }
}

/// Mix-ups, the most frequent first: how many, true and predicted class.
fn mix_ups(confusion: &Confusion) -> Vec<(u64, usize, usize)> {
    let n = confusion.classes.len();
    let mut all: Vec<(u64, usize, usize)> = (0..n)
        .flat_map(|actual| (0..n).map(move |predicted| (actual, predicted)))
        .filter(|(actual, predicted)| actual != predicted)
        .map(|(actual, predicted)| (confusion.count(actual, predicted), actual, predicted))
        .filter(|(count, ..)| *count > 0)
        .collect();
    all.sort_by_key(|&(count, actual, predicted)| (u64::MAX - count, actual, predicted));
    all
}

/// Those of the most frequent mix-ups, in the order of classes.
fn most_mixed_up(confusion: &Confusion) -> Vec<usize> {
    let mut shown: Vec<usize> = Vec::new();
    for (_, actual, predicted) in mix_ups(confusion) {
        for class in [actual, predicted] {
            if shown.len() < MIXED_UP && !shown.contains(&class) {
                shown.push(class);
            }
        }
    }
    shown.sort_unstable();
    shown
}

fn pairs(confusion: &Confusion) -> Block {
    let row = |(count, actual, predicted): (u64, usize, usize)| {
        vec![
            Cell::Words(confusion.classes[actual].clone()),
            Cell::Words(confusion.classes[predicted].clone()),
            Cell::Number(count as f64, Unit::Integer),
            Cell::Share(count as f64 / confusion.total(actual).max(1) as f64),
        ]
    };
    let head = ["true", "predicted", "pictures", "of the true class"];
    let rows = mix_ups(confusion).into_iter().take(PAIRS).map(row).collect();
    let table = Table { head: head.map(str::to_owned).to_vec(), rows };
    Block::Table { title: "Most frequent mix-ups".to_owned(), note: String::new(), table }
}

fn by_class(confusion: &Confusion) -> Vec<Block> {
    let mut order: Vec<usize> = (0..confusion.classes.len()).collect();
    order.sort_by(|&a, &b| confusion.f1(a).total_cmp(&confusion.f1(b)).then(a.cmp(&b)));
    let row = |&class: &usize| {
        vec![
            Cell::Words(confusion.classes[class].clone()),
            Cell::Number(confusion.total(class) as f64, Unit::Integer),
            Cell::Share(confusion.precision(class)),
            Cell::Share(confusion.recall(class)),
            Cell::Share(confusion.f1(class)),
        ]
    };
    let head = ["class", "pictures", "precision", "recall", "F1"];
    rows("the lowest F1 first", &head, order.iter().map(row).collect())
}

/// A table, the end of which is folded if it is long.
fn rows(note: &str, head: &[&str], mut rows: Vec<Vec<Cell>>) -> Vec<Block> {
    let head: Vec<String> = head.iter().map(|&name| name.to_owned()).collect();
    let left_out = rows.len().saturating_sub(ROWS + FOLDED);
    rows.truncate(ROWS + FOLDED);
    let rest = rows.split_off(rows.len().min(ROWS));
    let table = Table { head: head.clone(), rows };
    let mut all = vec![Block::Table { title: String::new(), note: note.to_owned(), table }];
    if !rest.is_empty() {
        let summary = match left_out {
            0 => format!("The other {}", rest.len()),
            more => format!("The next {}; {more} more are left out", rest.len()),
        };
        all.push(Block::Folded { summary, table: Table { head, rows: rest } });
    }
    all
}

fn calibration(answers: &[Answer], calibrated: Option<&Calibrated>) -> Option<Section> {
    let mut error = CalibrationError::new();
    for answer in answers {
        if let Answer::Class { target, predicted, probability: Some(sure), .. } = answer {
            error.add(*sure, target == predicted);
        }
    }
    let bins: Vec<ReliabilityBin> = error
        .bins()
        .map(|bin| ReliabilityBin {
            confidences: bin.confidences,
            confidence: bin.confidence,
            accuracy: bin.accuracy,
            count: bin.samples,
        })
        .collect();
    if bins.is_empty() {
        return None;
    }
    let percent = |share: f64| Cell::Number(100.0 * share, Unit::Percent);
    let row = |bin: &ReliabilityBin| {
        let [low, high] = bin.confidences.map(|share| Unit::Percent.format(100.0 * share));
        vec![
            Cell::Words(format!("{low} to {high}")),
            Cell::Number(bin.count as f64, Unit::Integer),
            percent(bin.confidence),
            percent(bin.accuracy),
        ]
    };
    let head = ["confidence", "answers", "how sure", "how right"].map(str::to_owned).to_vec();
    let table = Table { head, rows: bins.iter().map(row).collect() };
    // A temperature that was chosen by these very pictures fits them better than others.
    let title = match calibrated {
        Some(_) => format!(
            "Expected calibration error {:.3} at the temperature that these pictures chose",
            error.value()
        ),
        None => format!("Expected calibration error {:.3}", error.value()),
    };
    let chart = Reliability { title, bins }.into();
    let note = "a model that is 80 % sure should be right four times of five";
    let mut blocks: Vec<Block> = calibrated.map(measured).into_iter().collect();
    blocks.extend([
        Block::Charts {
            title: String::new(),
            note: "A bar is the share of right answers among those that are about as sure, ◇ is where it should be; the number says how \
                   many answers they are."
                .to_owned(),
            charts: vec![chart],
            table: None,
        },
        Block::Folded { summary: "Confidence as a table".to_owned(), table },
    ]);
    Some(section("How sure, and how right", note, blocks))
}

/// What was measured when the run ended.
fn measured(of: &Calibrated) -> Block {
    let fact =
        |label: &str, value: String, note: String| Fact { label: label.to_owned(), value, note };
    let mut facts = Vec::new();
    if let Some(ece) = of.ece {
        let note = format!(
            "each picture at a temperature that others chose; {:.3} without, {:.3} by chance",
            of.ece_before, of.ece_by_chance
        );
        facts.push(fact("expected calibration error", format!("{ece:.3}"), note));
    }
    let note = format!("what logits are divided by, chosen by {} held-out pictures", of.images);
    facts.push(fact("temperature", format!("{:.3}", of.temperature), note));
    if let Some(from) = of.known_from {
        let note = "what is less familiar is unknown to `predict --unknown`".to_owned();
        facts.push(fact("known from", Unit::Number.format(from), note));
    }
    Block::Facts { facts }
}

fn of_labels(names: &[String], answers: &[Answer]) -> Vec<Section> {
    let row = |name: &String| {
        let (mut right, mut predicted, mut holding) = (0.0, 0.0, 0.0);
        for answer in answers {
            let Answer::Labels { targets, probabilities, .. } = answer else { continue };
            let holds = targets.contains(name);
            let is_said = probabilities.get(name).copied().flatten().is_some_and(|it| it > 0.5);
            right += f64::from(u8::from(holds && is_said));
            predicted += f64::from(u8::from(is_said));
            holding += f64::from(u8::from(holds));
        }
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let f1 = share(2.0 * right, predicted + holding);
        let cells = vec![
            Cell::Words(name.clone()),
            Cell::Number(holding, Unit::Integer),
            Cell::Number(predicted, Unit::Integer),
            Cell::Share(share(right, predicted)),
            Cell::Share(share(right, holding)),
            Cell::Share(f1),
        ];
        (f1, cells)
    };
    let mut all: Vec<(f64, Vec<Cell>)> = names.iter().map(row).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let head = ["label", "holds", "predicted", "precision", "recall", "F1"];
    let cells = all.into_iter().map(|(_, cells)| cells).collect();
    let note = "a label is predicted where its probability is above one half; the lowest F1 first";
    vec![section("Label by label", "of the held-out pictures", rows(note, &head, cells))]
}

fn of_numbers(names: &[String], answers: &[Answer]) -> Vec<Section> {
    let of_name = |name: &String| {
        let pair = |answer: &Answer| match answer {
            Answer::Numbers { targets, predicted, .. } => {
                Some([(*targets.get(name)?)?, (*predicted.get(name)?)?])
            }
            _ => None,
        };
        let pairs: Vec<[f64; 2]> = answers.iter().filter_map(pair).collect();
        let ends = pairs.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], pair| {
            [low.min(pair[0]), high.max(pair[0])]
        });
        let residuals = pairs.iter().map(|&[target, said]| [target, said - target]).collect();
        let title = if names.len() > 1 { name.as_str() } else { "" };
        let predicted = cloud(
            &format!("Predicted {name}"),
            [&format!("true {name}"), "predicted"],
            pairs,
            ends.map(|end| [end, end]),
        );
        let left = cloud(
            &format!("How far {name} is off"),
            [&format!("true {name}"), "predicted less true"],
            residuals,
            ends.map(|end| [end, 0.0]),
        );
        charts(title, vec![predicted, left], None)
    };
    let mut blocks: Vec<Block> = names.iter().take(DRAWN).map(of_name).collect();
    if names.len() > 1 {
        let (title, note) = (String::new(), String::new());
        blocks.insert(0, Block::Table { title, note, table: errors(names, answers) });
    }
    let note = "each dot is a held-out picture; on the dashed line nothing is off";
    vec![section("Predicted against true", note, blocks)]
}

/// A row a number: how far it is off.
fn errors(names: &[String], answers: &[Answer]) -> Table {
    let row = |name: &String| {
        let off = |answer: &Answer| match answer {
            Answer::Numbers { targets, predicted, .. } => {
                Some((*predicted.get(name)?)? - (*targets.get(name)?)?)
            }
            _ => None,
        };
        let off: Vec<f64> = answers.iter().filter_map(off).collect();
        let mean = |of: &dyn Fn(f64) -> f64| {
            off.iter().map(|it| of(*it)).sum::<f64>() / off.len().max(1) as f64
        };
        vec![
            Cell::Words(name.clone()),
            Cell::Number(mean(&f64::abs), Unit::Number),
            Cell::Number(mean(&|it| it * it).sqrt(), Unit::Number),
            Cell::Number(mean(&|it| it), Unit::Number),
        ]
    };
    let head =
        ["number", "mean absolute error", "root mean squared error", "mean of predicted less true"];
    let rows = names.iter().take(ROWS + FOLDED).map(row).collect();
    Table { head: head.map(str::to_owned).to_vec(), rows }
}

fn cloud(
    title: &str,
    [across, upward]: [&str; 2],
    points: Vec<[f64; 2]>,
    guide: [[f64; 2]; 2],
) -> Chart {
    let dimension =
        |name: &str| Dimension { name: name.to_owned(), unit: Unit::Number, scale: Scale::Linear };
    let curves = vec![
        Curve { name: "nothing is off".to_owned(), points: guide.to_vec(), look: Look::Guide },
        Curve { name: "picture".to_owned(), points, look: Look::Dots },
    ];
    let (across, upward) = (dimension(across), dimension(upward));
    Curves { title: title.to_owned(), across, upward, curves, marks: Vec::new() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(target: &str, predicted: &str, probability: f64) -> Answer {
        let [image, target, predicted] = ["a.jpg", target, predicted].map(str::to_owned);
        Answer::Class { image, target, predicted, probability: Some(probability) }
    }

    fn html(sections: Vec<Section>) -> String {
        let (title, note) = (String::new(), String::new());
        taper_report::Page { title, note, sections }.to_html().unwrap()
    }

    #[test]
    fn classes_have_their_counts_rates_and_calibration() {
        let names = ["ant", "<script>bee"].map(str::to_owned);
        let answers = vec![
            class("ant", "ant", 0.9),
            class("ant", "<script>bee", 0.9),
            class("<script>bee", "<script>bee", 0.6),
        ];
        let html = html(sections(&names, &answers, None));
        assert!(html.contains("true ant, predicted &lt;script&gt;bee: 1 of 2 (50.0 %)"), "{html}");
        assert!(!html.contains("<script"), "{html}");
        // Two that are 90 % sure and right once, one that is 60 % sure and right: (0.8 + 0.4) / 3.
        assert!(html.contains("Expected calibration error 0.400"), "{html}");
        assert!(html.contains("66.7 %"), "an F1 of two thirds");

        let measured = Calibrated {
            temperature: 1.25,
            ece_before: 0.3,
            ece: Some(0.345),
            ece_by_chance: 0.2,
            known_from: Some(0.5),
            images: 3,
        };
        let html = self::html(sections(&names, &answers, Some(&measured)));
        for words in [
            "0.345",
            "0.300 without, 0.200 by chance",
            "1.250",
            "error 0.400 at the temperature that these",
        ] {
            assert!(html.contains(words), "{words}: {html}");
        }
    }

    #[test]
    fn of_hundreds_of_classes_the_most_confused_are_shown() {
        let names: Vec<String> = (0..300).map(|class| format!("class {class}")).collect();
        let mut answers: Vec<Answer> = names.iter().map(|name| class(name, name, 0.9)).collect();
        for _ in 0..3 {
            answers.push(class("class 7", "class 200", 0.5));
        }
        answers.push(class("class 9", "class 8", 0.5));
        let confusion = confusion(&names, &answers);
        assert_eq!(most_mixed_up(&confusion), [7, 8, 9, 200]);
        let html = html(sections(&names, &answers, None));
        assert!(html.contains("The 4 of 300 classes that are mixed up most"), "{html}");
        assert!(html.contains("The other 270"), "{html}");
        assert!(html.len() < 300_000, "{}", html.len());
    }

    #[test]
    fn labels_are_counted_one_by_one() {
        let names = ["red", "blue"].map(str::to_owned);
        let answer = |targets: &[&str], red: f64| Answer::Labels {
            image: "a.jpg".to_owned(),
            targets: targets.iter().map(|&it| it.to_owned()).collect(),
            probabilities: [("red".to_owned(), Some(red)), ("blue".to_owned(), None)].into(),
        };
        let answers = [answer(&["red"], 0.9), answer(&[], 0.8), answer(&["red"], 0.1)];
        let html = html(sections(&names, &answers, None));
        assert!(html.contains("Label by label") && html.contains("50.0 %"), "{html}");
    }

    #[test]
    fn many_numbers_and_many_classes_stay_a_page() {
        let names: Vec<String> = (0..60).map(|number| format!("number {number}")).collect();
        let all = |value: f64| names.iter().map(|name| (name.clone(), Some(value))).collect();
        let answer = |i: u32| Answer::Numbers {
            image: format!("{i}.jpg"),
            targets: all(f64::from(i)),
            predicted: all(f64::from(i) + 2.0),
        };
        let answers: Vec<Answer> = (0..2000).map(answer).collect();
        let html_of_numbers = html(sections(&names, &answers, None));
        assert!(html_of_numbers.contains("How far number 3 is off"));
        assert!(!html_of_numbers.contains("How far number 4 is off"));
        assert!(html_of_numbers.len() < 2_000_000, "{}", html_of_numbers.len());
        let names: Vec<String> = (0..1500).map(|class| format!("class {class}")).collect();
        let answers: Vec<Answer> = names.iter().map(|name| class(name, name, 0.9)).collect();
        let html = html(sections(&names, &answers, None));
        assert!(html.contains("The next 500; 970 more are left out") && html.len() < 700_000);
    }

    #[test]
    fn numbers_are_drawn_against_what_they_should_be() {
        let answer = |target: f64, said: Option<f64>| Answer::Numbers {
            image: "a.jpg".to_owned(),
            targets: [("age".to_owned(), Some(target))].into(),
            predicted: [("age".to_owned(), said)].into(),
        };
        let answers = [answer(10.0, Some(12.0)), answer(20.0, Some(19.0)), answer(30.0, None)];
        let html = html(sections(&["age".to_owned()], &answers, None));
        assert!(html.contains("picture, true age 10.0: 12.0"), "{html}");
        assert!(html.contains("picture, true age 20.0: -1.00"), "{html}");
        assert!(sections(&[], &[], None).is_empty());
    }
}
