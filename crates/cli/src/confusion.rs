//! What a model mixes up, as text.
//!
//! Above: `finetune`, `eval`. Below: nothing. Not here: the counting (`taper_recipes`).

use taper_recipes::{Confusion, Mistake};

/// Most classes that are shown as a square; more are shown as a list of mix-ups.
const SQUARE: usize = 12;

/// Widest name.
const NAME: usize = 16;

/// A square with a row for each true class, or the most frequent mix-ups if there are many classes.
pub(crate) fn table(confusion: &Confusion) -> String {
    if confusion.classes.len() <= SQUARE { square(confusion) } else { list(confusion) }
}

fn square(confusion: &Confusion) -> String {
    let n = confusion.classes.len();
    let names: Vec<String> = confusion.classes.iter().map(|name| shortened(name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(4);
    let mut text = format!("\n{:>width$}   predicted\n{:>width$}  ", "", "true");
    for name in &names {
        text.push_str(&format!(" {name:>6.6}"));
    }
    text.push_str("   right\n");
    for (actual, name) in names.iter().enumerate() {
        text.push_str(&format!("{name:>width$}  "));
        for predicted in 0..n {
            let shown = match confusion.count(actual, predicted) {
                0 => "·".to_owned(),
                count => count.to_string(),
            };
            text.push_str(&format!(" {shown:>6}"));
        }
        let (right, total) = (confusion.count(actual, actual), confusion.total(actual));
        text.push_str(&format!("   {}\n", percent(right, total)));
    }
    text
}

fn list(confusion: &Confusion) -> String {
    let n = confusion.classes.len();
    let pairs = (0..n).flat_map(|actual| (0..n).map(move |predicted| (actual, predicted)));
    let mut mixed: Vec<(u64, usize, usize)> = pairs
        .filter(|(actual, predicted)| actual != predicted)
        .map(|(actual, predicted)| (confusion.count(actual, predicted), actual, predicted))
        .filter(|(count, ..)| *count > 0)
        .collect();
    mixed.sort_by_key(|&(count, actual, predicted)| (u64::MAX - count, actual, predicted));
    let mut text = String::from("\nmost frequent mix-ups (true → predicted)\n");
    for (count, actual, predicted) in mixed.into_iter().take(SQUARE) {
        let (from, to) = (&confusion.classes[actual], &confusion.classes[predicted]);
        text.push_str(&format!("  {count:>5}  {from} → {to}\n"));
    }
    text
}

/// Precision, recall and F1 of each class; of many classes, of the worst.
pub(crate) fn by_class(confusion: &Confusion) -> String {
    let mut classes: Vec<usize> = (0..confusion.classes.len()).collect();
    let many = classes.len() > SQUARE;
    if many {
        classes.sort_by(|&a, &b| confusion.f1(a).total_cmp(&confusion.f1(b)));
        classes.truncate(SQUARE);
    }
    let width = classes.iter().map(|&class| shortened(&confusion.classes[class]).chars().count());
    let width = width.max().unwrap_or(0).max(5);
    let title = if many { "the lowest F1" } else { "class" };
    let mut text = format!("\n{title:>width$}  precision  recall     f1  pictures\n");
    for class in classes {
        text.push_str(&format!(
            "{:>width$}  {:>9.3}  {:>6.3}  {:>5.3}  {:>8}\n",
            shortened(&confusion.classes[class]),
            confusion.precision(class),
            confusion.recall(class),
            confusion.f1(class),
            confusion.total(class)
        ));
    }
    text
}

/// The first `most` mistakes, by name.
pub(crate) fn mistakes(mistakes: &[Mistake], most: usize) -> String {
    if mistakes.is_empty() {
        return "no mistake".to_owned();
    }
    let mut text = String::from("most confidently wrong\n");
    for mistake in mistakes.iter().take(most) {
        text.push_str(&format!(
            "  {:>5.1} %  {} is {}, called {}\n",
            100.0 * mistake.probability,
            mistake.image,
            mistake.actual,
            mistake.predicted
        ));
    }
    text
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME).collect()
}

fn percent(right: u64, total: u64) -> String {
    if total == 0 {
        return "–".to_owned();
    }
    format!("{:.0} %", 100.0 * right as f64 / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_what_its_class_was_called() {
        let confusion = Confusion::new(vec!["ants".into(), "bees".into()], vec![2, 1, 0, 1]);
        let text = table(&confusion);
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(rows.contains(&vec!["ants", "2", "1", "67", "%"]), "{text}");
        assert!(rows.contains(&vec!["bees", "·", "1", "100", "%"]), "{text}");
    }

    #[test]
    fn many_classes_show_their_most_frequent_mixups() {
        let classes = (0..20).map(|class| format!("c{class}")).collect();
        let mut counts = vec![0; 400];
        counts[3 * 20 + 4] = 1;
        counts[5 * 20 + 6] = 2;
        let confusion = Confusion::new(classes, counts);
        let text = table(&confusion);
        let first = text.lines().nth(2).unwrap_or_default();
        assert_eq!(first.trim(), "2  c5 → c6");
    }

    #[test]
    fn mistakes_are_named() {
        let mistake = Mistake {
            image: "a.jpg".into(),
            actual: "ant".into(),
            predicted: "bee".into(),
            probability: 0.987,
        };
        assert!(mistakes(&[mistake], 5).contains("98.7 %  a.jpg is ant, called bee"));
    }
}
